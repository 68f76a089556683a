"""A collection that is listed and watched, against a scripted API server."""

from __future__ import annotations

import contextlib
import json

import pytest
from aiohttp import web

from defender_devops.backoff import Backoff
from defender_devops.cluster.client import Body, KubernetesClient
from defender_devops.cluster.watch import watch_objects
from defender_devops.errors import KubernetesRefused, KubernetesUnavailable
from tests.support.fakes.kubernetes_api import FakeKubernetesApi

URL = "/apis/defender-devops.io/v1alpha1/azuredevopsconnectors"


def item(name: str, version: str = "1") -> Body:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version}}


def page(*names: str, version: str = "10") -> Body:
    metadata = {"resourceVersion": version}
    return {"apiVersion": "v1", "kind": "ThingList", "metadata": metadata, "items": [item(name) for name in names]}


def watch(server: FakeKubernetesApi, *events: Body) -> None:
    """Script the next response: a watch that sends these events and ends."""

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


async def watched_names(client: KubernetesClient, count: int) -> list[list[str]]:
    """Names of the objects in the first `count` states that the watch yields."""
    states: list[list[str]] = []
    objects = watch_objects(client, URL, backoff=Backoff(initial=0.01, maximum=0.01), chance=lambda: 0.0)
    async with contextlib.aclosing(objects):
        async for bodies in objects:
            states.append(sorted(body["metadata"]["name"] for body in bodies))
            if len(states) == count:
                return states
    return states


async def test_the_list_comes_first_and_then_each_change(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a", "b"))
    watch(server, event("ADDED", "c"), event("MODIFIED", "a", "12"), event("DELETED", "b", "13"))
    assert await watched_names(client, 4) == [["a", "b"], ["a", "b", "c"], ["a", "b", "c"], ["a", "c"]]
    assert server.requests[1].query["resourceVersion"] == "10"
    assert server.requests[1].query["allowWatchBookmarks"] == "true"


async def test_a_bookmark_is_no_change(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a"))
    watch(server, event("BOOKMARK", "", "20"), event("ADDED", "b", "21"))
    assert await watched_names(client, 2) == [["a"], ["a", "b"]]


async def test_a_watch_that_ends_is_resumed_at_its_last_version(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.respond(200, page("a"))
    watch(server, event("ADDED", "b", "21"), event("BOOKMARK", "", "30"))
    watch(server, event("ADDED", "c", "31"))
    assert await watched_names(client, 3) == [["a"], ["a", "b"], ["a", "b", "c"]]
    assert server.requests[2].query["resourceVersion"] == "30"


async def test_an_expired_version_is_followed_by_a_new_list(
    client: KubernetesClient, server: FakeKubernetesApi
) -> None:
    server.respond(200, page("a"))
    watch(server, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    server.respond(200, page("b"))
    assert await watched_names(client, 2) == [["a"], ["b"]]


async def test_an_unavailable_server_is_retried(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(200, page("a"))
    server.respond(503)
    server.respond(503)
    watch(server, event("ADDED", "b"))
    assert await watched_names(client, 2) == [["a"], ["a", "b"]]


@pytest.mark.parametrize("is_listed", [False, True])
async def test_a_missing_permission_ends_the_watch(
    client: KubernetesClient, server: FakeKubernetesApi, *, is_listed: bool
) -> None:
    if is_listed:
        server.respond(200, page("a"))
    server.respond(403, {"kind": "Status", "message": "cannot list"})
    with pytest.raises(KubernetesRefused):
        await watched_names(client, 2)


async def test_a_first_list_that_fails_is_an_error(client: KubernetesClient, server: FakeKubernetesApi) -> None:
    server.respond(503)
    with pytest.raises(KubernetesUnavailable):
        await watched_names(client, 1)
