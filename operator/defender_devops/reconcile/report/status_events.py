"""Which events a change of status is worth (pure): one for each turn that a person would want to hear of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from defender_devops.api.conditions import Condition, find_condition
from defender_devops.api.reasons import ConditionType

__all__ = ["StatusEvent", "status_events"]


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """An event: Normal where all is well, Warning where somebody should look."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


_GOOD = (ConditionType.READY, ConditionType.DISCOVERED)
"""Turning True is worth an event."""

_BAD = (ConditionType.REAUTH_REQUIRED, ConditionType.STALLED)
"""Turning True, or another reason while True, is worth a warning."""

_WATCHED = (
    ConditionType.AUTHORIZED,
    ConditionType.SIGNED_IN,
    ConditionType.ORGANIZATIONS_AVAILABLE,
    ConditionType.PREREQUISITES_MET,
)
"""Turning False, or another reason while False, is worth a warning."""


def status_events(before: Iterable[Condition], after: Iterable[Condition]) -> tuple[StatusEvent, ...]:
    """Compare the conditions; each reason is told once."""
    before, after = tuple(before), tuple(after)
    told: dict[str, StatusEvent] = {}
    for each in (
        *_turned(before, after, _BAD, "True", "Warning"),
        *_turned(before, after, _WATCHED, "False", "Warning"),
    ):
        told.setdefault(each.reason, each)
    for each in (*_turned(before, after, _GOOD, "True", "Normal"), *_restored(before, after)):
        told.setdefault(each.reason, each)
    return tuple(told.values())


def _turned(
    before: tuple[Condition, ...],
    after: tuple[Condition, ...],
    kinds: Iterable[str],
    status: str,
    event: Literal["Normal", "Warning"],
) -> Iterator[StatusEvent]:
    for kind in kinds:
        old, new = find_condition(before, kind), find_condition(after, kind)
        if new is None or new.status != status:
            continue
        if old is None or (old.status, old.reason) != (new.status, new.reason):
            yield StatusEvent(event, new.reason, new.message)


def _restored(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> Iterator[StatusEvent]:
    """What needed a person and works again."""
    old, new = (find_condition(each, ConditionType.REAUTH_REQUIRED) for each in (before, after))
    if old is not None and old.is_true and new is not None and not new.is_true:
        yield StatusEvent("Normal", new.reason, "What needed a person works again.")
