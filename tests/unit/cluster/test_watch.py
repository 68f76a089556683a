"""A list that is told again after each change, against a server that plays the API server by script."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator

import pytest
from aiohttp import web

from defender_devops.cluster import watch as module
from defender_devops.cluster.client import Body, KubernetesClient
from defender_devops.cluster.watch import watch_objects
from defender_devops.errors import KubernetesRefused
from tests.support.fakes.kubernetes_api import FakeKubernetesApi

URL = "/apis/defender-devops.io/v1alpha1/azuredevopsconnectors"


def item(name: str, version: str = "1") -> Body:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}}


def page(*names: str, version: str = "10") -> Body:
    return {"metadata": {"resourceVersion": version}, "items": [item(name) for name in names]}


def watch(server: FakeKubernetesApi, *events: Body) -> None:
    """Script the next answer: a watch that says these and ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        await response.write_eof()
        return response

    server.responses.append(answer)


def event(kind: str, name: str, version: str = "11") -> Body:
    return {"type": kind, "object": item(name, version)}


async def told(client: KubernetesClient, count: int) -> list[list[str]]:
    """Names of the first so many pictures."""
    pictures: list[list[str]] = []
    bodies: AsyncGenerator[list[Body]] = watch_objects(client, URL)
    async with contextlib.aclosing(bodies):
        async for found in bodies:
            pictures.append(sorted(each["metadata"]["name"] for each in found))
            if len(pictures) == count:
                return pictures
    return pictures


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)


async def test_the_list_comes_first_and_then_each_change(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a", "b"))
    watch(server, event("ADDED", "c"), event("MODIFIED", "a", "12"), event("DELETED", "b", "13"))
    assert await told(client, 4) == [["a", "b"], ["a", "b", "c"], ["a", "b", "c"], ["a", "c"]]
    assert server.requests[1].query["resourceVersion"] == "10"
    assert server.requests[1].query["allowWatchBookmarks"] == "true"


async def test_a_bookmark_is_no_change(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a"))
    watch(server, event("BOOKMARK", "", "20"), event("ADDED", "b", "21"))
    assert await told(client, 2) == [["a"], ["a", "b"]]


async def test_a_watch_that_ends_is_followed_by_a_new_list(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a"))
    watch(server)
    server.respond(200, page("b", version="30"))
    watch(server, event("ADDED", "c"))
    assert await told(client, 3) == [["a"], ["b"], ["b", "c"]]


async def test_a_server_that_has_forgotten_where_we_were_is_asked_anew(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.respond(200, page("a"))
    watch(server, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    server.respond(200, page("b"))
    assert await told(client, 2) == [["a"], ["b"]]


async def test_a_server_that_goes_away_is_waited_for(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a"))
    server.respond(503)
    server.respond(503)
    watch(server)
    server.respond(200, page("b"))
    assert await told(client, 3) == [["a"], ["a"], ["b"]]


async def test_a_right_that_is_missing_ends_it(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(403, {"message": "cannot list"})
    with pytest.raises(KubernetesRefused):
        await told(client, 1)
