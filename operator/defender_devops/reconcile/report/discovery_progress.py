"""Progress of Defender's discovery: counts, percent, estimate and deadline, and the condition Discovered.

Discovery runs when an organization is onboarded and then every 8 hours, at about 100 projects an hour for each
connector (https://learn.microsoft.com/azure/defender-for-cloud/quickstart-onboard-devops). No value changes with time
alone: each depends on the counts and on the times at which they changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_devops.api.azure_types import Counts, OnboardingState
from defender_devops.api.conditions import is_true
from defender_devops.api.connector import DiscoveryStatus, OrganizationCounts, Progress
from defender_devops.api.organization import OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.report.condition_result import ConditionResult, not_checked_result
from defender_devops.text import list_names

__all__ = ["Discovery", "discovered_condition", "discovery_lags", "discovery_progress", "was_reported"]

PROJECTS_PER_HOUR = 100
_ESTIMATE_STEP = timedelta(minutes=5)
_ESTIMATE_MAX = timedelta(days=30)
"""A longer estimate is not shown, because it would be a guess."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The progress of a connector.

    Attributes:
        status: as it is written to the resource's status.
        is_complete: everything is reported.
        deadline_exceeded: the deadline has passed and something is missing.
        lagging: names of organizations that are not complete.
        reevaluate_at: when time alone changes the result, or None.
    """

    status: DiscoveryStatus
    is_complete: bool = False
    deadline_exceeded: bool = False
    lagging: tuple[str, ...] = ()
    reevaluate_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Totals:
    """Sums over the onboarded organizations.

    Attributes:
        discovered: as Defender reported.
        expected: as Azure DevOps returned; None unless it is known for every organization.
        matched: both reported and expected, summed for each organization, so that a surplus in one organization does
            not hide a deficit in another.
        lagging: names of organizations that are not complete.
    """

    discovered: Counts
    expected: Counts | None
    matched: Counts
    lagging: tuple[str, ...]


def discovery_progress(assessment: Assessment, now: datetime) -> Discovery:
    """Compare what Defender reported with what Azure DevOps holds; without a sign-in, wait until it stops changing."""
    previous = assessment.connector.status.discovery or DiscoveryStatus()
    onboarded = assessment.onboarded
    organizations = _organization_counts(assessment, previous, len(onboarded))
    if not onboarded:
        return Discovery(DiscoveryStatus(organizations=organizations))
    totals = _totals(assessment, previous)
    expected = totals.expected
    projects = Progress(discovered=totals.discovered.projects, expected=expected and expected.projects)
    repositories = Progress(discovered=totals.discovered.repositories, expected=expected and expected.repositories)
    previously_onboarded = (previous.organizations.onboarded or 0) if previous.organizations else 0
    # An additional organization starts a new discovery, and so does one in place of another.
    is_replaced = previous.completed_at is not None and _has_newly_onboarded_organization(assessment)
    is_new = previous.started_at is None or len(onboarded) > previously_onboarded or is_replaced
    changed = is_new or (projects, repositories) != (previous.projects, previous.repositories)
    # A time in the future was not written by the operator: nobody may suspend the deadline with it.
    started_at = now if is_new or previous.started_at is None else min(previous.started_at, now)
    changed_at = now if changed or previous.counts_changed_at is None else min(previous.counts_changed_at, now)
    settles_at = changed_at + assessment.snapshot.timings.settle_interval
    completed_at = previous.completed_at if not is_new else None
    if completed_at is None and not totals.lagging and (expected is not None or now >= settles_at):
        completed_at = now
    is_complete = completed_at is not None
    most_projects = max(expected.projects if expected else 0, totals.discovered.projects)
    allowance = max(assessment.connector.spec.discovery.deadline, timedelta(hours=most_projects / PROJECTS_PER_HOUR))
    deadline = started_at + allowance
    estimate = previous.estimated_completion_at if not changed else _estimate(totals, started_at, now)
    percent = None
    if expected is not None:
        # 100 is reserved for a complete discovery.
        share = 100 * totals.matched.repositories // max(expected.repositories, 1)
        percent = 100 if is_complete else min(99, share)
    status = DiscoveryStatus(
        organizations=organizations,
        projects=projects,
        repositories=repositories,
        percent=percent,
        started_at=started_at,
        counts_changed_at=changed_at,
        completed_at=completed_at,
        deadline=deadline,
        estimated_completion_at=None if is_complete else estimate,
    )
    turning_point = deadline if totals.lagging else settles_at
    return Discovery(
        status,
        is_complete=is_complete,
        deadline_exceeded=not is_complete and now >= deadline and bool(totals.lagging),
        lagging=totals.lagging,
        reevaluate_at=turning_point if not is_complete and turning_point > now else None,
    )


def _has_newly_onboarded_organization(assessment: Assessment) -> bool:
    """Whether the status of an onboarded organization's resource says that it was not onboarded."""
    return any(
        resource.status.onboarding_state not in {None, OnboardingState.ONBOARDED}
        and resource.spec.organization.lower() in assessment.onboarded
        for resource in assessment.snapshot.organizations
    )


def was_reported(status: OrganizationStatus) -> bool:
    """Whether Defender has ever reported something of an organization, or it was complete without that."""
    return status.projects is not None or is_true(status.conditions, ConditionType.DISCOVERED)


def _organization_counts(assessment: Assessment, previous: DiscoveryStatus, onboarded: int) -> OrganizationCounts:
    """Return numbers of organizations; if Azure lists none, the previous number of available ones stays."""
    listed, desired = assessment.organizations, assessment.selection.desired
    previously_available = (previous.organizations.available or 0) if previous.organizations else 0
    return OrganizationCounts(
        available=len(listed) if assessment.azure.available else max(len(listed), previously_available),
        onboarded=onboarded,
        conflicting=sum(
            organization.is_held_by_other_connector for key, organization in listed.items() if key in desired
        ),
    )


def _totals(assessment: Assessment, previous: DiscoveryStatus) -> _Totals:
    onboarded, snapshot = assessment.onboarded, assessment.snapshot
    reported = {key: counts for key, counts in snapshot.inventory.by_organization.items() if key in onboarded}
    expected = {key: counts for key, counts in snapshot.expected.items() if key in onboarded}
    pairs = [(reported[key], expected[key]) for key in reported.keys() & expected.keys()]
    projects = sum(counts.projects for counts in reported.values())
    repositories = sum(counts.repositories for counts in reported.values())
    if len(reported) < len(onboarded):
        # Missing counts are unknown, never zero, so the sums do not decrease.
        projects = max(projects, (previous.projects.discovered or 0) if previous.projects else 0)
        repositories = max(repositories, (previous.repositories.discovered or 0) if previous.repositories else 0)
    return _Totals(
        discovered=Counts(projects, repositories),
        expected=Counts(
            sum(counts.projects for counts in expected.values()),
            sum(counts.repositories for counts in expected.values()),
        )
        if len(expected) == len(onboarded)
        else None,
        matched=Counts(
            sum(min(actual.projects, target.projects) for actual, target in pairs),
            sum(min(actual.repositories, target.repositories) for actual, target in pairs),
        ),
        lagging=tuple(name for key, name in onboarded.items() if discovery_lags(reported.get(key), expected.get(key))),
    )


def discovery_lags(counts: Counts | None, expected: Counts | None) -> bool:
    """Whether counts of an organization are missing; without expected counts, whether nothing was reported."""
    if expected is None:
        return counts is None
    if counts is None:
        return bool(expected.projects)
    return counts.projects < expected.projects or counts.repositories < expected.repositories


def _estimate(totals: _Totals, started_at: datetime, now: datetime) -> datetime | None:
    """Return when discovery completes at the average rate so far, rounded up to five minutes."""
    if totals.expected is None or now <= started_at:
        return None
    matched = totals.matched.projects + totals.matched.repositories
    missing = totals.expected.projects + totals.expected.repositories - matched
    if not matched or not missing or (now - started_at) / matched > _ESTIMATE_MAX / missing:
        return None
    end = now + (now - started_at) * (missing / matched)
    step = _ESTIMATE_STEP.total_seconds()
    return datetime.fromtimestamp(-(-end.timestamp() // step) * step, tz=now.tzinfo)


def discovered_condition(assessment: Assessment, progress: Discovery | None) -> ConditionResult | None:
    """Return whether Defender has reported all projects and repositories; None if unknown now."""
    if progress is None:
        is_early = assessment.azure.lacks_configuration
        return not_checked_result("Discovery starts as soon as Defender is authorized.") if is_early else None
    status = progress.status
    if status.projects is None or status.repositories is None:
        return not_checked_result("No organization is onboarded yet.")
    counts = f"{_progress_text(status.projects)} projects and {_progress_text(status.repositories)} repositories"
    if progress.is_complete:
        return ConditionResult("True", Reason.DISCOVERED, f"Defender for Cloud has reported {counts}.")
    if progress.deadline_exceeded:
        message = (
            f"The deadline has passed. Defender for Cloud has reported {counts}; incomplete: "
            f"{list_names(progress.lagging)}. Check the prerequisites there and that repositories are smaller than "
            "1 GB, or raise spec.discovery.deadline."
        )
        return ConditionResult("False", Reason.DEADLINE_EXCEEDED, message)
    return ConditionResult("False", Reason.DISCOVERING, f"Defender for Cloud has reported {counts} so far.")


def _progress_text(progress: Progress) -> str:
    return f"{progress.discovered}" if progress.expected is None else f"{progress.discovered} of {progress.expected}"
