"""The results for the condition PostureAvailable of organizations and connectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from defender_devops.api.conditions import truncate_message
from defender_devops.api.posture import Coverage, PostureStatus
from defender_devops.api.reasons import Reason
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report.condition_result import QUOTED_MAX, ConditionResult
from defender_devops.text import list_names

__all__ = ["DISABLED", "NOT_EVALUATED", "RESULTS_DEADLINE", "connector_result", "organization_result"]

RESULTS_DEADLINE: Final = timedelta(hours=48)
"""First results take up to 24 hours after onboarding (https://learn.microsoft.com/azure/defender-for-cloud/
concept-devops-environment-posture-management-overview), so that nothing shorter is worth saying."""

DISABLED: Final = ConditionResult(
    "Unknown",
    Reason.DISABLED,
    "settings.postureInterval is 0, so the operator does not read the results of Defender for Cloud.",
)

NOT_EVALUATED: Final = ConditionResult(
    "Unknown", Reason.INTERNAL_ERROR, "The results of the organization could not be evaluated."
)
"""Of an organization whose resource reports an unexpected exception."""


def organization_result(
    failure: Failure | None,
    name: str,
    status: PostureStatus,
    *,
    is_missing: bool,
    is_understood: bool,
    is_overdue: bool,
    is_stale: bool,
    uncounted: int = 0,
) -> ConditionResult:
    """Return the result of one organization.

    Args:
        failure: why the newest query gave no complete answer, if it did not.
        name: of the organization.
        status: its new `status.posture`.
        is_missing: the last complete answer has no row of it.
        is_understood: the status of at least one of its recommendations is known.
        is_overdue: it has had none for 48 hours although it should.
        is_stale: its results have stopped changing.
        uncounted: number of its recommendations whose status is not known.
    """
    if failure is not None:
        return _failed(failure)
    if is_overdue:
        return _overdue([name])
    if is_missing:
        return _no_results_yet([name]) if status.recommendations is None else _vanished([name])
    if not is_understood:
        return _vanished([name])
    return _stale([name]) if is_stale else _available(status, uncounted)


def connector_result(
    failure: Failure | None,
    status: PostureStatus | None,
    results: Sequence[tuple[str, ConditionResult]],
    uncounted: int = 0,
) -> ConditionResult:
    """Return the result of a connector: the worst one, with the names of its organizations.

    Args:
        failure: why the newest query gave no complete answer, if it did not.
        status: the connector's new `status.posture`.
        results: name and result of each onboarded organization.
        uncounted: number of recommendations whose status is not known.
    """
    if failure is not None:
        return _failed(failure)
    for reason, result_of in (
        (Reason.RESULTS_MISSING, _overdue),
        (Reason.STALE_RESULTS, _stale),
        (Reason.INTERNAL_ERROR, _not_evaluated),
        (Reason.INCOMPLETE, _vanished),
        (Reason.NO_RESULTS_YET, _no_results_yet),
    ):
        if names := [name for name, result in results if result.reason == reason]:
            return result_of(names)
    if status is None:
        return ConditionResult("Unknown", Reason.NO_RESULTS_YET, "No organization is onboarded yet.")
    return _available(status, uncounted)


def _failed(failure: Failure) -> ConditionResult:
    detail = truncate_message(failure.message, QUOTED_MAX).rstrip(".")
    if failure.category is ErrorCategory.ACCESS:
        message = (
            f"Azure rejects the query for the results of Defender for Cloud: {detail}. Assign Security Reader on the "
            "connector or its resource group to the operator's identity, or correct its credentials. The numbers in "
            "status.posture are those of the last complete answer."
        )
        return ConditionResult("Unknown", Reason.QUERY_DENIED, message)
    message = (
        f"The results of Defender for Cloud could not be read completely: {detail}. The query is repeated. The numbers "
        "in status.posture are those of the last complete answer."
    )
    return ConditionResult("Unknown", Reason.INCOMPLETE, message)


def _overdue(names: Iterable[str]) -> ConditionResult:
    message = (
        f"Defender for Cloud has had no result of {list_names(names)} for 48 hours although repositories are "
        "onboarded. Check that the operator's identity has Security Reader on the connector (Azure hides results "
        "without it), then the organization's prerequisites and Defender's authorization."
    )
    return ConditionResult("False", Reason.RESULTS_MISSING, message)


def _vanished(names: Iterable[str]) -> ConditionResult:
    message = (
        f"The newest answers have no result of {list_names(names)} any more, or only results with a status that this "
        "version of the operator does not know, which does not mean that there are no findings. The numbers in "
        "status.posture are those of the last answer that had results."
    )
    return ConditionResult("Unknown", Reason.INCOMPLETE, message)


def _not_evaluated(names: Iterable[str]) -> ConditionResult:
    message = (
        f"The results of {list_names(names)} could not be evaluated: see the condition Ready of that organization. Its "
        "numbers in status.posture are the last ones."
    )
    return ConditionResult("Unknown", Reason.INCOMPLETE, message)


def _no_results_yet(names: Iterable[str]) -> ConditionResult:
    message = (
        f"Defender for Cloud has no result of {list_names(names)} yet, which does not mean that there are no findings. "
        "First results take up to 24 hours; the operator's identity needs Security Reader on the connector to see them."
    )
    return ConditionResult("Unknown", Reason.NO_RESULTS_YET, message)


def _stale(names: Iterable[str]) -> ConditionResult:
    message = (
        f"The results of {list_names(names)} have stopped changing while those of other organizations change. Check "
        "that the account that authorized Defender for Cloud still has access to the organization; if not, restore "
        "it or authorize again."
    )
    return ConditionResult("False", Reason.STALE_RESULTS, message)


def _available(status: PostureStatus, uncounted: int) -> ConditionResult:
    """Return the result with the numbers, and with the categories in which no finding means nothing."""
    severities = status.recommendations.model_dump() if status.recommendations else {}
    numbers = ", ".join(f"{number} {severity}" for severity, number in severities.items() if number)
    summary = f"{numbers}, in {status.affected_repositories} repositories" if numbers else "none"
    sentences = [f"Open recommendations: {summary}."]
    if uncounted:
        sentences.append(f"Not counted, because this version of the operator does not know their status: {uncounted}.")
    coverage = status.coverage.model_dump(by_alias=True, exclude_none=True) if status.coverage else {}
    for value, text in ((Coverage.NOT_SCANNED, "Not scanned"), (Coverage.UNKNOWN, "Not known to be scanned")):
        if categories := [category for category, recorded in coverage.items() if recorded == value]:
            sentences.append(f"{text}: {', '.join(categories)}.")
    return ConditionResult("True", Reason.RESULTS_AVAILABLE, " ".join(sentences))
