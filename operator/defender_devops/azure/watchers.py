"""All cloud watchers of this process, one for each identity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from defender_devops.api.cloud import ConnectorRef
from defender_devops.azure.arm import ArmClient
from defender_devops.azure.clock import Clock
from defender_devops.azure.watcher import Changes, CloudWatcher, Look

__all__ = ["CloudWatchers"]


class CloudWatchers:
    """Makes a watcher when an identity first needs one, and runs them all.

    Args:
        interval: seconds between two looks of each.
        changed: told what a look found to be new; must not block.
        clock: time.
    """

    def __init__(self, *, interval: float, changed: Callable[[Changes], None], clock: Clock | None = None) -> None:
        self._interval = interval
        self._changed = changed
        self._clock = clock or Clock()
        self._watchers: dict[str, CloudWatcher] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def of(self, arm: ArmClient) -> CloudWatcher:
        """The watcher of this client's identity. With a new credential of the same identity it goes on."""
        watcher = self._watchers.get(arm.principal)
        if watcher is None:
            watcher = CloudWatcher(arm, interval=self._interval, changed=self._changed, clock=self._clock)
            self._watchers[arm.principal] = watcher
            if self._tasks is not None:
                self._tasks.create_task(watcher.run())
        watcher.arm = arm
        return watcher

    def note_write(self, ref: ConnectorRef) -> None:
        """A connector was written, by whichever identity: no watcher trusts what it sees of it for a while."""
        for watcher in self._watchers.values():
            watcher.note_write(ref)

    def forget(self, ref: ConnectorRef) -> None:
        """Nobody needs to look after a connector any more."""
        for watcher in self._watchers.values():
            watcher.forget(ref)

    def looks(self) -> Mapping[str, Look]:
        """The last look of each identity that has looked, by principal."""
        return {
            principal: watcher.last_look
            for principal, watcher in self._watchers.items()
            if watcher.last_look is not None
        }

    async def run(self) -> None:
        """Run all watchers until cancelled, also those that are made later."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for watcher in self._watchers.values():
                    tasks.create_task(watcher.run())
                await asyncio.Event().wait()
            finally:
                self._tasks = None
