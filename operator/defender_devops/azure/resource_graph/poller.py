"""The periodic Resource Graph query of one identity, which reads all of its connectors at once.

A poll costs one query for each thousand connectors and reports only the connectors whose row has changed. Its views are
hints (`rows.ConnectorView`): Resource Graph indexes Azure with a delay, so the row of a connector is ignored for
`indexing_lag` seconds after the operator's own write, and a missing row is verified in Azure Resource Manager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import structlog

from defender_devops.api.azure_types import ConnectorRef, OnboardingState, RoleAssignment
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import ResourceGraph, subscription_batches
from defender_devops.azure.resource_graph.poll_loop import PollLoop, PollTimes
from defender_devops.azure.resource_graph.queries import CONNECTORS, ROLE_ASSIGNMENTS, onboarding_query
from defender_devops.azure.resource_graph.rows import ConnectorView, parse_connector_row, parse_role_assignment_row
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["INDEXING_LAG", "Changes", "PollResult", "ResourceGraphPoller"]

_log: Final = structlog.get_logger(__name__)

INDEXING_LAG: Final = 60.0
"""Seconds for which Resource Graph may still return the state before a write."""

_BATCH_WINDOW: Final = 1.0
"""Seconds from the first new connector to its poll: at a start they are added by the hundred."""

_MIN_SPACING: Final = 15.0
"""Seconds between two polls that new connectors request. A new connector was just read from Azure Resource Manager, so
its poll is not urgent."""

_MAX_AGE: Final = 2.5
"""Intervals after which the views of the last successful poll are too old to be used."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The connectors that a poll found changed, as keys of `ConnectorRef`.

    Attributes:
        differing: the row differs from the acknowledged one; compare it with the cached state.
        vanished: something that had a row has none any more; read it from Azure Resource Manager.
        awaited: its caller waited for this first poll that covers it, whether it has a row, and whether the poll has
            succeeded.
    """

    differing: frozenset[str] = frozenset()
    vanished: frozenset[str] = frozenset()
    awaited: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.differing or self.vanished or self.awaited)


@dataclass(frozen=True, slots=True)
class PollResult:
    """The outcome of one poll.

    Attributes:
        started: start of the poll on the monotonic clock.
        seconds: duration.
        pages: number of pages read.
        connectors: number of connectors that have a row.
        changes: changed connectors.
        error: the failure; the views of the previous poll stay in use then.
    """

    started: float
    seconds: float
    pages: int = 0
    connectors: int = 0
    changes: Changes = Changes()
    error: OperatorError | None = None


class _Tracked(NamedTuple):
    """What polls read for one connector."""

    subscription: str
    readers: bool


class ResourceGraphPoller:
    """Polls Resource Graph for the connectors of one identity.

    Args:
        arm: the identity's client.
        interval: seconds between two polls.
        on_changes: called with the changes of a poll; must not block.
        indexing_lag: seconds for which a row may be older than a write.
        clock: time.
    """

    def __init__(
        self,
        arm: ArmClient,
        *,
        interval: float,
        on_changes: Callable[[Changes], None],
        indexing_lag: float = INDEXING_LAG,
        clock: Clock | None = None,
    ) -> None:
        self.arm = arm
        self.last_result: PollResult | None = None
        self._interval = interval
        self._on_changes = on_changes
        self._indexing_lag = indexing_lag
        self._clock = clock or Clock()
        self._graph = ResourceGraph(arm)
        self._tracked: dict[str, _Tracked] = {}
        self._views: dict[str, ConnectorView] = {}
        self._readers: Mapping[str, tuple[RoleAssignment, ...]] | None = None
        self._acknowledged: dict[str, ConnectorView] = {}
        self._written_at: dict[str, float] = {}
        self._onboarded_by: dict[str, str | None] = {}
        self._polled_subscriptions: frozenset[str] = frozenset()
        self._polled_readers = False
        self._answered_subscriptions: frozenset[str] = frozenset()
        self._answered_readers = False
        self._awaited: set[str] = set()
        self._succeeded_at: float | None = None
        times = PollTimes(interval, _BATCH_WINDOW, _MIN_SPACING)
        self._loop = PollLoop(self._poll_for_loop, lambda: bool(self._tracked), times, self._clock)

    def track(self, ref: ConnectorRef, *, readers: bool = False, is_awaited: bool = False) -> None:
        """Report changes of a connector from now on.

        Args:
            ref: the connector.
            readers: whether to read the role assignments at its scope, too.
            is_awaited: whether the caller waits for the first poll that covers it.
        """
        tracked = _Tracked(ref.subscription_id.lower(), readers)
        self._tracked[ref.key] = tracked
        if is_awaited and not self._is_answered(tracked):
            self._awaited.add(ref.key)
        if tracked.subscription not in self._polled_subscriptions or (readers and not self._polled_readers):
            self._loop.request(is_awaited=is_awaited)

    def has_polled(self, ref: ConnectorRef) -> bool:
        """Whether a poll that covers a tracked connector has ended, with or without success."""
        tracked = self._tracked.get(ref.key)
        return tracked is not None and self._is_answered(tracked)

    def _is_answered(self, tracked: _Tracked) -> bool:
        is_covered = tracked.subscription in self._answered_subscriptions
        return is_covered and (self._answered_readers or not tracked.readers)

    def untrack(self, ref: ConnectorRef) -> None:
        """Stop reporting changes of a connector and drop its state."""
        for state in (self._tracked, self._views, self._acknowledged, self._written_at):
            state.pop(ref.key, None)
        self._awaited.discard(ref.key)

    def current_view(self, ref: ConnectorRef) -> ConnectorView | None:
        """Return the view of a connector from the last successful poll.

        None where the connector has no row, where the row may be older than the operator's last write, and where the
        last success is too long ago: Azure Resource Manager has to be read then.
        """
        if self._succeeded_at is None or ref.key in self._written_at:
            return None
        if self._clock.monotonic() - self._succeeded_at > _MAX_AGE * self._interval:
            return None
        return self._view(ref.key)

    def acknowledge(self, ref: ConnectorRef) -> None:
        """Mark the current view of a tracked connector as used: later polls report only what differs from it."""
        view = self.current_view(ref)
        if view is not None and ref.key in self._tracked:
            self._acknowledged[ref.key] = view

    def _view(self, key: str) -> ConnectorView | None:
        view, tracked = self._views.get(key), self._tracked.get(key)
        if view is None or self._readers is None or tracked is None or not tracked.readers:
            return view
        return replace(view, readers=self._readers.get(key, ()))

    def record_write(self, ref: ConnectorRef) -> None:
        """Ignore the row of a connector for `indexing_lag` seconds, because something of the connector was written.

        Untracked connectors are recorded as well: another resource may begin to track one at once.
        """
        self._written_at[ref.key] = self._clock.monotonic()
        self._views.pop(ref.key, None)

    async def onboarding_connectors(self, organizations: Iterable[str]) -> Mapping[str, str]:
        """Return the connectors that onboarded these organizations, as far as this identity may read them.

        The last poll answers where it can; the other organizations cost one query, at most once between two polls.

        Args:
            organizations: names, in any case.

        Returns:
            Ids of connectors in lower case, by organization in lower case.

        Raises:
            AzureError: Resource Graph refused or failed.
            CredentialsError: there is no token.
        """
        names = {name.lower() for name in organizations}
        answers = {name: self._onboarded_by[name] for name in names if name in self._onboarded_by}
        if missing := names - answers.keys():
            rows = await self._graph.rows(onboarding_query(missing))
            ids = {str(row.get("organization") or ""): str(row.get("id") or "") for row in rows}
            for name in missing:
                # The row is the organization's; the connector's id is the part before its DevOps configuration.
                answers[name] = ids.get(name, "").lower().partition("/devops/default")[0] or None
                # A poll that ended during the query has answers of its own.
                self._onboarded_by.setdefault(name, answers[name])
        return {name: connector for name, connector in answers.items() if connector}

    async def run(self) -> None:
        """Poll until cancelled. A poll that fails is logged, and the next one starts at its regular time."""
        await self._loop.run()

    async def _poll_for_loop(self) -> OperatorError | None:
        return (await self.poll()).error

    async def poll(self) -> PollResult:
        """Query Resource Graph once for all tracked connectors and report the changes."""
        started = self._clock.monotonic()
        self._polled_subscriptions = frozenset(tracked.subscription for tracked in self._tracked.values())
        self._polled_readers = any(tracked.readers for tracked in self._tracked.values())
        subscriptions = sorted(self._polled_subscriptions)
        pages = 0
        views: dict[str, ConnectorView] = {}
        try:
            for batch in subscription_batches(subscriptions):
                rows, batch_pages = await self._graph.parsed_rows(CONNECTORS, batch, _parse_keyed_view)
                views |= dict(rows)
                pages += batch_pages
            readers = await self._read_role_assignments(subscriptions) if self._polled_readers else None
        except OperatorError as error:
            changes = Changes(awaited=self._record_answer())
            result = PollResult(started, self._clock.monotonic() - started, changes=changes, error=error)
        else:
            changes = replace(self._apply(views, readers, started), awaited=self._record_answer())
            result = PollResult(started, self._clock.monotonic() - started, pages, len(views), changes)
        self._log_outcome(result.error)
        self.last_result = result
        if result.changes:
            self._on_changes(result.changes)
        return result

    def _record_answer(self) -> frozenset[str]:
        """Record what this poll has covered, and return the connectors of it that are awaited."""
        self._answered_subscriptions, self._answered_readers = self._polled_subscriptions, self._polled_readers
        answered = {key for key in self._awaited if self._is_answered(self._tracked[key])}
        self._awaited -= answered
        return frozenset(answered)

    def _log_outcome(self, error: OperatorError | None) -> None:
        """Log a failure when it begins or changes, and its end: not every poll of an outage."""
        previous_error = self.last_result.error if self.last_result else None
        identity = self.arm.identity_name
        if error is not None and (previous_error is None or previous_error.message != error.message):
            _log.warning("Resource Graph query failed", identity=identity, message=error.message)
        if error is None and previous_error is not None:
            _log.info("Resource Graph query succeeded again", identity=identity)

    async def _read_role_assignments(self, subscriptions: list[str]) -> dict[str, tuple[RoleAssignment, ...]] | None:
        """Role assignments by connector; None where they cannot be read, which does not fail the poll."""
        assignments: dict[str, list[RoleAssignment]] = {}
        try:
            for batch in subscription_batches(subscriptions):
                for row in await self._graph.rows(ROLE_ASSIGNMENTS, batch):
                    key, assignment = parse_role_assignment_row(row)
                    assignments.setdefault(key, []).append(assignment)
        except OperatorError as error:
            _log.warning(
                "Resource Graph query for role assignments failed",
                identity=self.arm.identity_name,
                message=error.message,
            )
            return None
        return {key: tuple(sorted(values, key=lambda value: value.name)) for key, values in assignments.items()}

    def _apply(
        self,
        views: Mapping[str, ConnectorView],
        readers: Mapping[str, tuple[RoleAssignment, ...]] | None,
        started: float,
    ) -> Changes:
        """Replace the views by those of a poll and return what differs from the acknowledged ones."""
        self._succeeded_at = started
        if readers is not None or not self._polled_readers:
            self._readers = readers
        self._written_at = {key: at for key, at in self._written_at.items() if started < at + self._indexing_lag}
        # An equal view keeps its old object: a poll without changes then leaves no garbage behind.
        self._views = {
            key: self._views[key] if self._views.get(key) == view else view
            for key, view in views.items()
            if key not in self._written_at
        }
        self._onboarded_by = {
            organization.name.lower(): key
            for key, view in self._views.items()
            for organization in view.organizations
            if organization.onboarding_state == OnboardingState.ONBOARDED
        }
        differing: set[str] = set()
        vanished: set[str] = set()
        for key in self._tracked.keys() - self._written_at.keys():
            previous, view = self._acknowledged.get(key), self._view(key)
            if view is None:
                if self._acknowledged.pop(key, None) is not None:
                    vanished.add(key)
            elif view != previous:
                (vanished if previous is not None and previous.has_lost_rows(view) else differing).add(key)
                self._acknowledged[key] = view
        return Changes(frozenset(differing), frozenset(vanished))


def _parse_keyed_view(row: Mapping[str, Any]) -> tuple[str, ConnectorView]:
    """Return a connector's id in lower case and its view."""
    return str(row.get("id") or "").lower(), parse_connector_row(row)
