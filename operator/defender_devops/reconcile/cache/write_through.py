"""What the API server answers to our own writes: it is the newest there is, and may hold more than we wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache

__all__ = ["WriteThrough"]


class WriteThrough:
    """Takes answers into the cache, and wakes whom they concern.

    Somebody may have changed an object between our look at it and our write. The answer then holds that change, and the
    watch's event of it comes later but is older, so it counts for nothing: without a word from here nobody would look.

    Args:
        resources: the cache.
        wake: called with a connector that has to be looked at.
    """

    def __init__(self, resources: ResourceCache, enqueue: Callable[[Key], None]) -> None:
        self._resources = resources
        self._enqueue_connector = enqueue

    def connector(self, body: Mapping[str, Any]) -> None:
        """A connector as it is after a write of ours."""
        if self._resources.upsert_connector(body):
            self._enqueue_connector(Key.from_body(body))

    def organization(self, body: Mapping[str, Any]) -> None:
        """An organization as it is after a write of ours; one that we have just made is nothing new."""
        known = self._resources.has_organization(Key.from_body(body))
        connector = self._resources.upsert_organization(body)
        if known and connector is not None:
            self._enqueue_connector(connector)

    def organization_deleted(self, key: Key) -> None:
        """A write was told that there is no such organization any more."""
        body = self._resources.organization(key)
        connector = self._resources.remove_organization(body) if body is not None else None
        if connector is not None:
            self._enqueue_connector(connector)
