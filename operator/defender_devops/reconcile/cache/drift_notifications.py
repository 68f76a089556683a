"""What the cloud watcher saw becomes wake-ups: a connector whose row says nothing new is left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import Changes, ResourceGraphPoller
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.resource_cache import Key

__all__ = ["DriftNotifications"]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a resource is about, and who watches that."""

    ref: ConnectorRef
    poller: ResourceGraphPoller


class DriftNotifications:
    """Knows which resources stand for which connector in Azure.

    Args:
        memories: what is known of each resource.
        wake: called with a resource that has to be looked at.
    """

    def __init__(self, connector_caches: ConnectorCaches, enqueue: Callable[[Key], None]) -> None:
        self._connector_caches = connector_caches
        self._enqueue_connector = enqueue
        self._subjects: dict[Key, _Subject] = {}
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)

    def note(self, key: Key, ref: ConnectorRef, poller: ResourceGraphPoller) -> None:
        """This resource is about this connector."""
        self._subjects[key] = _Subject(ref, poller)
        self._keys[ref.key].add(key)

    def forget(self, key: Key) -> None:
        """The resource is gone."""
        subject = self._subjects.pop(key, None)
        if subject is None:
            return
        keys = self._keys[subject.ref.key]
        keys.discard(key)
        if not keys:
            del self._keys[subject.ref.key]

    def take(self, changes: Changes) -> None:
        """Wake whom a look concerns; where what it shows contradicts what is known, Azure is read afresh."""
        for connector in changes.vanished | changes.differing:
            for key in self._keys.get(connector, set()):
                if connector in changes.vanished or self._contradicts(key):
                    self._connector_caches.mark_stale(key)
                self._enqueue_connector(key)

    def _contradicts(self, key: Key) -> bool:
        subject, known = self._subjects[key], self._connector_caches.cloud(key)
        view = subject.poller.current_view(subject.ref)
        if known is None or known.connector is None or view is None:
            return True
        return bool(view.contradictions(known.connector, known.configuration, known.organizations, known.readers))
