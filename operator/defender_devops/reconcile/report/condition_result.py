"""A verdict: a condition without its times, and how it becomes one (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from defender_devops.api.conditions import Condition, Status, truncate
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts.snapshot import Failure

__all__ = [
    "NAMES_SHOWN",
    "OPERATOR_FAILURE_REASONS",
    "QUOTED_MAX",
    "ConditionResult",
    "condition_of",
    "failed",
    "list_names",
    "not_checked",
]

NAMES_SHOWN = 3
"""A message names so many organizations and counts the rest."""

OPERATOR_FAILURE_REASONS = frozenset({Reason.KUBERNETES_UNAVAILABLE, Reason.KUBERNETES_REFUSED, Reason.INTERNAL_ERROR})
"""Reasons of failures that are not Azure's."""

QUOTED_MAX = 250
"""Bytes of somebody else's words in a message, so that what to do still fits in behind them."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """A condition without its times.

    Attributes:
        needs_user_action: where it is not True, only a person can mend it.
    """

    status: Status
    reason: str
    message: str
    needs_user_action: bool = False

    @property
    def is_true(self) -> bool:
        """Whether the condition is True."""
        return self.status == "True"


def failed(failure: Failure) -> ConditionResult:
    """The verdict that an error ends in."""
    return ConditionResult("False", failure.reason, failure.message, needs_user_action=failure.terminal)


def not_checked(message: str) -> ConditionResult:
    """The verdict where something else has to come first."""
    return ConditionResult("Unknown", Reason.NOT_CHECKED, message)


def condition_of(kind: str, verdict: ConditionResult, generation: int) -> Condition:
    """The condition that a verdict becomes, its message within bounds."""
    return Condition(
        type=kind,
        status=verdict.status,
        observed_generation=generation,
        reason=verdict.reason,
        message=truncate(verdict.message),
    )


def list_names(names: Iterable[str]) -> str:
    """The first names in the order of the alphabet, and how many more there are."""
    ordered = sorted(names, key=str.lower)
    more = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
