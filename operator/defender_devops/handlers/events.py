"""Watch events become newest bodies and wake-ups; nothing else happens in a handler.

Only `on.event` is used: kopf keeps no state of its own on the objects then, an edit is seen during a back-off, and no
handler, timer or retry of kopf's runs beside our queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import kopf

from defender_devops.api.names import CONNECTOR, GROUP, ORGANIZATION, VERSION
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache

__all__ = ["EventReceiver", "register"]


@dataclass(frozen=True, slots=True)
class EventReceiver:
    """Where events go.

    Attributes:
        resources: cache of the newest bodies.
        wake: called with a connector that has to be looked at.
    """

    resources: ResourceCache
    enqueue: Callable[[Key], None]

    def is_new(self, event: kopf.RawEvent, **_: object) -> bool:
        """Whether an event tells more than is known: most are echoes of our own writes, whose answers came first."""
        return event["type"] == "DELETED" or not self.resources.is_current(event["object"])

    def connector(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A connector was listed (kind None), ADDED, MODIFIED or DELETED."""
        key = Key.from_body(body)
        if kind == "DELETED":
            self.resources.remove_connector(key, body["metadata"]["uid"])
            self.enqueue(key)  # what is kept of it goes, and its organizations have to say that it is gone
        elif self.resources.upsert_connector(body):
            self.enqueue(key)

    def organization(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An organization was listed (kind None), ADDED, MODIFIED or DELETED: its connector looks at it."""
        put = self.resources.remove_organization if kind == "DELETED" else self.resources.upsert_organization
        connector = put(body)
        if connector is not None:
            self.enqueue(connector)


def register(registry: kopf.OperatorRegistry, inbox: EventReceiver) -> None:
    """Let kopf bring the events of both resources."""

    @kopf.on.event(GROUP, VERSION, CONNECTOR.plural, registry=registry, when=inbox.is_new)
    async def connector_event(event: kopf.RawEvent, **_: object) -> None:
        inbox.connector(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, ORGANIZATION.plural, registry=registry, when=inbox.is_new)
    async def organization_event(event: kopf.RawEvent, **_: object) -> None:
        inbox.organization(event["type"], event["object"])
