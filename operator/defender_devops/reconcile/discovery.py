"""How far Defender's discovery has come: counts, percent, estimate and deadline (pure).

Discovery runs when an organization is onboarded and then every 8 hours, about 100 projects an hour for each connector
(https://learn.microsoft.com/azure/defender-for-cloud/quickstart-onboard-devops). Nothing here moves by itself: every
value depends on the counts and on the moment when they changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_devops.api.cloud import Counts
from defender_devops.api.connector import DiscoveryStatus, OrganizationCounts, Progress
from defender_devops.reconcile import desired
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot, ExpectedCounts

__all__ = ["Discovery", "discovery"]

PROJECTS_PER_HOUR = 100
_ESTIMATE_GRAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Discovery:
    """The progress of a connector.

    Attributes:
        status: as it goes into the resource's status.
        complete: everything is there.
        exceeded: the deadline has gone by and something is missing.
        lagging: names of organizations that are not there yet.
        next_look: when time alone changes the verdict, or None.
    """

    status: DiscoveryStatus
    complete: bool = False
    exceeded: bool = False
    lagging: tuple[str, ...] = ()
    next_look: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Tally:
    """Sums over the onboarded organizations; expected ones only where every organization's are known."""

    discovered: Counts
    expected: ExpectedCounts | None
    lagging: tuple[str, ...]

    @property
    def projects(self) -> Progress:
        return Progress(discovered=self.discovered.projects, expected=self.expected and self.expected.projects)

    @property
    def repositories(self) -> Progress:
        return Progress(discovered=self.discovered.repositories, expected=self.expected and self.expected.repositories)

    @property
    def share(self) -> tuple[int, int]:
        """How many of how many, projects and repositories together; (0, 0) where nobody knows."""
        if self.expected is None:
            return 0, 0
        found = min(self.discovered.projects, self.expected.projects) + min(
            self.discovered.repositories, self.expected.repositories
        )
        return found, self.expected.projects + self.expected.repositories


def discovery(snapshot: ConnectorSnapshot, cloud: CloudState, now: datetime) -> Discovery:
    """Compare what Defender reported with what Azure DevOps holds, or see whether it has come to rest."""
    before = snapshot.connector.status.discovery or DiscoveryStatus()
    onboarded = {each.name.lower(): each.name for each in cloud.organizations if desired.is_onboarded(each)}
    organizations = _organizations(cloud, len(onboarded))
    if not onboarded:
        return Discovery(DiscoveryStatus(organizations=organizations))
    tally = _tally(snapshot, onboarded)
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
    return Discovery(
        status,
        complete=done,
        exceeded=not done and now >= deadline and bool(tally.lagging),
        lagging=tally.lagging,
        next_look=None if done else min((each for each in (settled, deadline) if each > now), default=None),
    )


def _organizations(cloud: CloudState, onboarded: int) -> OrganizationCounts:
    found = desired.found(cloud)
    return OrganizationCounts(
        available=len(found),
        onboarded=onboarded,
        conflicting=sum(desired.is_held_elsewhere(each) for each in found.values()),
    )


def _onboarded(before: DiscoveryStatus) -> int:
    return (before.organizations.onboarded or 0) if before.organizations else 0


def _tally(snapshot: ConnectorSnapshot, onboarded: Mapping[str, str]) -> _Tally:
    reported = snapshot.inventory.by_organization
    counts = [reported[key] for key in onboarded if key in reported]
    expected = [snapshot.expected[key] for key in onboarded if key in snapshot.expected]
    return _Tally(
        discovered=Counts(sum(each.projects for each in counts), sum(each.repositories for each in counts)),
        expected=ExpectedCounts(sum(each.projects for each in expected), sum(each.repositories for each in expected))
        if len(expected) == len(onboarded)
        else None,
        lagging=tuple(name for key, name in onboarded.items() if _lags(reported.get(key), snapshot.expected.get(key))),
    )


def _lags(counts: Counts | None, expected: ExpectedCounts | None) -> bool:
    if expected is None:
        return counts is None
    if counts is None:
        return bool(expected.projects)
    return counts.projects < expected.projects or counts.repositories < expected.repositories


def _allowance(snapshot: ConnectorSnapshot, tally: _Tally) -> timedelta:
    most = max(tally.expected.projects if tally.expected else 0, tally.discovered.projects)
    return max(snapshot.connector.spec.discovery.deadline, timedelta(hours=most / PROJECTS_PER_HOUR))


def _percent(tally: _Tally, *, done: bool) -> int | None:
    if tally.expected is None:
        return None
    found, of = tally.share
    return 100 if done else min(99, 100 * found // max(of, 1))


def _estimate(
    tally: _Tally, before: DiscoveryStatus, started: datetime, now: datetime, *, moved: bool
) -> datetime | None:
    """When it will be done at the pace so far, up to the next five minutes; it moves only with the counts."""
    if not moved:
        return before.estimated_completion_at
    found, of = tally.share
    if not found or found >= of:
        return None
    end = now + (now - started) * ((of - found) / found)
    grain = _ESTIMATE_GRAIN.total_seconds()
    return datetime.fromtimestamp(-(-end.timestamp() // grain) * grain, tz=now.tzinfo)
