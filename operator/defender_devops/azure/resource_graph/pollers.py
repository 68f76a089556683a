"""All cloud watchers of this process, one for each client of Azure.

One for each credential, not for each principal: what a look shows may be seen only by who could have looked. Naming
another's client id, with a secret that does not open it, must not show another's connectors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.poller import SETTLE, Changes, CloudWatcher, Look
from defender_devops.clock import Clock

__all__ = ["CloudWatchers"]


@dataclass(slots=True)
class _Post:
    """A watcher, those whom it serves, and its task once it runs."""

    watcher: CloudWatcher
    served: dict[str, ConnectorRef]
    task: asyncio.Task[None] | None = None


class CloudWatchers:
    """Makes a watcher when a client first needs one, runs it, and ends it when nobody needs it any more.

    Args:
        interval: seconds between two looks of each.
        changed: told what a look found to be new; must not block.
        settle: seconds for which a row may be older than a write.
        clock: time.
    """

    def __init__(
        self,
        *,
        interval: float,
        changed: Callable[[Changes], None],
        settle: float = SETTLE,
        clock: Clock | None = None,
    ) -> None:
        self._interval = interval
        self._settle = settle
        self._changed = changed
        self._clock = clock or Clock()
        self._posts: dict[ArmClient, _Post] = {}
        self._served_by: dict[str, ArmClient] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def watch(self, user: str, arm: ArmClient, ref: ConnectorRef, *, readers: bool = False) -> CloudWatcher:
        """Look after a connector for a resource, with the client of its identity; gives the watcher that does.

        Args:
            user: uid of the resource.
            arm: its client; another one than before ends what the other one's watcher did for it.
            ref: its connector.
            readers: also look at the role assignments at the connector's scope.
        """
        if self._served_by.get(user) is not arm:
            self.forget(user)
            self._served_by[user] = arm
        post = self._posts.get(arm)
        if post is None:
            watcher = CloudWatcher(
                arm, interval=self._interval, changed=self._changed, settle=self._settle, clock=self._clock
            )
            post = self._posts[arm] = _Post(watcher, {})
            self._start(post)
        post.served[user] = ref
        post.watcher.watch(ref, readers=readers)
        return post.watcher

    def note_write(self, ref: ConnectorRef) -> None:
        """A connector was written, by whichever identity: no watcher trusts what it sees of it for a while."""
        for post in self._posts.values():
            post.watcher.note_write(ref)

    def forget(self, user: str) -> None:
        """A resource is gone."""
        arm = self._served_by.pop(user, None)
        if arm is None:
            return
        post = self._posts[arm]
        ref = post.served.pop(user)
        if all(other.key != ref.key for other in post.served.values()):
            post.watcher.forget(ref)
        if not post.served:
            del self._posts[arm]
            if post.task is not None:
                post.task.cancel()

    def looks(self) -> dict[str, Look]:
        """The last look of each client that has looked, by the identity's name."""
        looks = ((post.watcher.arm.who, post.watcher.last_look) for post in self._posts.values())
        return {who: look for who, look in looks if look is not None}

    async def run(self) -> None:
        """Run all watchers until cancelled, also those that are made later."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for post in self._posts.values():
                    self._start(post)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def _start(self, post: _Post) -> None:
        if self._tasks is not None:
            post.task = self._tasks.create_task(post.watcher.run())
