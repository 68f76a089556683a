"""Brings the cache up to date with what happened while no watch was open, or that a watch did not report.

A watch that starts anew (at the operator's start, or after an interruption longer than the API server's history) begins
with the objects that exist. Nothing reports those that were deleted in between: without a comparison with a list they
would count for ever, including the decisions in their specs. And a watch can be late, or fall silent: an object whose
version in the list is newer than in the cache is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog

from defender_devops.api.names import API_VERSION, CONNECTOR, ORGANIZATION, ResourceNames
from defender_devops.cluster.client import KubernetesClient, api_path
from defender_devops.cluster.errors import require_object
from defender_devops.cluster.list_uids import ListedObject, UidList, list_uids
from defender_devops.errors import KubernetesError, KubernetesNotFound
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache

__all__ = ["Resync"]

_log: Final = structlog.get_logger(__name__)

_EVENT_DELAY: Final = 2.0
"""Seconds that the event of a change may take which the list shows already."""

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
                await self._read_newer(connectors, organizations)
            except KubernetesError as error:
                _log.warning("resync failed", namespace=namespace, message=error.message)
                continue
            for key in (
                *self._resources.remove_unlisted_connectors(namespace, connectors.objects, connectors.resource_version),
                *self._resources.remove_unlisted_organizations(
                    namespace, organizations.objects, organizations.resource_version
                ),
            ):
                _log.info(
                    "object deleted while not watched; connector requeued", namespace=key.namespace, connector=key.name
                )
                self._enqueue_connector(key)

    async def _read_newer(self, connectors: UidList, organizations: UidList) -> None:
        """Read the objects of which the cache has an older version, or none, some time after they were listed.

        Raises:
            KubernetesError: one could not be read.
        """
        resources = self._resources
        if not (
            _newer(organizations, resources.organization_version) or _newer(connectors, resources.connector_version)
        ):
            return
        await asyncio.sleep(_EVENT_DELAY)
        for listed in _newer(organizations, resources.organization_version):
            if (body := await self._read(ORGANIZATION, listed)) is not None:
                self._enqueue(resources.upsert_organization(body))
        for listed in _newer(connectors, resources.connector_version):
            if (body := await self._read(CONNECTOR, listed)) is not None and resources.upsert_connector(body):
                self._enqueue(Key.from_body(body))

    async def _read(self, names: ResourceNames, listed: ListedObject) -> dict[str, Any] | None:
        """Return the newest body of an object, or None if it is deleted by now."""
        url = api_path(API_VERSION, names.plural, listed.namespace, listed.name)
        try:
            body = require_object(await self._client.get(url), names.kind, listed.name)
        except KubernetesNotFound:
            return None
        _log.info("change that no watch reported", kind=names.kind, namespace=listed.namespace, name=listed.name)
        return body

    def _enqueue(self, connector: Key | None) -> None:
        if connector is not None:
            self._enqueue_connector(connector)


def _newer(listed: UidList, cached_version: Callable[[Key], int | None]) -> list[ListedObject]:
    """Return the objects of which the cache has an older version, or none."""
    return [item for item in listed.objects.values() if (cached_version(Key(*item[:2])) or 0) < item.resource_version]
