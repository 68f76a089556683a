"""Turns changes in Resource Graph into reconciles of the connectors that they contradict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import Changes, ResourceGraphPoller
from defender_devops.reconcile.cache.connector_cache import ConnectorCaches
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["DriftNotifications"]


class DriftNotifications:
    """Maps connectors in Azure to the resources that manage them.

    Args:
        connector_caches: the last Azure state of each resource.
        enqueue_connector: called with a resource that has to be reconciled.
        on_failure: counts unexpected exceptions, which affect one connector alone.
    """

    def __init__(
        self,
        connector_caches: ConnectorCaches,
        enqueue_connector: Callable[[Key], None],
        on_failure: OnFailure = lambda _component: None,
    ) -> None:
        self._on_failure = on_failure
        self._connector_caches = connector_caches
        self._enqueue_connector = enqueue_connector
        self._subscriptions: dict[Key, tuple[ConnectorRef, ResourceGraphPoller]] = {}
        self._keys: defaultdict[str, set[Key]] = defaultdict(set)

    def register(self, key: Key, ref: ConnectorRef, poller: ResourceGraphPoller) -> None:
        """Notify a resource of changes of this connector, as its poller sees them, and no longer of another one."""
        if key in self._subscriptions and self._subscriptions[key][0].key != ref.key:
            self.forget(key)
        self._subscriptions[key] = (ref, poller)
        self._keys[ref.key].add(key)

    def forget(self, key: Key) -> None:
        """Drop a deleted resource."""
        subscription = self._subscriptions.pop(key, None)
        if subscription is None:
            return
        connector = subscription[0].key
        self._keys[connector].discard(key)
        if not self._keys[connector]:
            del self._keys[connector]

    def on_changes(self, changes: Changes) -> None:
        """Enqueue the resources of changed connectors; those whose last state is contradicted read Azure again.

        Those that waited for this poll are enqueued, too, whatever it shows of them.
        """
        for connector in changes.awaited - changes.vanished - changes.differing:
            for key in self._keys.get(connector, set()):
                self._enqueue_connector(key)
        for connector in changes.vanished | changes.differing:
            for key in self._keys.get(connector, set()):
                is_contradicted = True
                with contain_exceptions("drift notification", self._on_failure, resource=key):
                    is_contradicted = connector in changes.vanished or self._contradicts_cache(key)
                if is_contradicted:
                    self._connector_caches.mark_stale(key)
                self._enqueue_connector(key)

    def _awaits_poll(self, key: Key) -> bool:
        cache = self._connector_caches.get(key)
        return cache is not None and cache.awaits_poll_since is not None

    def _contradicts_cache(self, key: Key) -> bool:
        ref, poller = self._subscriptions[key]
        cache, view = self._connector_caches.get(key), poller.current_view(ref)
        state = cache.azure_state if cache is not None else None
        if state is None and self._awaits_poll(key):
            return False  # nothing was read yet that the row could contradict
        if state is None or state.connector is None or view is None:
            return True
        return bool(view.contradictions(state.connector, state.configuration, state.organizations, state.readers))
