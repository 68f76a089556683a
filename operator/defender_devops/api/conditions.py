"""Conditions as metav1.Condition has them, and the three that kstatus reads kept in step.

Pure: the time is given. Nobody sets Ready, Reconciling or Stalled but through `mark_ready`, `mark_reconciling` and
`mark_stalled`: kstatus (sigs.k8s.io/cli-utils, as Argo CD's and Flux's health checks follow it) reads Reconciling=True
as InProgress, Stalled=True as Failed, and a lone Ready=False as InProgress for ever.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from defender_devops.api.model import ApiModel, Generation, Timestamp
from defender_devops.api.reasons import ConditionType

MESSAGE_MAX_BYTES: Final = 1024
"""Of a condition's message in UTF-8: a status is read by people and sent to every watcher."""

CONDITIONS_MAX: Final = 16

Status = Literal["True", "False", "Unknown"]

Conditions = tuple["Condition", ...]

_ORDER: Final = {str(condition_type): position for position, condition_type in enumerate(ConditionType)}
_ELLIPSIS: Final = "…"


class Condition(ApiModel):
    """One observation, as metav1.Condition."""

    # The API server wants the time; here it is missing from an observation that no status holds yet.
    model_config = ConfigDict(json_schema_extra={"required": ["type", "status", "lastTransitionTime", "reason"]})

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """What is observed, such as Ready or Authorized."""

    status: Status
    """Whether it is so: True, False or Unknown."""

    observed_generation: Generation | None = None
    """metadata.generation of the spec that this was said about."""

    last_transition_time: Timestamp | None = None
    """When the status last changed; a new reason or message does not move it."""

    reason: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one word; each is explained in the documentation with its cause and its cure."""

    message: Annotated[str, Field(max_length=MESSAGE_MAX_BYTES)] = ""
    """Why, for people, and what to do about it."""

    @property
    def is_true(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


def truncate(message: str, limit: int = MESSAGE_MAX_BYTES) -> str:
    """The message in at most `limit` bytes of UTF-8; where something is left out it ends with an ellipsis."""
    encoded = message.encode()
    if len(encoded) <= limit:
        return message
    kept = encoded[: limit - len(_ELLIPSIS.encode())].decode(errors="ignore")
    return kept.rstrip() + _ELLIPSIS


def find_condition(conditions: Iterable[Condition], condition_type: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == condition_type), None)


def is_true(conditions: Iterable[Condition], condition_type: str) -> bool:
    """Whether the condition is there and True."""
    return any(condition.is_true for condition in conditions if condition.type == condition_type)


def set_condition(conditions: Iterable[Condition], new: Condition, now: datetime) -> Conditions:
    """Add a condition or replace the one of its type.

    Args:
        conditions: those that the status has.
        new: its lastTransitionTime is not used; its message is cut to the limit.
        now: becomes lastTransitionTime if the status differs from before.

    Returns:
        All conditions in the fixed order of `ConditionType`, unknown ones behind.
    """
    before = find_condition(conditions, new.type)
    moved = before is None or before.status != new.status or before.last_transition_time is None
    since = now if moved or before is None else before.last_transition_time
    merged = Condition(
        type=new.type,
        status=new.status,
        observed_generation=new.observed_generation,
        last_transition_time=since,
        reason=new.reason,
        message=truncate(new.message),
    )
    others = (condition for condition in conditions if condition.type != new.type)
    return tuple(sorted((*others, merged), key=_position))


def remove_condition(conditions: Iterable[Condition], *condition_types: str) -> Conditions:
    """All conditions but those of the types."""
    return tuple(condition for condition in conditions if condition.type not in condition_types)


def mark_ready(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """All is as asked: Ready=True, nothing under way, nothing for a person (kstatus: Current)."""
    ready = _condition(ConditionType.READY, "True", reason, message, generation)
    rest = remove_condition(conditions, ConditionType.RECONCILING, ConditionType.STALLED)
    return set_condition(rest, ready, now)


def mark_reconciling(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """Not yet as asked, and it may still come by itself: Ready=False, Reconciling=True (kstatus: InProgress)."""
    ready = _condition(ConditionType.READY, "False", reason, message, generation)
    because = _condition(ConditionType.RECONCILING, "True", reason, message, generation)
    rest = remove_condition(conditions, ConditionType.STALLED)
    return set_condition(set_condition(rest, ready, now), because, now)


def mark_stalled(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """Not as asked, and only a person can mend it: Ready=False, Stalled=True (kstatus: Failed)."""
    ready = _condition(ConditionType.READY, "False", reason, message, generation)
    because = _condition(ConditionType.STALLED, "True", reason, message, generation)
    rest = remove_condition(conditions, ConditionType.RECONCILING)
    return set_condition(set_condition(rest, ready, now), because, now)


def _condition(condition_type: ConditionType, status: Status, reason: str, message: str, generation: int) -> Condition:
    return Condition(
        type=condition_type.value,
        status=status,
        observed_generation=generation,
        reason=reason,
        message=truncate(message),
    )


def _position(condition: Condition) -> tuple[int, str]:
    return _ORDER.get(condition.type, len(_ORDER)), condition.type
