"""Stores the answers to our own writes in the cache: they are newer than any watch event received so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache

__all__ = ["WriteThrough"]


class WriteThrough:
    """Stores answers in the cache and enqueues the connectors that they concern.

    An answer may hold more than was written: somebody may have changed the object between our read and our write. The
    watch's event of that change arrives later but is older than the answer, so the cache ignores it; without enqueuing
    here, nothing would react to the change.

    Args:
        resources: the cache.
        enqueue_connector: called with a connector that has to be reconciled.
    """

    def __init__(self, resources: ResourceCache, enqueue_connector: Callable[[Key], None]) -> None:
        self._resources = resources
        self._enqueue_connector = enqueue_connector

    def connector(self, body: Mapping[str, Any]) -> None:
        """Store a connector after our write. One that was removed from the cache meanwhile stays removed."""
        key = Key.from_body(body)
        if self._resources.connector_uid(key) == body["metadata"]["uid"] and self._resources.upsert_connector(body):
            self._enqueue_connector(key)

    def organization(self, body: Mapping[str, Any]) -> None:
        """Store an organization after our write or our creation, of which the latter enqueues nothing."""
        if self._resources.is_removed(body["metadata"]["uid"]):
            return
        is_update = self._resources.has_organization(Key.from_body(body))
        connector = self._resources.upsert_organization(body)
        if is_update and connector is not None:
            self._enqueue_connector(connector)

    def organization_deleted(self, key: Key) -> None:
        """Remove an organization that a write did not find any more."""
        body = self._resources.organization(key)
        connector = self._resources.remove_organization(body) if body is not None else None
        if connector is not None:
            self._enqueue_connector(connector)
