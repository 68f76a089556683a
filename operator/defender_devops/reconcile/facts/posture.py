"""What Resource Graph shows of the recommendations for a connector's organizations, as part of a snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from defender_devops.api.posture import PostureCounts
from defender_devops.reconcile.facts.failure import Failure

__all__ = ["CspmPlan", "PostureCounts", "PostureObservation", "add_change", "is_stale"]

_TIMES_MAX: Final = 4
_TIMES_MIN: Final = 3
"""Times of changes, and so two intervals, from which the next change can be expected."""

_LATE_AFTER: Final = 3
"""Intervals without a change."""

_SHORTEST_INTERVAL: Final = timedelta(days=1)
"""Defender evaluates once in 8 to 24 hours; changes that were closer together belong to one evaluation."""


@dataclass(frozen=True, slots=True)
class PostureObservation:
    """The recommendations of one connector, from the last complete answer of Resource Graph.

    Attributes:
        enabled: whether recommendations are queried at all (settings.postureInterval).
        organizations: numbers by organization (name in lower case). An organization without a row is absent, which
            does not mean that it has no recommendations.
        answered_at: when that answer arrived; None before the first one.
        failure: why the newest query gave no complete answer: `organizations` are of an earlier one then.
        stale_organizations: organizations whose recommendations have stopped changing, see `is_stale`.
        active_organizations: organizations whose recommendations change as before. Of all others it is not known: not
            enough changes were seen since the operator's start.
    """

    enabled: bool = True
    organizations: Mapping[str, PostureCounts] = field(default_factory=dict)
    answered_at: datetime | None = None
    failure: Failure | None = None
    stale_organizations: AbstractSet[str] = frozenset()
    active_organizations: AbstractSet[str] = frozenset()

    def without_time(self) -> PostureObservation:
        """Return it without the time of the answer, which changes nothing; only whether there was one."""
        return replace(self, answered_at=None if self.answered_at is None else datetime.min)  # noqa: DTZ901 - no time


@dataclass(frozen=True, slots=True)
class CspmPlan:
    """The plan Defender CSPM of the connector's subscription (Microsoft.Security/pricings/CloudPosture).

    Attributes:
        is_enabled: None where it could not be read.
        failure: why it could not be read.
    """

    is_enabled: bool | None
    failure: Failure | None = None


def add_change(times: tuple[datetime, ...], latest: datetime) -> tuple[datetime, ...]:
    """Return the last times at which recommendations of an organization changed, oldest first.

    Args:
        times: those before.
        latest: `latest_change` of the newest answer. It is earlier where the last changed recommendation has vanished.
    """
    return times if times and latest <= times[-1] else (*times, latest)[-_TIMES_MAX:]


def is_stale(times: tuple[datetime, ...], newest_of_others: datetime | None, now: datetime) -> bool | None:
    """Whether the recommendations of an organization have stopped changing while those of others change.

    A recommendation has no time of its last evaluation, only of its last change. So an organization in which nothing
    changes for long cannot be distinguished from one that is no longer evaluated: this is a sign and no proof.

    Args:
        times: the last times of changes, as `add_change` keeps them.
        newest_of_others: newest change in any other organization that the same identity reads.
        now: the current time.

    Returns:
        None where too few changes were seen, or where nothing else has changed either.
    """
    if len(times) < _TIMES_MIN or newest_of_others is None:
        return None
    longest = max(later - earlier for earlier, later in pairwise(times))
    limit = _LATE_AFTER * max(longest, _SHORTEST_INTERVAL)
    # Both are times of the service: a clock that differs from it has no influence.
    if newest_of_others - times[-1] > limit:
        return True
    return None if now - times[-1] > limit else False
