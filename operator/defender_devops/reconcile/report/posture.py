"""What Defender for Cloud has found: the numbers in status, and the values of the metrics.

The numbers are those of the last complete answer of Resource Graph. No row of an organization is unknown, never zero:
its previous numbers stay, and the condition PostureAvailable says so. Nothing changes with time alone except that
results which have not come for 48 hours are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from defender_devops.api.conditions import find_condition
from defender_devops.api.posture import (
    Category,
    CategoryCounts,
    CategoryCoverage,
    Coverage,
    PostureCounts,
    PostureStatus,
    RecommendationCounts,
    Severity,
)
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.coverage import SCANNABLE, combined_coverage, organization_coverage
from defender_devops.reconcile.facts.posture import PostureObservation
from defender_devops.reconcile.report.condition_result import ConditionResult
from defender_devops.reconcile.report.posture_conditions import (
    DISABLED,
    NOT_EVALUATED,
    RESULTS_DEADLINE,
    connector_result,
    organization_result,
)

__all__ = ["ConnectorPosture", "OrganizationFindings", "OrganizationPosture", "posture", "stale_names"]

_LETTERS: Final = {
    Severity.CRITICAL: "C",
    Severity.HIGH: "H",
    Severity.MEDIUM: "M",
    Severity.LOW: "L",
    Severity.OTHER: "O",
}
_CAN_BE_ZERO: Final = frozenset({Coverage.SCANNED, Coverage.PARTIAL})
"""Coverages with which no finding is a result; with the others it only means that nothing is known to look."""
_COVERAGES: Final = frozenset(Coverage)
_NO_RESULTS: Final = PostureStatus()


@dataclass(frozen=True, slots=True)
class OrganizationFindings:
    """The numbers of one organization, for metrics.

    Attributes:
        organization: its name.
        unhealthy: open recommendations by severity and category; zero where something looks and finds nothing, absent
            where nothing is known to look.
        affected_repositories: repositories with one.
        coverage: by category.
    """

    organization: str
    unhealthy: Mapping[tuple[Severity, Category], int]
    affected_repositories: int
    coverage: Mapping[Category, Coverage]


@dataclass(frozen=True, slots=True)
class OrganizationPosture:
    """The report of one organization.

    Attributes:
        name: of the organization.
        status: new `status.posture`; None where there is none.
        result: for PostureAvailable.
        findings: for metrics; None without results.
        is_stale: its results have stopped changing.
        uncounted: number of recommendations whose status is not known.
        reevaluate_at: when time alone changes the result, or None.
        error: the unexpected exception that its evaluation raised; its resource alone reports that.
    """

    name: str
    status: PostureStatus | None
    result: ConditionResult
    findings: OrganizationFindings | None = None
    is_stale: bool = False
    uncounted: int = 0
    reevaluate_at: datetime | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ConnectorPosture:
    """The report of a connector.

    Attributes:
        status: new `status.posture`: the sums over the organizations; None where there is none.
        result: for PostureAvailable.
        organizations: the onboarded ones, by name in lower case.
    """

    status: PostureStatus | None
    result: ConditionResult
    organizations: Mapping[str, OrganizationPosture] = field(default_factory=dict)

    @property
    def reevaluate_at(self) -> datetime | None:
        """When time alone changes a result, or None."""
        times = (item.reevaluate_at for item in self.organizations.values() if item.reevaluate_at is not None)
        return min(times, default=None)

    @property
    def findings(self) -> tuple[OrganizationFindings, ...]:
        """The numbers for metrics."""
        return tuple(item.findings for item in self.organizations.values() if item.findings is not None)


def posture(assessment: Assessment, now: datetime) -> ConnectorPosture | None:
    """Return what is reported; None if unknown now, as before the first answer: everything stays as it is.

    Args:
        assessment: of the snapshot after the steps.
        now: becomes `changedAt` where a number changes; compared with the deadline of results.

    Raises:
        Exception: of an organization without a resource that could report it.
    """
    observation = assessment.snapshot.posture
    if observation is None or not assessment.is_usable or not assessment.azure.is_settled:
        return None
    if not observation.enabled:
        disabled = {key: OrganizationPosture(name, None, DISABLED) for key, name in assessment.onboarded.items()}
        return ConnectorPosture(None, DISABLED, disabled)
    if observation.answered_at is None and observation.failure is None:
        return None
    organizations = {
        key: _isolated_organization(assessment, observation, key, name, now)
        for key, name in assessment.onboarded.items()
    }
    statuses = [item.status for item in organizations.values() if item.status is not None]
    status = _sum(statuses, assessment.connector.status.posture, now)
    results = [(item.name, item.result) for item in organizations.values()]
    uncounted = sum(item.uncounted for item in organizations.values())
    return ConnectorPosture(status, connector_result(observation.failure, status, results, uncounted), organizations)


def stale_names(assessment: Assessment, reported: ConnectorPosture | None) -> tuple[str, ...]:
    """Return the organizations whose results have stopped changing.

    Args:
        assessment: of the snapshot after the steps.
        reported: the report of the posture; None if unknown now: then the statuses say which.
    """
    if reported is not None:
        return tuple(item.name for item in reported.organizations.values() if item.is_stale)
    return tuple(name for key, name in assessment.onboarded.items() if _was_stale(assessment, key))


def _was_stale(assessment: Assessment, key: str) -> bool:
    resource = assessment.overrides.get(key)
    conditions = resource.status.conditions if resource is not None else ()
    condition = find_condition(conditions, ConditionType.POSTURE_AVAILABLE)
    return condition is not None and condition.reason == Reason.STALE_RESULTS


def _isolated_organization(
    assessment: Assessment, observation: PostureObservation, key: str, name: str, now: datetime
) -> OrganizationPosture:
    """Return the report of one organization; after an unexpected exception, its last numbers and the exception.

    `facts.isolation` cannot find this organization: what Azure returns of it is evaluated without its resource, too.
    """
    try:
        return _organization(assessment, observation, key, name, now)
    except Exception as error:
        resource = assessment.overrides.get(key)
        if resource is None:
            raise
        previous = resource.status.posture or _NO_RESULTS
        is_stale = _was_stale(assessment, key)
        return OrganizationPosture(name, previous, NOT_EVALUATED, is_stale=is_stale, error=error)


def _organization(
    assessment: Assessment, observation: PostureObservation, key: str, name: str, now: datetime
) -> OrganizationPosture:
    resource = assessment.overrides.get(key)
    previous = (resource.status.posture if resource is not None else None) or _NO_RESULTS
    row = observation.organizations.get(key)
    uncounted = row.other_status if row is not None else 0
    counts = row if row is not None and row.is_understood else None
    coverage = _coverage(assessment, name, counts, previous)
    expected_since = _expected_since(assessment, key, previous, now) if row is None else None
    deadline = expected_since + RESULTS_DEADLINE if expected_since is not None else None
    status = previous if counts is None else _with_numbers(previous, counts, coverage, now)
    new_coverage = _coverage_status(tuple(coverage[category] for category in SCANNABLE))
    if (status.results_expected_since, status.coverage) != (expected_since, new_coverage):
        status = status.model_copy(update={"results_expected_since": expected_since, "coverage": new_coverage})
    # After a start it is not known at first whether results still change: those that had stopped count as stopped.
    is_stale = key in observation.stale_organizations or (
        key not in observation.active_organizations and _was_stale(assessment, key)
    )
    result = organization_result(
        observation.failure,
        name,
        status,
        is_missing=row is None,
        is_understood=row is None or counts is not None,
        is_overdue=deadline is not None and now >= deadline,
        is_stale=is_stale,
        uncounted=uncounted,
    )
    findings = None
    if counts is not None:
        numbers = _with_zeros(counts, coverage)
        findings = OrganizationFindings(name, numbers, counts.affected_repositories, coverage)
    reevaluate_at = deadline if deadline is not None and deadline > now else None
    return OrganizationPosture(
        name, status, result, findings, is_stale=is_stale, uncounted=uncounted, reevaluate_at=reevaluate_at
    )


def _expected_since(assessment: Assessment, key: str, previous: PostureStatus, now: datetime) -> datetime | None:
    """Return since when an organization without results should have some; None while it has no repositories either."""
    counts, resource = assessment.snapshot.inventory.by_organization.get(key), assessment.overrides.get(key)
    progress = resource.status.repositories if resource is not None else None
    repositories = counts.repositories if counts is not None else (progress and progress.discovered) or 0
    if not repositories and previous.recommendations is None:
        return None
    # A time in the future was not written by the operator: nobody may suspend the deadline with it.
    return min(previous.results_expected_since or now, now)


def _coverage(
    assessment: Assessment, name: str, counts: PostureCounts | None, previous: PostureStatus
) -> dict[Category, Coverage]:
    """Return the coverage; what is unknown only because something was not read stays as it was."""
    plan, configuration = assessment.snapshot.cspm_plan, assessment.azure.configuration
    agentless = configuration.agentless if configuration is not None else None
    has_plan = plan.is_enabled if plan is not None else None
    coverage = organization_coverage(name, counts, agentless, has_cspm_plan=has_plan)
    is_plan_unknown = plan is None and agentless is not None and agentless.enabled
    if previous.coverage is not None and (is_plan_unknown or counts is None):
        for category, recorded in _recorded_coverage(previous.coverage).items():
            value = coverage[category]
            is_less = value is Coverage.UNKNOWN or recorded is Coverage.SCANNED
            if value is not Coverage.SCANNED and is_less:
                coverage[category] = recorded
    return coverage


# Both are cached: few values exist, and each report of a connector needs one of each of its organizations.
@lru_cache(maxsize=1024)
def _coverage_status(coverage: tuple[Coverage, ...]) -> CategoryCoverage:
    """Return `status.posture.coverage` with these values, in the order of SCANNABLE."""
    values = zip(SCANNABLE, coverage, strict=True)
    return CategoryCoverage.model_validate({category.value: value.value for category, value in values})


@lru_cache(maxsize=1024)
def _recorded_coverage(status: CategoryCoverage) -> Mapping[Category, Coverage]:
    """Return the values of a status, without those that another version of the operator wrote."""
    recorded = status.model_dump(by_alias=True, exclude_none=True)
    return {category: Coverage(recorded[category]) for category in SCANNABLE if recorded.get(category) in _COVERAGES}


def _with_zeros(counts: PostureCounts, coverage: Mapping[Category, Coverage]) -> dict[tuple[Severity, Category], int]:
    """Return the numbers, with zeros where something looks and finds nothing."""
    zeros: dict[tuple[Severity, Category], int] = {
        (severity, category): 0
        for category in _zero_categories(counts, coverage)
        for severity in Severity
        if severity is not Severity.OTHER
    }
    return {**zeros, **counts.unhealthy}


def _zero_categories(counts: PostureCounts, coverage: Mapping[Category, Coverage]) -> tuple[Category, ...]:
    """Return the categories in which no finding is a result; none while the status of a recommendation is not known."""
    if counts.other_status:
        return ()
    return tuple(category for category in SCANNABLE if coverage[category] in _CAN_BE_ZERO)


def _with_numbers(
    previous: PostureStatus, counts: PostureCounts, coverage: Mapping[Category, Coverage], now: datetime
) -> PostureStatus:
    severities: dict[str, int] = dict.fromkeys(Severity, 0)
    categories: dict[str, int] = dict.fromkeys(_zero_categories(counts, coverage), 0)
    for (severity, category), number in counts.unhealthy.items():
        severities[severity] += number
        categories[category] = categories.get(category, 0) + number
    is_complete = not counts.other_status and all(value is Coverage.SCANNED for value in coverage.values())
    return _status(previous, severities, categories, counts.affected_repositories, is_complete=is_complete, now=now)


def _status(
    previous: PostureStatus,
    severities: Mapping[str, int],
    categories: Mapping[str, int],
    affected_repositories: int,
    *,
    is_complete: bool,
    now: datetime,
) -> PostureStatus:
    """Return a status with these numbers; its time moves only with them.

    Args:
        previous: the last one.
        severities: numbers by severity.
        categories: numbers by category.
        affected_repositories: number of repositories.
        is_complete: everything is scanned, so that no finding means that there is none.
        now: the time of a change.
    """
    parts = [f"{severities[severity]}{letter}" for severity, letter in _LETTERS.items() if severities.get(severity)]
    numbers = PostureStatus(
        findings=" ".join(parts) or ("0" if is_complete else "0, partly scanned"),
        recommendations=RecommendationCounts.model_validate(severities),
        categories=CategoryCounts.model_validate(categories),
        affected_repositories=affected_repositories,
    )
    other_fields = {"changed_at": None, "coverage": None, "results_expected_since": None, "findings": numbers.findings}
    is_changed = previous.model_copy(update=other_fields) != numbers
    changed_at = now if is_changed or previous.changed_at is None else previous.changed_at
    return numbers.model_copy(update={"changed_at": changed_at})


def _sum(statuses: list[PostureStatus], previous: PostureStatus | None, now: datetime) -> PostureStatus | None:
    """Return the sums; a category that no organization has a number of has none."""
    if not statuses:
        return None
    coverages = [_recorded_coverage(status.coverage) for status in statuses if status.coverage is not None]
    coverage = tuple(
        combined_coverage(values.get(category, Coverage.UNKNOWN) for values in coverages) for category in SCANNABLE
    )
    with_results = [status for status in statuses if status.recommendations is not None]
    total = _NO_RESULTS
    if with_results:
        is_complete = len(with_results) == len(statuses) and set(coverage) == {Coverage.SCANNED}
        total = _status(
            previous or _NO_RESULTS,
            _total(status.recommendations for status in with_results),
            _total(status.categories for status in with_results),
            sum(status.affected_repositories or 0 for status in with_results),
            is_complete=is_complete,
            now=now,
        )
    return total.model_copy(update={"coverage": _coverage_status(coverage)})


def _total(counts: Iterable[RecommendationCounts | CategoryCounts | None]) -> dict[str, int]:
    """Return the sum of each number that at least one has."""
    total: dict[str, int] = {}
    for numbers in counts:
        for name, number in (numbers.model_dump(by_alias=True, exclude_none=True) if numbers else {}).items():
            total[name] = total.get(name, 0) + number
    return total
