"""What no watch reported is noticed: deleted objects are removed from the cache, newer ones are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from defender_devops.api.names import API_VERSION
from defender_devops.cluster.client import KubernetesClient
from defender_devops.errors import KubernetesNotFound, KubernetesRefused
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
        self.bodies: dict[str, dict[str, Any]] = {}
        self.reads: list[str] = []

    async def resync(self, *namespaces: str) -> None:
        """Resync once."""
        client = cast("KubernetesClient", self)
        await Resync(client, self.resources, namespaces, self.enqueued.append, interval=300).resync()

    def lists(self, *pages: tuple[str, ...], version: int = 9, item_version: int = 5) -> None:
        """Script the next list: uids, page by page."""
        metadata = {"resourceVersion": str(version)}
        self._lists.append(
            [
                {"metadata": metadata, "items": [{"metadata": _metadata(uid, item_version)} for uid in page]}
                for page in pages
            ]
        )

    async def get(self, url: str) -> dict[str, Any]:
        """Return the newest body of an object, as the client does."""
        self.reads.append(url.rpartition("/v1alpha1/")[2])
        if (body := self.bodies.get(url.rpartition("/")[2])) is None:
            raise KubernetesNotFound("It is deleted.", status=404)
        return body

    async def pages(self, url: str, *, accept: str) -> AsyncIterator[dict[str, Any]]:
        """Return the pages of the next list, as the client does."""
        self.requests.append((url, accept))
        if "/forbidden/" in url or (self.fails_after_first_list and len(self.requests) > 1):
            raise KubernetesRefused("No right to list them.")
        for page in self._lists.pop(0):
            yield page


def _metadata(uid: str, version: int) -> dict[str, Any]:
    names = {"c": "contoso", "o": "fabrikam"}
    return {"namespace": "security", "name": names.get(uid, uid), "uid": uid, "resourceVersion": str(version)}


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


@pytest.mark.looptime
async def test_an_edit_that_no_watch_reported_is_read(world: World) -> None:
    edited = {**connector(version=7), "apiVersion": API_VERSION, "kind": "AzureDevOpsConnector"}
    world.bodies["contoso"] = edited | {"spec": {"azure": {"subscriptionId": "2", "resourceGroup": "rg"}}}
    world.lists(("c",), item_version=7)
    world.lists(("o",))
    await world.resync()
    assert world.enqueued == [CONTOSO]
    assert world.reads == ["namespaces/security/azuredevopsconnectors/contoso"]
    assert (world.resources.connector(CONTOSO) or {})["spec"]["azure"]["subscriptionId"] == "2"


@pytest.mark.looptime
async def test_a_new_organization_that_no_watch_reported_is_read(world: World) -> None:
    swapped = {**organization("o2", version=8), "apiVersion": API_VERSION, "kind": "DevOpsOrganization"}
    swapped["spec"] = {"connectorRef": {"name": "contoso"}, "organization": "tailspin"}
    world.bodies["fabrikam"] = swapped
    world.lists(("c",))
    world._lists.append([{"metadata": {"resourceVersion": "9"}, "items": [{"metadata": swapped["metadata"]}]}])
    await world.resync()
    assert world.enqueued == [CONTOSO]
    (body,) = world.resources.organizations(CONTOSO)
    assert body["spec"]["organization"] == "tailspin"


@pytest.mark.looptime
async def test_a_change_whose_event_arrives_a_little_later_is_not_read(world: World) -> None:
    world.lists(("c",), item_version=7)
    world.lists(("o",))
    task = asyncio.create_task(world.resync())
    await asyncio.sleep(1.0)
    world.resources.upsert_connector(connector(version=7))
    await task
    assert world.reads == []


@pytest.mark.looptime
async def test_an_object_that_is_deleted_before_it_is_read_does_not_hold_up_the_others(world: World) -> None:
    world.lists(("c", "x"))
    world.lists(("o",))
    await world.resync()
    assert world.reads == ["namespaces/security/azuredevopsconnectors/x"]
    assert world.enqueued == []


async def test_an_organization_in_place_of_another_of_its_name_does_not_count_for_the_other_connector() -> None:
    resources = ResourceCache()
    resources.upsert_organization({**organization("old"), "status": {"onboardingState": "Onboarded"}})
    other = organization("new", version=6) | {"spec": {"connectorRef": {"name": "other"}, "organization": "tailspin"}}
    assert resources.upsert_organization(other) == Key("security", "other")
    assert resources.organizations(CONTOSO) == []
    assert resources.onboarded_by("fabrikam") == frozenset()
    assert [body["metadata"]["uid"] for body in resources.organizations(Key("security", "other"))] == ["new"]


@pytest.mark.parametrize(
    "metadata", [{"uid": "c"}, {"name": "contoso", "resourceVersion": "5"}, {"uid": "c", "name": "c"}]
)
async def test_a_list_without_what_every_list_has_removes_nothing(world: World, metadata: dict[str, str]) -> None:
    world._lists.append([{"metadata": {"resourceVersion": "9"}, "items": [{"metadata": metadata}]}])
    world.lists(())
    await world.resync()
    assert world.enqueued == []
    assert world.resources.connector(CONTOSO) is not None
