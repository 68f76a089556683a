"""What somebody changed just before our own write is not lost, although the watch's event of it comes too late."""

from __future__ import annotations

from typing import Any

import pytest

from defender_devops.handlers.events import Inbox
from defender_devops.reconcile.own_writes import OwnWrites
from defender_devops.reconcile.resources import Key, Resources

CONTOSO = Key("security", "contoso")


class World:
    """The cache with the two that fill it."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.resources = Resources()
        self.inbox = Inbox(self.resources, self.woken.append)
        self.written = OwnWrites(self.resources, self.woken.append)


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
