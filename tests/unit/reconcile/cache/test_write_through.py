"""A change just before our own write is not lost, although the watch's event of it comes too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import kopf
import pytest

from defender_devops.api.names import FINALIZER
from defender_devops.handlers.events import EventReceiver
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough

CONTOSO = Key("security", "contoso")


class World:
    """The cache with both of its sources."""

    def __init__(self) -> None:
        self.enqueued: list[Key] = []
        self.resources = ResourceCache()
        self.receiver = EventReceiver(self.resources, self.enqueued.append)
        self.write_through = WriteThrough(self.resources, self.enqueued.append)


def connector(version: int, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - a piece of a manifest
    """A connector of that resourceVersion."""
    azure = {"subscriptionId": "1", "resourceGroup": "rg"}
    base = {"namespace": "security", "name": "contoso", "uid": "u", "resourceVersion": str(version)}
    return {"metadata": base | metadata, "spec": {"azure": azure}}


def organization(version: int, **spec: str) -> dict[str, Any]:
    """An organization of that connector, of that resourceVersion."""
    base = {"namespace": "security", "name": "fabrikam", "uid": "o", "resourceVersion": str(version)}
    return {"metadata": base, "spec": {"connectorRef": {"name": "contoso"}, "organization": "fabrikam", **spec}}


@pytest.fixture
def world() -> World:
    """Return a world with a connector and an organization that were reconciled."""
    world = World()
    world.receiver.connector(None, connector(1))
    world.receiver.organization(None, organization(1))
    world.enqueued.clear()
    return world


def test_a_deletion_before_our_status_write_is_reconciled(world: World) -> None:
    deletion = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.write_through.connector(connector(3, **deletion))
    world.receiver.connector("MODIFIED", connector(2, **deletion))
    assert world.enqueued == [CONTOSO]


def test_a_decision_before_our_status_write_is_reconciled(world: World) -> None:
    world.write_through.organization(organization(3, onboarding="Excluded"))
    world.receiver.organization("MODIFIED", organization(2, onboarding="Excluded"))
    assert world.enqueued == [CONTOSO]


def test_our_own_writes_enqueue_nothing(world: World) -> None:
    world.write_through.connector({**connector(2, finalizers=["ours"]), "status": {"conditions": []}})
    world.write_through.organization({**organization(2), "status": {"conditions": []}})
    world.receiver.connector("MODIFIED", connector(2))
    world.receiver.organization("MODIFIED", organization(2))
    assert world.enqueued == []


def test_an_organization_that_we_created_enqueues_nothing() -> None:
    world = World()
    world.receiver.connector("ADDED", connector(1))
    world.enqueued.clear()
    world.write_through.organization(organization(2))
    world.receiver.organization("ADDED", organization(2))
    assert world.enqueued == []


def event(kind: str | None, body: dict[str, Any]) -> kopf.RawEvent:
    """Return an event as kopf passes it."""
    of = "AzureDevOpsConnector" if body["metadata"]["name"] == "contoso" else "DevOpsOrganization"
    return cast("kopf.RawEvent", {"type": kind, "object": {"kind": of, **body}})


@pytest.mark.parametrize("body_of", [connector, organization])
def test_echoes_of_cached_bodies_are_not_new_and_everything_else_is(
    world: World, body_of: Callable[[int], dict[str, Any]]
) -> None:
    cached = body_of(3)
    (world.write_through.connector if body_of is connector else world.write_through.organization)(cached)
    assert not world.receiver.is_new(event("MODIFIED", body_of(2)))
    assert not world.receiver.is_new(event("MODIFIED", cached))
    assert not world.receiver.is_new(event(None, cached))
    assert world.receiver.is_new(event("MODIFIED", body_of(4)))
    assert world.receiver.is_new(event("DELETED", cached))


def test_a_late_event_of_a_deleted_object_does_not_hide_its_successor(world: World) -> None:
    world.receiver.connector("ADDED", connector(9, uid="new"))
    assert not world.receiver.is_new(event("MODIFIED", connector(8)))
    world.receiver.connector("MODIFIED", connector(8))
    world.receiver.connector("DELETED", connector(8))
    body = world.resources.connector(CONTOSO)
    assert body is not None
    assert body["metadata"]["uid"] == "new"


def test_the_answer_to_a_write_does_not_bring_back_a_deleted_connector(world: World) -> None:
    """The answer to the patch that removes the finalizer may arrive after the event of the deletion."""
    world.receiver.connector("DELETED", connector(4))
    world.enqueued.clear()
    world.write_through.connector(connector(3, deletionTimestamp="2026-01-01T00:00:00Z"))
    world.write_through.connector(connector(5))
    assert world.resources.connector(CONTOSO) is None
    assert world.enqueued == []


def test_the_answer_to_a_write_does_not_bring_back_a_deleted_organization(world: World) -> None:
    world.receiver.organization("DELETED", organization(4))
    world.write_through.organization(organization(5))
    assert world.resources.organizations(CONTOSO) == []


def test_the_answer_to_a_creation_does_not_bring_back_an_organization_deleted_since() -> None:
    world = World()
    world.receiver.organization("DELETED", organization(4))
    world.write_through.organization(organization(3))
    assert world.resources.organizations(CONTOSO) == []


def test_the_answer_to_a_write_does_not_replace_the_successor_of_a_deleted_connector(world: World) -> None:
    world.receiver.connector("DELETED", connector(4))
    world.receiver.connector("ADDED", connector(6, uid="new"))
    world.write_through.connector(connector(7))
    assert world.resources.connector_uid(CONTOSO) == "new"


def test_a_lost_finalizer_is_reconciled_at_the_event(world: World) -> None:
    """`kubectl replace` of the manifest drops the finalizer without any other change."""
    world.write_through.connector(connector(2, finalizers=[FINALIZER]))
    assert world.enqueued == [], "adding it is our own write"
    world.receiver.connector("MODIFIED", connector(3, finalizers=["example.com/other"]))
    assert world.enqueued == [CONTOSO]
