"""Finds out who has gone unheard.

A watch that begins anew, at the operator's start or after an interruption that the API server no longer remembers,
begins with those that are there: nobody tells of those that went in between. They would be reckoned with for ever, a
decision of somebody's among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from defender_devops.api.names import CONNECTOR, ORGANIZATION
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.list_uids import list_uids
from defender_devops.errors import KubernetesError
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache

__all__ = ["Resync"]

_log: Final = structlog.get_logger(__name__)

_FIRST: Final = 10.0
"""Seconds after the start: by then the watches have begun."""


class Resync:
    """Holds the cache against a list, again and again.

    Args:
        client: the API.
        resources: the cache.
        namespaces: those that are watched; none means all.
        wake: called with a connector that has to be looked at.
        interval: seconds between two lists.
    """

    def __init__(
        self,
        client: KubernetesClient,
        resources: ResourceCache,
        namespaces: tuple[str, ...],
        enqueue: Callable[[Key], None],
        *,
        interval: float,
    ) -> None:
        self._client = client
        self._resources = resources
        self._namespaces = namespaces
        self._enqueue_connector = enqueue
        self._interval = interval

    async def run(self) -> None:
        """Call the roll until cancelled."""
        await asyncio.sleep(min(_FIRST, self._interval))
        while True:
            await self.call()
            await asyncio.sleep(self._interval)

    async def call(self) -> None:
        """List all once, forget who is not there, and wake whom that concerns.

        What cannot be listed is left as it is until the next time.
        """
        for namespace in self._namespaces or (None,):
            try:
                await self._call(namespace)
            except KubernetesError as error:
                _log.info("cannot list the resources", namespace=namespace, message=error.message)

    async def _call(self, namespace: str | None) -> None:
        listing = await list_uids(self._client, CONNECTOR.plural, namespace)
        gone = self._resources.remove_unlisted_connectors(namespace, listing.uids, listing.resource_version)
        listing = await list_uids(self._client, ORGANIZATION.plural, namespace)
        left = self._resources.remove_unlisted_organizations(namespace, listing.uids, listing.resource_version)
        for key in (*gone, *left):
            _log.info("gone unheard", namespace=key.namespace, connector=key.name)
            self._enqueue_connector(key)
