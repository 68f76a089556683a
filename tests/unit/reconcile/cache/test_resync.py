"""Objects deleted while no watch was open are removed from the cache, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from defender_devops.cluster.client import KubernetesClient
from defender_devops.errors import KubernetesRefused
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.resync import Resync
from defender_devops.reconcile.cache.write_through import WriteThrough

CONTOSO = Key("security", "contoso")


def connector(uid: str = "c", version: int = 5, namespace: str = "security") -> dict[str, Any]:
    """A connector `contoso`."""
    metadata = {"namespace": namespace, "name": "contoso", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"azure": {"subscriptionId": "1", "resourceGroup": "rg"}}}


def organization(uid: str = "o", version: int = 5) -> dict[str, Any]:
    """An organization `fabrikam` of that connector."""
    metadata = {"namespace": "security", "name": "fabrikam", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"connectorRef": {"name": "contoso"}, "organization": "fabrikam"}}


class World:
    """A cache, and an API server with scripted lists."""

    def __init__(self) -> None:
        self.enqueued: list[Key] = []
        self.resources = ResourceCache()
        self.requests: list[tuple[str, str]] = []
        self._lists: list[list[dict[str, Any]]] = []
        self.fails_after_first_list = False

    async def resync(self, *namespaces: str) -> None:
        """Resync once."""
        client = cast("KubernetesClient", self)
        await Resync(client, self.resources, namespaces, self.enqueued.append, interval=300).resync()

    def lists(self, *pages: tuple[str, ...], version: int = 9) -> None:
        """Script the next list: uids, page by page."""
        metadata = {"resourceVersion": str(version)}
        self._lists.append(
            [{"metadata": metadata, "items": [{"metadata": {"uid": uid}} for uid in page]} for page in pages]
        )

    async def pages(self, url: str, *, accept: str) -> AsyncIterator[dict[str, Any]]:
        """Return the pages of the next list, as the client does."""
        self.requests.append((url, accept))
        if "/forbidden/" in url or (self.fails_after_first_list and len(self.requests) > 1):
            raise KubernetesRefused("No right to list them.")
        for page in self._lists.pop(0):
            yield page


@pytest.fixture
def world() -> World:
    """Return a world with a connector and its organization in the cache."""
    world = World()
    world.resources.upsert_connector(connector())
    world.resources.upsert_organization(organization())
    return world


async def test_listed_objects_stay(world: World) -> None:
    world.lists(("c",))
    world.lists(("o",))
    await world.resync()
    assert world.enqueued == []
    assert world.resources.connector(CONTOSO) is not None
    assert world.resources.organizations(CONTOSO) != []
    assert {accept for _, accept in world.requests} == {
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    }


async def test_an_unlisted_organization_is_removed_and_its_connector_requeued(world: World) -> None:
    world.lists(("c",))
    world.lists(())
    await world.resync()
    assert world.enqueued == [CONTOSO]
    assert world.resources.organizations(CONTOSO) == []


async def test_an_unlisted_connector_is_removed_and_requeued(world: World) -> None:
    world.lists(())
    world.lists(("o",))
    await world.resync()
    assert world.enqueued == [CONTOSO]
    assert world.resources.connector(CONTOSO) is None
    assert world.resources.connector_uids() == frozenset()


async def test_objects_younger_than_the_list_stay(world: World) -> None:
    world.lists((), version=4)
    world.lists((), version=4)
    await world.resync()
    assert world.enqueued == []
    assert world.resources.connector(CONTOSO) is not None


async def test_objects_on_a_later_page_stay(world: World) -> None:
    world.lists(("x",), ("c",))
    world.lists(("o",))
    await world.resync()
    assert world.enqueued == []


async def test_a_list_of_one_namespace_affects_no_other(world: World) -> None:
    world.resources.upsert_connector(connector("other", namespace="platform"))
    world.lists(("c",))
    world.lists(("o",))
    await world.resync("security")
    assert world.resources.connector(Key("platform", "contoso")) is not None
    assert [url.split("/")[-2] for url, _ in world.requests] == ["security", "security"]


async def test_a_namespace_that_cannot_be_listed_does_not_hold_up_the_others(world: World) -> None:
    world.resources.upsert_connector(connector("unlisted", namespace="forbidden"))
    world.lists(())
    world.lists(())
    await world.resync("forbidden", "security")
    assert world.resources.connector(CONTOSO) is None
    assert world.resources.connector(Key("forbidden", "contoso")) is not None


def test_an_organization_that_a_write_does_not_find_is_removed() -> None:
    enqueued: list[Key] = []
    resources = ResourceCache()
    resources.upsert_organization(organization())
    write_through = WriteThrough(resources, enqueued.append)
    write_through.organization_deleted(Key("security", "fabrikam"))
    write_through.organization_deleted(Key("security", "fabrikam"))
    assert enqueued == [CONTOSO]
    assert resources.organizations(CONTOSO) == []


async def test_nothing_is_removed_before_both_kinds_are_listed(world: World) -> None:
    world.lists(())
    world.fails_after_first_list = True
    await world.resync()
    assert world.enqueued == []
    assert world.resources.connector(CONTOSO) is not None, "it is removed with the next complete list"
