"""Removes objects from the cache that were deleted while no watch was open.

A watch that starts anew (at the operator's start, or after an interruption longer than the API server's history) begins
with the objects that exist. Nothing reports those that were deleted in between: without a comparison with a list they
would count for ever, including the decisions in their specs.
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

_FIRST_DELAY: Final = 10.0
"""Seconds from the start to the first list: by then the watches are open."""


class Resync:
    """Compares the cache with lists of the API server at intervals.

    Args:
        client: the Kubernetes API.
        resources: the cache.
        namespaces: watched namespaces; an empty tuple means all.
        enqueue_connector: called with a connector that has to be reconciled.
        interval: seconds between two lists.
    """

    def __init__(
        self,
        client: KubernetesClient,
        resources: ResourceCache,
        namespaces: tuple[str, ...],
        enqueue_connector: Callable[[Key], None],
        *,
        interval: float,
    ) -> None:
        self._client = client
        self._resources = resources
        self._namespaces = namespaces
        self._enqueue_connector = enqueue_connector
        self._interval = interval

    async def run(self) -> None:
        """Resync at intervals until cancelled."""
        await asyncio.sleep(min(_FIRST_DELAY, self._interval))
        while True:
            await self.resync()
            await asyncio.sleep(self._interval)

    async def resync(self) -> None:
        """Compare the cache with one list of each kind; a namespace that cannot be listed keeps its objects."""
        for namespace in self._namespaces or (None,):
            try:
                connectors = await list_uids(self._client, CONNECTOR.plural, namespace)
                organizations = await list_uids(self._client, ORGANIZATION.plural, namespace)
            except KubernetesError as error:
                _log.warning("resync failed", namespace=namespace, message=error.message)
                continue
            for key in (
                *self._resources.remove_unlisted_connectors(namespace, connectors.uids, connectors.resource_version),
                *self._resources.remove_unlisted_organizations(
                    namespace, organizations.uids, organizations.resource_version
                ),
            ):
                _log.info(
                    "object deleted while not watched; connector requeued", namespace=key.namespace, connector=key.name
                )
                self._enqueue_connector(key)
