"""The query for the repositories of which Defender for Cloud has a recommendation, whatever its status.

Only pipeline checks compare them with the scans that ran. So the query is for the connectors whose pipelines are
checked alone, and it is repeated when their recommendations have changed, or after the interval of the checks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.pipelines.results import RepositoryNames, RepositoryResults
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import ResourceGraph
from defender_devops.azure.resource_graph.poll_loop import POLLS_BEFORE_REPORT
from defender_devops.azure.resource_graph.posture_rows import parse_organization_id
from defender_devops.azure.resource_graph.queries import REPOSITORIES_WITH_RESULTS
from defender_devops.azure.resources.serialization import parse_time
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = [
    "RepositoryResultsPoller",
    "RepositoryRow",
    "ResultsPollResult",
    "merge_repository_rows",
    "parse_repository_row",
]

_INTERVAL_SHARE: Final = 0.9
"""Share of the interval after which an answer is renewed, so that no two checks use the same one."""

_CUT_OFF: Final = "Resource Graph cut off the list of repositories of which Defender for Cloud has recommendations."
_SILENT: Final = (
    "Defender for Cloud shows nothing of any repository of the organization: it has not evaluated them yet, or the "
    "operator's identity may not read its recommendations. See the condition PostureAvailable of the connector."
)


class RepositoryRow(NamedTuple):
    """One row of the query.

    Attributes:
        connector: id in lower case; empty where the row's id has another form.
        organization: name in lower case.
        names: hashes of the names of its repositories.
        evaluated_since: first evaluation of any of the organization's recommendations.
        is_complete: whether the list of names was not cut off.
    """

    connector: str
    organization: str
    names: RepositoryNames
    evaluated_since: datetime | None
    is_complete: bool


@dataclass(frozen=True, slots=True)
class ResultsPollResult:
    """The outcome of one poll.

    Attributes:
        pages: number of pages read.
        changed: connectors (id in lower case) for which the answer is another one than before.
        error: why at least one subscription has no complete answer.
    """

    pages: int = 0
    changed: frozenset[str] = frozenset()
    error: OperatorError | None = None


class _Tracked(NamedTuple):
    """A connector whose pipelines are checked, and the seconds between two checks."""

    subscription: str
    interval: float


@dataclass(slots=True)
class _Subscription:
    """What is kept of one subscription.

    Attributes:
        connectors: results by connector and organization, of the last complete answer.
        read_at: when that answer arrived, in seconds since the epoch.
        answered_at: when it arrived, or was last known to be still right.
        failures: queries in a row that failed.
        error: why the newest queries gave no complete answer; None while too few have failed in a row.
        absences: answers in a row without a row of an organization that had one, by connector and organization.
    """

    connectors: dict[str, Mapping[str, RepositoryResults]] = field(default_factory=dict)
    read_at: float = 0.0
    answered_at: float = 0.0
    failures: int = 0
    error: OperatorError | None = None
    absences: dict[tuple[str, str], int] = field(default_factory=dict)

    def add_absent(self, connector: str, results: dict[str, RepositoryResults]) -> None:
        """Add to an answer the organizations that have had no row in it for too few polls to be reported."""
        for name, previous in self.connectors.get(connector, {}).items():
            absence = self.absences.pop((connector, name), 0) + 1
            if name not in results and absence < POLLS_BEFORE_REPORT:
                results[name], self.absences[connector, name] = previous, absence


class RepositoryResultsPoller:
    """Reads which repositories have recommendations, for the connectors of one identity whose pipelines are checked.

    Args:
        arm: the identity's client.
        clock: time.
    """

    def __init__(self, arm: ArmClient, clock: Clock) -> None:
        self._clock = clock
        self._graph = ResourceGraph(arm, "list repositories with recommendations")
        self._tracked: dict[str, _Tracked] = {}
        self._subscriptions: dict[str, _Subscription] = {}

    def track(self, ref: ConnectorRef, interval: float) -> bool:
        """Read the repositories of a connector from now on, and return whether its subscription was never queried.

        Args:
            ref: the connector.
            interval: seconds between two checks of its pipelines.
        """
        subscription = ref.subscription_id.lower()
        self._tracked[ref.key] = _Tracked(subscription, interval)
        return subscription not in self._subscriptions

    def untrack(self, ref: ConnectorRef) -> None:
        """Stop reading the repositories of a connector."""
        if self._tracked.pop(ref.key, None) is not None:
            self._drop_untracked()

    def view(self, ref: ConnectorRef, organization: str) -> RepositoryResults:
        """Return what is known of an organization.

        Args:
            ref: its connector.
            organization: its name in lower case.
        """
        entry = self._subscriptions.get(ref.subscription_id.lower())
        if entry is None or ref.key not in self._tracked:
            return RepositoryResults()
        if entry.error is not None:
            return RepositoryResults(problem=entry.error.message)
        organizations = entry.connectors.get(ref.key)
        if organizations is None:  # tracked after the last answer
            return RepositoryResults()
        results = organizations.get(organization, RepositoryResults(problem=_SILENT))
        return replace(results, answered_at=datetime.fromtimestamp(entry.answered_at, UTC).replace(microsecond=0))

    async def poll(self, connectors_to_read: Collection[str], errors: Mapping[str, OperatorError]) -> ResultsPollResult:
        """Query what is due.

        Args:
            connectors_to_read: connectors whose recommendations have changed since the last poll.
            errors: why recommendations cannot be read now, by subscription; those are not queried.
        """
        by_subscription: defaultdict[str, set[str]] = defaultdict(set)
        for connector, tracked in self._tracked.items():
            by_subscription[tracked.subscription].add(connector)
        changed: set[str] = set()
        pages = 0
        due: list[str] = []
        for subscription, connectors in sorted(by_subscription.items()):
            if subscription in errors:
                changed |= self._apply_error(subscription, connectors, errors[subscription])
            elif self._is_due(subscription, connectors, connectors_to_read):
                due.append(subscription)
            else:  # the recommendations have not changed, so the answer is as good as a new one
                self._subscriptions[subscription].answered_at = self._clock.wall()
        error: OperatorError | None = None
        async for answer in self._graph.batch_answers(REPOSITORIES_WITH_RESULTS, due, self._parse_tracked):
            pages += answer.pages
            error = error or answer.error
            rows = merge_repository_rows(answer.rows)
            for subscription in answer.subscriptions:
                connectors = by_subscription[subscription]
                if answer.error is not None:
                    changed |= self._apply_error(subscription, connectors, answer.error)
                else:
                    changed |= self._apply(subscription, connectors, rows)
        self._drop_untracked()
        return ResultsPollResult(pages, frozenset(changed & self._tracked.keys()), error)

    def _is_due(self, subscription: str, connectors: set[str], connectors_to_read: Collection[str]) -> bool:
        entry = self._subscriptions.get(subscription)
        if entry is None or entry.failures or entry.absences or not connectors.isdisjoint(connectors_to_read):
            return True
        interval = min(self._tracked[connector].interval for connector in connectors)
        return not connectors <= entry.connectors.keys() or self._clock.wall() >= (
            entry.read_at + _INTERVAL_SHARE * interval
        )

    def _parse_tracked(self, row: Mapping[str, Any]) -> RepositoryRow | None:
        """Parse a row, and drop what belongs to connectors whose pipelines are not checked."""
        connector, _ = parse_organization_id(str(row.get("id") or ""))
        return parse_repository_row(row) if connector in self._tracked else None

    def _apply(
        self, subscription: str, connectors: set[str], rows: Mapping[str, Mapping[str, RepositoryRow]]
    ) -> set[str]:
        """Replace the results of a subscription, and return the connectors for which that changes something."""
        now, entry = self._clock.wall(), self._subscriptions.setdefault(subscription, _Subscription())
        changed: set[str] = set()
        answer: dict[str, Mapping[str, RepositoryResults]] = {}
        for connector in connectors:
            results = {name: _results(row) for name, row in rows.get(connector, {}).items()}
            entry.add_absent(connector, results)
            if entry.error is not None or entry.connectors.get(connector) != results:
                changed.add(connector)
            answer[connector] = results
        entry.connectors, entry.read_at, entry.answered_at = answer, now, now
        entry.failures, entry.error = 0, None
        return changed

    def _apply_error(self, subscription: str, connectors: set[str], error: OperatorError) -> set[str]:
        """Record a failure, and return the connectors for which that changes something."""
        entry = self._subscriptions.setdefault(subscription, _Subscription())
        entry.failures += 1
        if entry.failures < POLLS_BEFORE_REPORT:
            return set()
        if entry.error is not None and entry.error.reason == error.reason:
            return set()  # the message may differ each time
        entry.error = error
        return connectors

    def _drop_untracked(self) -> None:
        subscriptions = {tracked.subscription for tracked in self._tracked.values()}
        self._subscriptions = {name: entry for name, entry in self._subscriptions.items() if name in subscriptions}
        for entry in self._subscriptions.values():
            entry.connectors = {name: value for name, value in entry.connectors.items() if name in self._tracked}
            entry.absences = {key: number for key, number in entry.absences.items() if key[0] in self._tracked}


def parse_repository_row(row: Mapping[str, Any]) -> RepositoryRow:
    """Parse one row of the query `REPOSITORIES_WITH_RESULTS`, whatever is in it."""
    connector, organization = parse_organization_id(str(row.get("id") or ""))
    value = row.get("names")
    names = {name for name in value if isinstance(name, str) and name} if isinstance(value, list) else set[str]()
    number = row.get("repositories")
    is_complete = isinstance(value, list) and isinstance(number, int) and len(names) >= number
    return RepositoryRow(
        connector, organization, RepositoryNames(map(unquote, names)), parse_time(row.get("evaluatedAt")), is_complete
    )


def merge_repository_rows(rows: Iterable[RepositoryRow | None]) -> Mapping[str, Mapping[str, RepositoryRow]]:
    """Return the rows by connector and organization. Rows that spell the same organization differently are one."""
    connectors: defaultdict[str, dict[str, RepositoryRow]] = defaultdict(dict)
    for row in rows:
        if row is None or not row.connector:
            continue
        previous = connectors[row.connector].get(row.organization)
        connectors[row.connector][row.organization] = row if previous is None else _merge(previous, row)
    return connectors


def _merge(one: RepositoryRow, other: RepositoryRow) -> RepositoryRow:
    times = [time for time in (one.evaluated_since, other.evaluated_since) if time is not None]
    return one._replace(
        names=one.names | other.names,
        evaluated_since=min(times, default=None),
        is_complete=one.is_complete and other.is_complete,
    )


def _results(row: RepositoryRow) -> RepositoryResults:
    """Return what a row says; the names are not known where it is cut off, or has none."""
    if not row.is_complete:
        return RepositoryResults(problem=_CUT_OFF)
    if not row.names:
        return RepositoryResults(problem=_SILENT)
    return RepositoryResults(row.names, evaluated_since=row.evaluated_since)
