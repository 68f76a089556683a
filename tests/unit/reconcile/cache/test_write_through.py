"""What somebody changed just before our own write is not lost, although the watch's event of it comes too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import kopf
import pytest

from defender_devops.handlers.events import EventReceiver
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough

CONTOSO = Key("security", "contoso")


class World:
    """The cache with the two that fill it."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.resources = ResourceCache()
        self.inbox = EventReceiver(self.resources, self.woken.append)
        self.written = WriteThrough(self.resources, self.woken.append)


def connector(version: int, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - a piece of a manifest
    """A connector of that resourceVersion."""
    azure = {"subscriptionId": "1", "resourceGroup": "rg"}
    named = {"namespace": "security", "name": "contoso", "uid": "u", "resourceVersion": str(version)}
    return {"metadata": named | metadata, "spec": {"azure": azure}}


def organization(version: int, **spec: str) -> dict[str, Any]:
    """An organization of that connector, of that resourceVersion."""
    named = {"namespace": "security", "name": "fabrikam", "uid": "o", "resourceVersion": str(version)}
    return {"metadata": named, "spec": {"connectorRef": {"name": "contoso"}, "organization": "fabrikam", **spec}}


@pytest.fixture
def world() -> World:
    """A connector and an organization that were looked at."""
    world = World()
    world.inbox.connector(None, connector(1))
    world.inbox.organization(None, organization(1))
    world.woken.clear()
    return world


def test_a_deletion_that_our_status_write_met_is_looked_at(world: World) -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.written.connector(connector(3, **gone))
    world.inbox.connector("MODIFIED", connector(2, **gone))
    assert world.woken == [CONTOSO]


def test_a_decision_that_our_status_write_met_is_looked_at(world: World) -> None:
    world.written.organization(organization(3, onboarding="Excluded"))
    world.inbox.organization("MODIFIED", organization(2, onboarding="Excluded"))
    assert world.woken == [CONTOSO]


def test_what_we_wrote_ourselves_wakes_nobody(world: World) -> None:
    world.written.connector({**connector(2, finalizers=["ours"]), "status": {"conditions": []}})
    world.written.organization({**organization(2), "status": {"conditions": []}})
    world.inbox.connector("MODIFIED", connector(2))
    world.inbox.organization("MODIFIED", organization(2))
    assert world.woken == []


def test_an_organization_that_we_have_made_wakes_nobody() -> None:
    world = World()
    world.inbox.connector("ADDED", connector(1))
    world.woken.clear()
    world.written.organization(organization(2))
    world.inbox.organization("ADDED", organization(2))
    assert world.woken == []


def event(kind: str | None, body: dict[str, Any]) -> kopf.RawEvent:
    """As kopf hands it over."""
    of = "AzureDevOpsConnector" if body["metadata"]["name"] == "contoso" else "DevOpsOrganization"
    return cast("kopf.RawEvent", {"type": kind, "object": {"kind": of, **body}})


@pytest.mark.parametrize("made", [connector, organization])
def test_an_echo_of_what_is_known_is_no_news_and_everything_else_is(
    world: World, made: Callable[[int], dict[str, Any]]
) -> None:
    known = made(3)
    (world.written.connector if made is connector else world.written.organization)(known)
    assert not world.inbox.is_new(event("MODIFIED", made(2)))
    assert not world.inbox.is_new(event("MODIFIED", known))
    assert not world.inbox.is_new(event(None, known))
    assert world.inbox.is_new(event("MODIFIED", made(4)))
    assert world.inbox.is_new(event("DELETED", known))


def test_a_late_word_of_an_object_that_had_the_name_before_does_not_hide_the_new_one(world: World) -> None:
    world.inbox.connector("ADDED", connector(9, uid="new"))
    assert not world.inbox.is_new(event("MODIFIED", connector(8)))
    world.inbox.connector("MODIFIED", connector(8))
    world.inbox.connector("DELETED", connector(8))
    body = world.resources.connector(CONTOSO)
    assert body is not None
    assert body["metadata"]["uid"] == "new"
