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
from defender_devops.reconcile.cache.resource_cache import Key, Resources

__all__ = ["Inbox", "register"]


@dataclass(frozen=True, slots=True)
class Inbox:
    """Where events go.

    Attributes:
        resources: cache of the newest bodies.
        wake: called with a connector that has to be looked at.
    """

    resources: Resources
    wake: Callable[[Key], None]

    def is_news(self, event: kopf.RawEvent, **_: object) -> bool:
        """Whether an event tells more than is known: most are echoes of our own writes, whose answers came first."""
        return event["type"] == "DELETED" or not self.resources.knows(event["object"])

    def connector(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A connector was listed (kind None), ADDED, MODIFIED or DELETED."""
        key = Key.of(body)
        if kind == "DELETED":
            self.resources.drop_connector(key, body["metadata"]["uid"])
            self.wake(key)  # what is kept of it goes, and its organizations have to say that it is gone
        elif self.resources.put_connector(body):
            self.wake(key)

    def organization(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An organization was listed (kind None), ADDED, MODIFIED or DELETED: its connector looks at it."""
        put = self.resources.drop_organization if kind == "DELETED" else self.resources.put_organization
        connector = put(body)
        if connector is not None:
            self.wake(connector)


def register(registry: kopf.OperatorRegistry, inbox: Inbox) -> None:
    """Let kopf bring the events of both resources."""

    @kopf.on.event(GROUP, VERSION, CONNECTOR.plural, registry=registry, when=inbox.is_news)
    async def connector_event(event: kopf.RawEvent, **_: object) -> None:
        inbox.connector(event["type"], event["object"])

    @kopf.on.event(GROUP, VERSION, ORGANIZATION.plural, registry=registry, when=inbox.is_news)
    async def organization_event(event: kopf.RawEvent, **_: object) -> None:
        inbox.organization(event["type"], event["object"])
