"""How far Defender's discovery has come: counts, percent, estimate and deadline (pure).

Discovery runs when an organization is onboarded and then every 8 hours, about 100 projects an hour for each connector
(https://learn.microsoft.com/azure/defender-for-cloud/quickstart-onboard-devops). Nothing here moves by itself: every
value depends on the counts and on the moment when they changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_devops.api.azure_types import Counts
from defender_devops.api.connector import DiscoveryStatus, OrganizationCounts, Progress
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["Discovery", "discovery", "lags"]

PROJECTS_PER_HOUR = 100
_ESTIMATE_GRAIN = timedelta(minutes=5)
_ESTIMATE_MAX = timedelta(days=30)
"""At a pace that would take longer nobody can tell."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The progress of a connector.

    Attributes:
        status: as it goes into the resource's status.
        complete: everything is there.
        exceeded: the deadline has gone by and something is missing.
        lagging: names of organizations that are not there yet.
        reevaluate_at: when time alone changes the verdict, or None.
    """

    status: DiscoveryStatus
    complete: bool = False
    exceeded: bool = False
    lagging: tuple[str, ...] = ()
    reevaluate_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Tally:
    """Sums over the onboarded organizations; expected ones only where every organization's are known.

    Attributes:
        found: what is both reported and expected, so that more than expected of one organization hides no lack of
            another.
    """

    discovered: Counts
    expected: Counts | None
    found: Counts
    lagging: tuple[str, ...]

    @property
    def projects(self) -> Progress:
        return Progress(discovered=self.discovered.projects, expected=self.expected and self.expected.projects)

    @property
    def repositories(self) -> Progress:
        return Progress(discovered=self.discovered.repositories, expected=self.expected and self.expected.repositories)


def discovery(snapshot: ConnectorSnapshot, cloud: AzureState, now: datetime) -> Discovery:
    """Compare what Defender reported with what Azure DevOps holds, or see whether it has come to rest."""
    before = snapshot.connector.status.discovery or DiscoveryStatus()
    onboarded = {each.name.lower(): each.name for each in cloud.organizations if desired_state.is_onboarded(each)}
    organizations = _organizations(snapshot, cloud, before, len(onboarded))
    if not onboarded:
        return Discovery(DiscoveryStatus(organizations=organizations))
    tally = _tally(snapshot, onboarded, before)
    grew = before.started_at is None or len(onboarded) > _onboarded(before)
    moved = grew or (tally.projects, tally.repositories) != (before.projects, before.repositories)
    started = now if grew or before.started_at is None else before.started_at
    changed = now if moved or before.counts_changed_at is None else before.counts_changed_at
    settled = changed + snapshot.timings.settle_interval
    kept = before.completed_at if not grew else None
    done = kept is not None or (not tally.lagging and (tally.expected is not None or now >= settled))
    deadline = started + _allowance(snapshot, tally)
    status = DiscoveryStatus(
        organizations=organizations,
        projects=tally.projects,
        repositories=tally.repositories,
        percent=_percent(tally, done=done),
        started_at=started,
        counts_changed_at=changed,
        completed_at=(kept or now) if done else None,
        deadline=deadline,
        estimated_completion_at=None if done else _estimate(tally, before, started, now, moved=moved),
    )
    turning_point = deadline if tally.lagging else settled
    return Discovery(
        status,
        complete=done,
        exceeded=not done and now >= deadline and bool(tally.lagging),
        lagging=tally.lagging,
        reevaluate_at=turning_point if not done and turning_point > now else None,
    )


def _organizations(
    snapshot: ConnectorSnapshot, cloud: AzureState, before: DiscoveryStatus, onboarded: int
) -> OrganizationCounts:
    """Numbers of organizations; without an answer, or with an empty one, those that were seen before still count."""
    found, wanted = desired_state.azure_organizations(cloud), desired_state.organization_selection(snapshot).wanted
    told_before = (before.organizations.available or 0) if before.organizations else 0
    return OrganizationCounts(
        available=len(found) if cloud.available else max(len(found), told_before),
        onboarded=onboarded,
        conflicting=sum(desired_state.is_held_by_other_connector(each) for key, each in found.items() if key in wanted),
    )


def _onboarded(before: DiscoveryStatus) -> int:
    return (before.organizations.onboarded or 0) if before.organizations else 0


def _tally(snapshot: ConnectorSnapshot, onboarded: Mapping[str, str], before: DiscoveryStatus) -> _Tally:
    reported = {key: each for key, each in snapshot.inventory.by_organization.items() if key in onboarded}
    expected = {key: each for key, each in snapshot.expected.items() if key in onboarded}
    pairs = [(reported[key], expected[key]) for key in reported.keys() & expected.keys()]
    return _Tally(
        discovered=_discovered(reported, before, complete=len(reported) == len(onboarded)),
        expected=Counts(
            sum(each.projects for each in expected.values()), sum(each.repositories for each in expected.values())
        )
        if len(expected) == len(onboarded)
        else None,
        found=Counts(
            sum(min(seen.projects, awaited.projects) for seen, awaited in pairs),
            sum(min(seen.repositories, awaited.repositories) for seen, awaited in pairs),
        ),
        lagging=tuple(name for key, name in onboarded.items() if lags(reported.get(key), expected.get(key))),
    )


def _discovered(reported: Mapping[str, Counts], before: DiscoveryStatus, *, complete: bool) -> Counts:
    """The sum; where an organization's counts are missing it does not fall, for that never means zero."""
    projects = sum(each.projects for each in reported.values())
    repositories = sum(each.repositories for each in reported.values())
    if complete:
        return Counts(projects, repositories)
    return Counts(max(projects, _told(before.projects)), max(repositories, _told(before.repositories)))


def _told(progress: Progress | None) -> int:
    return (progress.discovered or 0) if progress else 0


def lags(counts: Counts | None, expected: Counts | None) -> bool:
    """Whether something of an organization is missing; without expected counts, whether nothing was reported."""
    if expected is None:
        return counts is None
    if counts is None:
        return bool(expected.projects)
    return counts.projects < expected.projects or counts.repositories < expected.repositories


def _allowance(snapshot: ConnectorSnapshot, tally: _Tally) -> timedelta:
    most = max(tally.expected.projects if tally.expected else 0, tally.discovered.projects)
    return max(snapshot.connector.spec.discovery.deadline, timedelta(hours=most / PROJECTS_PER_HOUR))


def _percent(tally: _Tally, *, done: bool) -> int | None:
    """Share of the repositories; never 100 before all is there."""
    if tally.expected is None:
        return None
    return 100 if done else min(99, 100 * tally.found.repositories // max(tally.expected.repositories, 1))


def _estimate(
    tally: _Tally, before: DiscoveryStatus, started: datetime, now: datetime, *, moved: bool
) -> datetime | None:
    """When it will be done at the pace so far, up to the next five minutes; it moves only with the counts."""
    if not moved:
        return before.estimated_completion_at
    if tally.expected is None or now <= started:
        return None
    found = tally.found.projects + tally.found.repositories
    missing = tally.expected.projects + tally.expected.repositories - found
    if not found or not missing or (now - started) / found > _ESTIMATE_MAX / missing:
        return None
    end = now + (now - started) * (missing / found)
    grain = _ESTIMATE_GRAIN.total_seconds()
    return datetime.fromtimestamp(-(-end.timestamp() // grain) * grain, tz=now.tzinfo)
