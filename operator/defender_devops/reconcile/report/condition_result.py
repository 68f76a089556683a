"""The result for one condition, and how results become the conditions of a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.conditions import (
    Condition,
    Conditions,
    Status,
    find_condition,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    update_condition,
)
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts.failure import Failure

__all__ = [
    "OPERATOR_FAILURE_REASONS",
    "QUOTED_MAX",
    "ConditionResult",
    "apply_condition_results",
    "mark_result",
    "not_checked_result",
    "previous_condition_result",
    "result_of_failure",
]


OPERATOR_FAILURE_REASONS = frozenset({Reason.KUBERNETES_UNAVAILABLE, Reason.KUBERNETES_REFUSED, Reason.INTERNAL_ERROR})
"""Reasons of failures in the cluster or the operator, not in Azure."""

QUOTED_MAX = 250
"""Bytes of a quoted message, so that the instructions after it still fit."""

Results = Mapping[str, "ConditionResult | None"]
"""Results by type of condition. None means unknown now: the previous condition stays, for the new generation too."""


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """A condition without its times.

    Attributes:
        needs_user_action: if it is not True, only a person can fix it (the resource is Stalled).
    """

    status: Status
    reason: str
    message: str
    needs_user_action: bool = False

    @property
    def is_true(self) -> bool:
        """Whether the condition is True."""
        return self.status == "True"


def result_of_failure(failure: Failure) -> ConditionResult:
    """Return the result that a failure ends in."""
    return ConditionResult("False", failure.reason, failure.message, needs_user_action=failure.terminal)


def not_checked_result(message: str = "Not evaluated yet.") -> ConditionResult:
    """Return the result while a precondition is missing."""
    return ConditionResult("Unknown", Reason.NOT_CHECKED, message)


def previous_condition_result(conditions: Iterable[Condition], kind: str) -> ConditionResult | None:
    """Return what a condition says in status, or None if it is missing."""
    condition = find_condition(conditions, kind)
    if condition is None:
        return None
    return ConditionResult(condition.status, condition.reason, condition.message)


def apply_condition_results(conditions: Conditions, results: Results, generation: int, now: datetime) -> Conditions:
    """Set a condition for each result.

    Args:
        conditions: of the status.
        results: by type of condition.
        generation: metadata.generation that the results apply to.
        now: transition time of conditions whose status changes.
    """
    for kind, result in results.items():
        condition = result if result is not None else find_condition(conditions, kind)
        if condition is not None:
            conditions = update_condition(
                conditions,
                kind,
                condition.status,
                reason=condition.reason,
                message=condition.message,
                generation=generation,
                now=now,
            )
    return conditions


def mark_result(conditions: Conditions, result: ConditionResult, generation: int, now: datetime) -> Conditions:
    """Set Ready, Reconciling and Stalled from the result for Ready."""
    mark = mark_ready if result.is_true else (mark_stalled if result.needs_user_action else mark_reconciling)
    return mark(conditions, reason=result.reason, message=result.message, generation=generation, now=now)
