"""The Kubernetes events for a change of status: one for each transition that a person should notice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from defender_devops.api.conditions import Condition, find_condition
from defender_devops.api.reasons import ConditionType, Reason

__all__ = ["StatusEvent", "status_events"]

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A Kubernetes event."""

    type: EventType
    reason: str
    message: str


_TRANSITIONS: tuple[tuple[ConditionType, str, EventType], ...] = (
    (ConditionType.REAUTH_REQUIRED, "True", "Warning"),
    (ConditionType.STALLED, "True", "Warning"),
    (ConditionType.AUTHORIZED, "False", "Warning"),
    (ConditionType.SIGNED_IN, "False", "Warning"),
    (ConditionType.ORGANIZATIONS_AVAILABLE, "False", "Warning"),
    (ConditionType.PREREQUISITES_MET, "False", "Warning"),
    (ConditionType.POSTURE_AVAILABLE, "False", "Warning"),
    (ConditionType.PIPELINE_EVIDENCE_STORED, "False", "Warning"),
    (ConditionType.READY, "True", "Normal"),
    (ConditionType.DISCOVERED, "True", "Normal"),
)
"""Conditions, in order of importance, and the status that is worth an event when it or its reason is new."""


def status_events(previous: Iterable[Condition], current: Iterable[Condition]) -> tuple[StatusEvent, ...]:
    """Compare the conditions of two statuses; each reason yields one event at most."""
    previous, current = tuple(previous), tuple(current)
    events: dict[str, StatusEvent] = {}
    for kind, status, event_type in _TRANSITIONS:
        old, new = find_condition(previous, kind), find_condition(current, kind)
        if new is None or new.status != status:
            continue
        if old is None or (old.status, old.reason) != (new.status, new.reason):
            events.setdefault(new.reason, StatusEvent(event_type, new.reason, new.message))
    old, new = (find_condition(conditions, ConditionType.POSTURE_AVAILABLE) for conditions in (previous, current))
    # It is Unknown then, like states that only take time.
    if new is not None and new.reason == Reason.QUERY_DENIED and (old is None or old.reason != new.reason):
        events.setdefault(new.reason, StatusEvent("Warning", new.reason, new.message))
    old, new = (find_condition(conditions, ConditionType.REAUTH_REQUIRED) for conditions in (previous, current))
    if old is not None and old.is_true and new is not None and not new.is_true:
        events.setdefault(new.reason, StatusEvent("Normal", new.reason, "Re-authorization is no longer required."))
    return tuple(events.values())
