"""Stores the bodies of watch events in the cache and enqueues connectors; nothing else happens in a handler.

Only `on.event` is used: kopf then stores no state of its own on the objects, an edit is noticed during a back-off, and
none of kopf's handlers, timers or retries runs beside our work queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from defender_devops.api.names import CONNECTOR, GROUP, ORGANIZATION, VERSION
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.supervision import OnFailure, contain_exceptions

__all__ = ["EventReceiver", "register_handlers"]


@dataclass(frozen=True, slots=True)
class EventReceiver:
    """Receives the watch events of both kinds.

    Attributes:
        resources: cache of the newest bodies.
        enqueue_connector: called with a connector that has to be reconciled.
        on_failure: counts unexpected exceptions, which affect the resource of the event alone.
    """

    resources: ResourceCache
    enqueue_connector: Callable[[Key], None]
    on_failure: OnFailure = lambda _component: None

    def is_new(self, event: kopf.RawEvent, **_: object) -> bool:
        """Whether an event is newer than the cache: most are echoes of our own writes, whose answers came first."""
        with contain_exceptions("event", self.on_failure):
            return event["type"] == "DELETED" or not self.resources.is_current(event["object"])
        return True

    def connector(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Handle a connector that was listed (None), ADDED, MODIFIED or DELETED."""
        with contain_exceptions("event", self.on_failure, resource=_name_of(body)):
            key = Key.from_body(body)
            if event_type == "DELETED":
                # Others that were not allowed to adopt its Azure connector may do so now.
                waiting = self.resources.with_equal_connector_id(key)
                self.resources.remove_connector(key, body["metadata"]["uid"])
                for other in waiting:
                    self.enqueue_connector(Key.from_body(other))
                # The reconcile drops what is kept of it, and its organizations report that it is missing.
                self.enqueue_connector(key)
            elif self.resources.upsert_connector(body):
                self.enqueue_connector(key)

    def organization(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Handle an organization that was listed (None), ADDED, MODIFIED or DELETED: its connector is reconciled."""
        is_deleted = event_type == "DELETED"
        with contain_exceptions("event", self.on_failure, resource=_name_of(body)):
            connector = (self.resources.remove_organization if is_deleted else self.resources.upsert_organization)(body)
            if connector is not None:
                self.enqueue_connector(connector)


def _name_of(body: Mapping[str, Any]) -> str:
    """Return namespace and name for the log, as far as the body contains them."""
    metadata = body.get("metadata") or {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


def register_handlers(registry: kopf.OperatorRegistry, receiver: EventReceiver) -> None:
    """Make kopf pass the events of both kinds to the receiver."""

    @kopf.on.event(GROUP, VERSION, CONNECTOR.plural, registry=registry, when=receiver.is_new)
    async def on_connector_event(event: kopf.RawEvent, **_: object) -> None:
        receiver.connector(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, ORGANIZATION.plural, registry=registry, when=receiver.is_new)
    async def on_organization_event(event: kopf.RawEvent, **_: object) -> None:
        receiver.organization(event["type"], event["object"])
