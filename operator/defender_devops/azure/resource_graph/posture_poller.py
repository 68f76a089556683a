"""The periodic query for the recommendations of all connectors of one identity.

Recommendations change every 8 to 24 hours, so the query is rare. An answer counts only if it is complete: otherwise
the numbers of the last complete answer remain, with the reason why there is no newer one.

One query reads all connectors of an identity, so what a single answer lacks concerns all of them at once. It is
reported only after the third answer in a row that lacks it: one failed query must not change the status of every
connector and organization, and change it back with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import structlog

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.pipelines.results import RepositoryResults
from defender_devops.api.posture import PostureCounts
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import ResourceGraph
from defender_devops.azure.resource_graph.poll_loop import POLLS_BEFORE_REPORT, PollLoop, PollTimes
from defender_devops.azure.resource_graph.posture_rows import Posture, merge_posture_rows, parse_posture_row
from defender_devops.azure.resource_graph.queries import POSTURE
from defender_devops.azure.resource_graph.repository_results import RepositoryResultsPoller
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["PosturePollResult", "PosturePoller", "PostureView"]

_log: Final = structlog.get_logger(__name__)

_BATCH_WINDOW: Final = 5.0
"""Seconds from the first new connector to its poll."""

_MIN_SPACING: Final = 60.0
"""Seconds between two polls that new subscriptions request."""

_RETRY: Final = 300.0
"""Seconds from a failed poll to the next one while the failure is not reported yet."""

_LOGGED_WORDS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class PostureView:
    """The recommendations of one connector.

    Attributes:
        organizations: numbers by organization (name in lower case), of the last complete answer.
        answered_at: when that answer arrived; None before the first one.
        error: why the newest queries gave no complete answer; None while too few have failed in a row.
    """

    organizations: Mapping[str, PostureCounts] = field(default_factory=dict)
    answered_at: datetime | None = None
    error: OperatorError | None = None


@dataclass(frozen=True, slots=True)
class PosturePollResult:
    """The outcome of one poll.

    Attributes:
        pages: number of pages read.
        changed: connectors (id in lower case) whose numbers or repositories changed, or whether they can be read.
        error: why at least one subscription has no complete answer.
    """

    pages: int = 0
    changed: frozenset[str] = frozenset()
    error: OperatorError | None = None


@dataclass(slots=True)
class _Subscription:
    """What is kept of one subscription.

    Attributes:
        connectors: numbers by connector and organization, of the last complete answer.
        answered_at: when that answer arrived; None before the first one.
        failures: number of polls in a row without a complete answer.
        error: why the newest one gave none; None while too few have failed to report it.
        absences: number of complete answers in a row without a row of an organization that had one, by connector and
            organization; its numbers are kept until they are too many.
    """

    connectors: dict[str, Mapping[str, PostureCounts]] = field(default_factory=dict)
    answered_at: datetime | None = None
    failures: int = 0
    error: OperatorError | None = None
    absences: dict[tuple[str, str], int] = field(default_factory=dict)

    def keep_absent(self, connectors: dict[str, Mapping[str, PostureCounts]]) -> None:
        """Add to an answer the organizations that have had no row in it for too few polls to be reported."""
        absences: dict[tuple[str, str], int] = {}
        for connector, organizations in self.connectors.items():
            kept: dict[str, PostureCounts] = {}
            for name in organizations.keys() - connectors.get(connector, {}).keys():
                absence = self.absences.get((connector, name), 0) + 1
                if absence < POLLS_BEFORE_REPORT:
                    absences[connector, name] = absence
                    kept[name] = organizations[name]
            if kept:
                connectors[connector] = {**connectors.get(connector, {}), **kept}
        self.absences = absences


@dataclass(frozen=True, slots=True)
class _Changes:
    """The connectors (id in lower case) of which an answer says something else than the one before.

    Attributes:
        in_numbers: those with other numbers.
        in_recommendations: those with other numbers, or with a recommendation that has changed since.
    """

    in_numbers: set[str] = field(default_factory=set)
    in_recommendations: set[str] = field(default_factory=set)


class PosturePoller:
    """Polls Resource Graph for the recommendations of the connectors of one identity.

    Args:
        arm: the identity's client.
        interval: seconds between two polls.
        on_poll: called with this poller and the changed connectors after each poll; must not block.
        clock: time.
    """

    def __init__(
        self,
        arm: ArmClient,
        *,
        interval: float,
        on_poll: Callable[[PosturePoller, frozenset[str]], None],
        clock: Clock | None = None,
    ) -> None:
        self.arm = arm
        self._on_poll = on_poll
        self._clock = clock or Clock()
        self._graph = ResourceGraph(arm, "count recommendations")
        self._repository_results = RepositoryResultsPoller(arm, self._clock)
        self._tracked: dict[str, str] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        self._logged_words: set[str] = set()
        self._logged_error: str | None = None
        times = PollTimes(interval, _BATCH_WINDOW, _MIN_SPACING, _RETRY, POLLS_BEFORE_REPORT - 1)
        self._loop = PollLoop(self._poll_for_loop, lambda: bool(self._tracked), times, self._clock)

    def track(self, ref: ConnectorRef, *, checks_interval: float | None = None) -> None:
        """Read the recommendations of a connector from now on.

        Args:
            ref: the connector.
            checks_interval: seconds between two checks of its pipelines; None while they are not checked. If they are,
                the repositories that have recommendations are read, too.
        """
        subscription = ref.subscription_id.lower()
        self._tracked[ref.key] = subscription
        is_new = subscription not in self._subscriptions
        if checks_interval is None:
            self._repository_results.untrack(ref)
        elif self._repository_results.track(ref, checks_interval):
            is_new = True
        if is_new:
            self._loop.request()

    def untrack(self, ref: ConnectorRef) -> None:
        """Stop reading the recommendations of a connector; drop its subscription with the last connector in it."""
        self._tracked.pop(ref.key, None)
        self._repository_results.untrack(ref)
        subscription = ref.subscription_id.lower()
        if subscription not in self._tracked.values():
            self._subscriptions.pop(subscription, None)

    def view(self, ref: ConnectorRef) -> PostureView:
        """Return what is known of a connector's recommendations."""
        entry = self._subscriptions.get(ref.subscription_id.lower())
        if entry is None:
            return PostureView()
        return PostureView(entry.connectors.get(ref.key, {}), entry.answered_at, entry.error)

    def repository_results(self, ref: ConnectorRef, organization: str) -> RepositoryResults:
        """Return which repositories of an organization (name in lower case) have recommendations."""
        return self._repository_results.view(ref, organization)

    def counts(self) -> Iterator[tuple[str, str, PostureCounts]]:
        """Yield connector, organization and numbers of everything that the last complete answers hold."""
        for entry in self._subscriptions.values():
            for connector, organizations in entry.connectors.items():
                for organization, counts in organizations.items():
                    yield connector, organization, counts

    async def run(self) -> None:
        """Poll until cancelled. A poll that fails is logged, and the next one starts at its regular time or sooner."""
        await self._loop.run()

    async def _poll_for_loop(self) -> OperatorError | None:
        return (await self.poll()).error

    async def poll(self) -> PosturePollResult:
        """Query Resource Graph once for all tracked connectors, and report the changes."""
        changed: set[str] = set()
        connectors_to_read: set[str] = set()
        errors: dict[str, OperatorError] = {}
        pages = 0
        subscriptions = sorted(set(self._tracked.values()))
        async for answer in self._graph.batch_answers(POSTURE, subscriptions, parse_posture_row):
            if answer.error is not None:
                errors.update(dict.fromkeys(answer.subscriptions, answer.error))
                changed |= self._apply_error(answer.subscriptions, answer.error)
                continue
            pages += answer.pages
            posture = merge_posture_rows(answer.rows)
            self._log_unknown(posture)
            changes = self._apply(answer.subscriptions, posture)
            changed |= changes.in_numbers
            connectors_to_read |= changes.in_recommendations
        results = await self._repository_results.poll(connectors_to_read, errors)
        # Connectors may have been untracked while the query ran.
        tracked = set(self._tracked.values())
        self._subscriptions = {name: entry for name, entry in self._subscriptions.items() if name in tracked}
        error = next(iter(errors.values()), results.error)
        self._log_outcome(error)
        result = PosturePollResult(pages + results.pages, frozenset(changed | results.changed), error)
        self._on_poll(self, result.changed)
        return result

    def _apply(self, subscriptions: Sequence[str], posture: Posture) -> _Changes:
        """Replace the numbers of some subscriptions, and return the connectors for which that changes something."""
        now = datetime.fromtimestamp(self._clock.wall(), UTC).replace(microsecond=0)
        by_subscription: dict[str, dict[str, Mapping[str, PostureCounts]]] = {name: {} for name in subscriptions}
        for connector, organizations in posture.connectors.items():
            # /subscriptions/{id}/…
            by_subscription.setdefault(connector.split("/")[2], {})[connector] = organizations
        changes = _Changes()
        for subscription in subscriptions:
            entry = self._subscriptions.setdefault(subscription, _Subscription())
            connectors = by_subscription[subscription]
            entry.keep_absent(connectors)
            for connector, organizations in connectors.items():
                # An equal value keeps its old object: a poll without changes then leaves no garbage behind.
                previous = entry.connectors.get(connector)
                if previous is not None and _is_same(previous, organizations):
                    connectors[connector] = previous
            is_new = entry.answered_at is None or entry.error is not None
            for connector in self._tracked_in(subscription):
                previous, organizations = entry.connectors.get(connector, {}), connectors.get(connector, {})
                if is_new or previous != organizations:
                    changes.in_numbers.add(connector)
                if is_new or not _is_same(previous, organizations):
                    changes.in_recommendations.add(connector)
            entry.connectors, entry.answered_at, entry.failures, entry.error = connectors, now, 0, None
        return changes

    def _apply_error(self, subscriptions: Sequence[str], error: OperatorError) -> set[str]:
        """Record a failure, and return the connectors for which that changes something."""
        changed: set[str] = set()
        for subscription in subscriptions:
            entry = self._subscriptions.setdefault(subscription, _Subscription())
            entry.failures += 1
            if entry.failures < POLLS_BEFORE_REPORT:
                continue
            if entry.error is None or entry.error.reason != error.reason:
                changed |= self._tracked_in(subscription)
            entry.error = error
        return changed

    def _tracked_in(self, subscription: str) -> set[str]:
        return {connector for connector, name in self._tracked.items() if name == subscription}

    def _log_outcome(self, error: OperatorError | None) -> None:
        """Log a failure when it begins or changes, and its end: not every poll of an outage."""
        identity, message = self.arm.identity_name, error.message if error is not None else None
        if message is not None and message != self._logged_error:
            _log.warning("query for recommendations failed", identity=identity, message=message)
        if message is None and self._logged_error is not None:
            _log.info("query for recommendations succeeded again", identity=identity)
        self._logged_error = message

    def _log_unknown(self, posture: Posture) -> None:
        """Log each word that was not understood once: its recommendations are counted as `other`."""
        words = posture.unknown - self._logged_words
        if not words or len(self._logged_words) >= _LOGGED_WORDS_MAX:
            return
        self._logged_words |= words
        _log.warning(
            "recommendations with unknown words are counted as other",
            identity=self.arm.identity_name,
            words=sorted(words),
            unattributed=posture.unattributed,
        )


def _is_same(one: Mapping[str, PostureCounts], other: Mapping[str, PostureCounts]) -> bool:
    """Whether the numbers and the times of both are equal; equality of numbers ignores the times."""
    return one == other and all(counts.latest_change == other[name].latest_change for name, counts in one.items())
