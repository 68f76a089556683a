"""The Resource Graph pollers of this process, one for each ARM client.

One for each credential, not for each principal: the views of a poll may be used only by whoever could have made the
query. A connector that names another's client id, with a secret that Entra ID refuses, must not get its views.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.api.pipelines.results import RepositoryResults
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.poller import INDEXING_LAG, Changes, ResourceGraphPoller
from defender_devops.azure.resource_graph.posture_poller import PosturePoller
from defender_devops.clock import Clock
from defender_devops.supervision import OnFailure, run_supervised

__all__ = ["ResourceGraphPollers"]

_NOT_POLLED: Final = RepositoryResults(
    problem="Recommendations of Defender for Cloud are not read: the setting postureInterval of the operator is 0."
)


@dataclass(slots=True)
class _Entry:
    """The pollers of one client and the resources that use them.

    Attributes:
        poller: polls for all of their connectors.
        posture: polls for the recommendations of these connectors; None where they are not queried.
        connectors: the connector of each resource, by the resource's uid.
        references: the number of resources that refer to a connector, by its key: two may refer to one.
        tasks: run the pollers, while pollers run.
    """

    poller: ResourceGraphPoller
    posture: PosturePoller | None
    connectors: dict[str, ConnectorRef] = field(default_factory=dict)
    references: Counter[str] = field(default_factory=Counter)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def refer(self, uid: str, ref: ConnectorRef) -> None:
        """Record the connector of a resource."""
        previous_ref = self.connectors.get(uid)
        if previous_ref != ref:
            self.connectors[uid] = ref
            self.references[ref.key] += 1
            if previous_ref is not None:
                self._release(previous_ref)

    def remove(self, uid: str) -> None:
        """Remove a resource."""
        self._release(self.connectors.pop(uid))

    def _release(self, ref: ConnectorRef) -> None:
        self.references[ref.key] -= 1
        if not self.references[ref.key]:
            del self.references[ref.key]
            self.poller.untrack(ref)
            if self.posture is not None:
                self.posture.untrack(ref)


class ResourceGraphPollers:
    """Creates the pollers of a client when it first needs them, and ends them with the last resource that uses them.

    Args:
        interval: seconds between two polls for connectors of each client.
        on_changes: called with the changes of a poll; must not block.
        posture_interval: seconds between two polls for recommendations of each client; 0 for none.
        on_posture: called with the poller and the changed connectors after each poll for recommendations.
        indexing_lag: seconds for which a row may be older than a write.
        on_failure: counts unexpected exceptions, which affect one poller alone.
        clock: time.
    """

    def __init__(
        self,
        *,
        interval: float,
        on_changes: Callable[[Changes], None],
        posture_interval: float = 0.0,
        on_posture: Callable[[PosturePoller, frozenset[str]], None] = lambda _poller, _changed: None,
        indexing_lag: float = INDEXING_LAG,
        on_failure: OnFailure = lambda _component: None,
        clock: Clock | None = None,
    ) -> None:
        self._interval = interval
        self._indexing_lag = indexing_lag
        self._on_changes = on_changes
        self._posture_interval = posture_interval
        self._on_posture = on_posture
        self._on_failure = on_failure
        self._clock = clock or Clock()
        self._entries: dict[ArmClient, _Entry] = {}
        self._client_by_uid: dict[str, ArmClient] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def track(
        self,
        uid: str,
        arm: ArmClient,
        ref: ConnectorRef,
        *,
        readers: bool = False,
        checks_interval: float | None = None,
        is_awaited: bool = False,
    ) -> ResourceGraphPoller:
        """Track the connector of a resource with the client of its identity, and return the poller that does.

        Args:
            uid: of the resource.
            arm: its client; a change of clients ends the tracking with the previous one.
            ref: its connector; a change of it ends the tracking of the previous one.
            readers: whether to read the role assignments at the connector's scope, too.
            checks_interval: seconds between two checks of its pipelines; None while they are not checked.
            is_awaited: whether the caller waits for the first poll that covers the connector.
        """
        if self._client_by_uid.get(uid) is not arm:
            self.untrack(uid)
            self._client_by_uid[uid] = arm
        entry = self._entries.get(arm)
        if entry is None:
            entry = self._entries[arm] = self._create(arm)
            self._start(entry)
        entry.refer(uid, ref)
        entry.poller.track(ref, readers=readers, is_awaited=is_awaited)
        if entry.posture is not None:
            entry.posture.track(ref, checks_interval=checks_interval)
        return entry.poller

    def posture(self, uid: str) -> PosturePoller | None:
        """Return the poller for recommendations that tracks the connector of a resource, or None without one."""
        arm = self._client_by_uid.get(uid)
        return self._entries[arm].posture if arm is not None else None

    def repository_results(self, uid: str, organization: str) -> RepositoryResults:
        """Return which repositories of an organization have recommendations.

        Args:
            uid: of the resource whose pipelines are checked.
            organization: name in lower case.
        """
        arm = self._client_by_uid.get(uid)
        if arm is None:
            return RepositoryResults()
        entry = self._entries[arm]
        if entry.posture is None:
            return _NOT_POLLED
        return entry.posture.repository_results(entry.connectors[uid], organization)

    def record_write(self, ref: ConnectorRef) -> None:
        """Make every poller ignore the row of a connector for a while: it was written, by whichever identity."""
        for entry in self._entries.values():
            entry.poller.record_write(ref)

    def untrack(self, uid: str) -> None:
        """Stop tracking the connector of a resource, which was deleted or uses another client now."""
        arm = self._client_by_uid.pop(uid, None)
        if arm is None:
            return
        entry = self._entries[arm]
        entry.remove(uid)
        if not entry.connectors:
            del self._entries[arm]
            for task in entry.tasks:
                task.cancel()

    async def run(self) -> None:
        """Run all pollers until cancelled, those that are created later included."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for entry in self._entries.values():
                    self._start(entry)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def _create(self, arm: ArmClient) -> _Entry:
        poller = ResourceGraphPoller(
            arm,
            interval=self._interval,
            on_changes=self._on_changes,
            indexing_lag=self._indexing_lag,
            clock=self._clock,
        )
        if not self._posture_interval:
            return _Entry(poller, None)
        posture = PosturePoller(arm, interval=self._posture_interval, on_poll=self._on_posture, clock=self._clock)
        return _Entry(poller, posture)

    def _start(self, entry: _Entry) -> None:
        if self._tasks is None:
            return
        runs = {"Resource Graph poller": entry.poller.run}
        if entry.posture is not None:
            runs["posture poller"] = entry.posture.run
        entry.tasks = [
            self._tasks.create_task(run_supervised(name, run, self._on_failure, clock=self._clock))
            for name, run in runs.items()
        ]
