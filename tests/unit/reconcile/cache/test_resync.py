"""Who went while nobody listened is found out, and nobody else is forgotten."""

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
    """A cache, and an API server that says who is there."""

    def __init__(self) -> None:
        self.woken: list[Key] = []
        self.resources = ResourceCache()
        self.asked: list[tuple[str, str]] = []
        self._lists: list[list[dict[str, Any]]] = []

    async def call(self, *namespaces: str) -> None:
        """Call the roll once."""
        client = cast("KubernetesClient", self)
        await Resync(client, self.resources, namespaces, self.woken.append, interval=300).call()

    def lists(self, *pages: tuple[str, ...], version: int = 9) -> None:
        """Script the next list: uids, page by page."""
        metadata = {"resourceVersion": str(version)}
        self._lists.append(
            [{"metadata": metadata, "items": [{"metadata": {"uid": uid}} for uid in page]} for page in pages]
        )

    async def pages(self, url: str, *, accept: str) -> AsyncIterator[dict[str, Any]]:
        """What the client gives."""
        self.asked.append((url, accept))
        if "/forbidden/" in url:
            raise KubernetesRefused("No right to list them.")
        for page in self._lists.pop(0):
            yield page


@pytest.fixture
def world() -> World:
    """A connector and its organization are known."""
    world = World()
    world.resources.upsert_connector(connector())
    world.resources.upsert_organization(organization())
    return world


async def test_whoever_is_there_stays(world: World) -> None:
    world.lists(("c",))
    world.lists(("o",))
    await world.call()
    assert world.woken == []
    assert world.resources.connector(CONTOSO) is not None
    assert world.resources.organizations(CONTOSO) != []
    assert {accept for _, accept in world.asked} == {"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}


async def test_an_organization_that_went_unheard_is_forgotten_and_its_connector_looks(world: World) -> None:
    world.lists(("c",))
    world.lists(())
    await world.call()
    assert world.woken == [CONTOSO]
    assert world.resources.organizations(CONTOSO) == []


async def test_a_connector_that_went_unheard_is_forgotten_and_cleaned_up_after(world: World) -> None:
    world.lists(())
    world.lists(("o",))
    await world.call()
    assert world.woken == [CONTOSO]
    assert world.resources.connector(CONTOSO) is None
    assert world.resources.connector_uids() == frozenset()


async def test_what_is_younger_than_the_list_stays(world: World) -> None:
    world.lists((), version=4)
    world.lists((), version=4)
    await world.call()
    assert world.woken == []
    assert world.resources.connector(CONTOSO) is not None


async def test_what_is_on_a_later_page_stays(world: World) -> None:
    world.lists(("x",), ("c",))
    world.lists(("o",))
    await world.call()
    assert world.woken == []


async def test_a_list_of_one_namespace_says_nothing_of_another(world: World) -> None:
    world.resources.upsert_connector(connector("elsewhere", namespace="platform"))
    world.lists(("c",))
    world.lists(("o",))
    await world.call("security")
    assert world.resources.connector(Key("platform", "contoso")) is not None
    assert [url.split("/")[-2] for url, _ in world.asked] == ["security", "security"]


async def test_a_namespace_that_cannot_be_listed_keeps_nobody_from_the_others(world: World) -> None:
    world.resources.upsert_connector(connector("there", namespace="forbidden"))
    world.lists(())
    world.lists(())
    await world.call("forbidden", "security")
    assert world.resources.connector(CONTOSO) is None
    assert world.resources.connector(Key("forbidden", "contoso")) is not None


def test_an_organization_that_a_write_does_not_find_is_gone() -> None:
    woken: list[Key] = []
    resources = ResourceCache()
    resources.upsert_organization(organization())
    written = WriteThrough(resources, woken.append)
    written.organization_deleted(Key("security", "fabrikam"))
    written.organization_deleted(Key("security", "fabrikam"))
    assert woken == [CONTOSO]
    assert resources.organizations(CONTOSO) == []
