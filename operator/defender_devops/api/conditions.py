"""Conditions as metav1.Condition, and the three that kstatus reads, kept consistent.

Pure: the time is an argument. Ready, Reconciling and Stalled are set only through `mark_ready`, `mark_reconciling` and
`mark_stalled`: kstatus (sigs.k8s.io/cli-utils, as Argo CD's and Flux's health checks follow it) reads Reconciling=True
as InProgress, Stalled=True as Failed, and a lone Ready=False as InProgress for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from defender_devops.api.reasons import ConditionType
from defender_devops.api.schema.model import ApiModel, Generation, Text, Timestamp
from defender_devops.text import printable

MESSAGE_MAX_BYTES: Final = 1024
"""Of a condition's message in UTF-8: people read it, and every watcher receives it."""

CONDITIONS_MAX: Final = 16

Status = Literal["True", "False", "Unknown"]

Conditions = tuple["Condition", ...]

_ORDER: Final = {str(condition_type): position for position, condition_type in enumerate(ConditionType)}
_ELLIPSIS: Final = "…"


class Condition(ApiModel):
    """One condition, as metav1.Condition."""

    # The API server requires the time; it is missing here only from a condition that is not in a status yet.
    model_config = ConfigDict(json_schema_extra={"required": ["type", "status", "lastTransitionTime", "reason"]})

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Type of the condition, such as Ready or Authorized."""

    status: Status
    """True, False or Unknown."""

    observed_generation: Generation | None = None
    """metadata.generation of the spec that this condition describes."""

    last_transition_time: Timestamp | None = None
    """When the status last changed; a new reason or message does not count."""

    reason: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Machine-readable reason; the documentation explains the cause of each and what to do."""

    message: Annotated[Text, Field(max_length=MESSAGE_MAX_BYTES)] = ""
    """Cause for people, and what to do."""

    @property
    def is_true(self) -> bool:
        """Whether the status is True."""
        return self.status == "True"


_CONDITIONS: Final = TypeAdapter(Annotated[tuple[Condition, ...], Field(max_length=CONDITIONS_MAX)])


def truncate_message(message: str, limit: int = MESSAGE_MAX_BYTES) -> str:
    """Return the message, printable and in at most `limit` bytes of UTF-8; a shortened one ends with an ellipsis."""
    message = printable(message)
    encoded = message.encode()
    if len(encoded) <= limit:
        return message
    shortened = encoded[: limit - len(_ELLIPSIS.encode())].decode(errors="ignore")
    return shortened.rstrip() + _ELLIPSIS


def conditions_of_body(body: Mapping[str, Any]) -> Conditions:
    """Return the conditions of a resource's body; none if they are invalid."""
    try:
        return _CONDITIONS.validate_python((body.get("status") or {}).get("conditions") or ())
    except ValidationError:
        return ()


def find_condition(conditions: Iterable[Condition], condition_type: str) -> Condition | None:
    """Return the condition of that type, or None."""
    # A loop: `next` with a generator takes three times as long, and a report of a connector asks a hundred times.
    for condition in conditions:
        if condition.type == condition_type:
            return condition
    return None


def is_true(conditions: Iterable[Condition], condition_type: str) -> bool:
    """Whether the condition exists and is True."""
    return any(condition.is_true for condition in conditions if condition.type == condition_type)


def update_condition(
    conditions: Iterable[Condition],
    condition_type: str,
    status: Status,
    *,
    reason: str,
    message: str,
    generation: int | None,
    now: datetime,
) -> Conditions:
    """Add a condition or replace the one of its type.

    Args:
        conditions: those in the status.
        condition_type: its type.
        status: its status.
        reason: its reason.
        message: truncated to the limit.
        generation: metadata.generation of the spec that it describes.
        now: becomes lastTransitionTime if the condition's status changes.

    Returns:
        All conditions in the order of `ConditionType`, unknown types last; the same ones where nothing changes, as in
        nearly all reconciles.
    """
    conditions = tuple(conditions)
    previous = find_condition(conditions, condition_type)
    since = previous.last_transition_time if previous is not None and previous.status == status else None
    if (
        previous is not None
        and since is not None
        and previous.reason == reason
        and previous.message == message
        and previous.observed_generation == generation
    ):
        return conditions
    new = Condition(
        type=condition_type,
        status=status,
        observed_generation=generation,
        last_transition_time=since or now,
        reason=reason,
        message=truncate_message(message),
    )
    other_conditions = (condition for condition in conditions if condition.type != condition_type)
    return tuple(sorted((*other_conditions, new), key=_position))


def remove_condition(conditions: Iterable[Condition], *condition_types: str) -> Conditions:
    """Return all conditions except those of the types."""
    return tuple(condition for condition in conditions if condition.type not in condition_types)


def mark_ready(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """Set Ready=True and remove Reconciling and Stalled: the desired state is reached (kstatus: Current)."""
    remaining = remove_condition(conditions, ConditionType.RECONCILING, ConditionType.STALLED)
    return update_condition(
        remaining, ConditionType.READY.value, "True", reason=reason, message=message, generation=generation, now=now
    )


def mark_reconciling(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """Set Ready=False and Reconciling=True: not reached yet, and no person is needed (kstatus: InProgress)."""
    return _mark_not_ready(
        conditions, ConditionType.RECONCILING, reason=reason, message=message, generation=generation, now=now
    )


def mark_stalled(
    conditions: Iterable[Condition], *, reason: str, message: str, generation: int, now: datetime
) -> Conditions:
    """Set Ready=False and Stalled=True: only a person can resolve it (kstatus: Failed)."""
    return _mark_not_ready(
        conditions, ConditionType.STALLED, reason=reason, message=message, generation=generation, now=now
    )


def _mark_not_ready(
    conditions: Iterable[Condition],
    cause: ConditionType,
    *,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> Conditions:
    """Set Ready=False and, of Reconciling and Stalled, only the one that is the cause."""
    is_stalled = cause is ConditionType.STALLED
    remaining = remove_condition(conditions, ConditionType.RECONCILING if is_stalled else ConditionType.STALLED)
    statuses: tuple[tuple[ConditionType, Status], ...] = ((ConditionType.READY, "False"), (cause, "True"))
    for condition_type, status in statuses:
        remaining = update_condition(
            remaining, condition_type.value, status, reason=reason, message=message, generation=generation, now=now
        )
    return remaining


def _position(condition: Condition) -> tuple[int, str]:
    return _ORDER.get(condition.type, len(_ORDER)), condition.type
