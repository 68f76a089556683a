"""Watches are not started with a kubeconfig that kopf would use only in part, and end with the process only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from defender_devops.api.names import API_VERSION, CONNECTOR, GROUP, ORGANIZATION
from defender_devops.cluster.kubeconfig.credentials import Credentials
from defender_devops.errors import KubernetesRefused
from defender_devops.handlers.events import EventReceiver
from defender_devops.handlers.watches import watch_resources
from defender_devops.reconcile.cache.resource_cache import ResourceCache
from tests.support.manifests import connector as connector_manifest

CREDENTIALS = [
    (Credentials("https://example.test", impersonation=(("Impersonate-User", "jane"),)), "The kubeconfig has as,"),
    (Credentials("https://example.test", server_name="other.test"), "The kubeconfig has tls-server-name,"),
]


class Loader:
    """In place of CredentialsLoader."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def credentials(self, **_: object) -> Credentials:
        return self._credentials


@pytest.mark.parametrize(("credentials", "message"), CREDENTIALS)
async def test_a_field_that_kopf_ignores_is_rejected_by_name(credentials: Credentials, message: str) -> None:
    with pytest.raises(KubernetesRefused, match=message):
        await watch_resources(None, Loader(credentials), (), lambda: None)  # type: ignore[arg-type]


def resource(name: str, singular: str, kind: str, *, namespaced: bool) -> dict[str, object]:
    names = {"name": name, "singularName": singular, "kind": kind, "namespaced": namespaced}
    return {**names, "verbs": ["get", "list", "watch", "patch"]}


VERSIONS = [{"groupVersion": API_VERSION, "version": "v1alpha1"}]
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "resources": [resource("namespaces", "", "Namespace", namespaced=False)]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": GROUP, "versions": VERSIONS, "preferredVersion": VERSIONS[0]}],
    },
    f"/apis/{API_VERSION}": {
        "kind": "APIResourceList",
        "resources": [
            resource(names.plural, names.singular, names.kind, namespaced=True) for names in (CONNECTOR, ORGANIZATION)
        ],
    },
}


class ApiServer:
    """Serves discovery, lists and watches of both kinds; each of `failures` answers one request for connectors.

    Attributes:
        failures: by what is requested, `list` or `watch`: the responses in place of the usual ones.
        lists: number of lists of connectors so far.
    """

    def __init__(self, failures: dict[str, list[web.Response]]) -> None:
        self.failures = failures
        self.lists = 0
        self.listed_again = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(f"/apis/{API_VERSION}/namespaces/"):
            return web.json_response(DISCOVERY[request.path])
        is_connector = request.path.endswith(CONNECTOR.plural)
        kind = "watch" if "watch" in request.query else "list"
        if is_connector and kind == "list":
            self.lists += 1
            if self.lists > 1:
                self.listed_again.set()
        if is_connector and self.failures.get(kind):
            return self.failures[kind].pop(0)
        if kind == "list":
            items = [connector_manifest(namespace="security", uid="u", resourceVersion="7")] if is_connector else []
            names = CONNECTOR if is_connector else ORGANIZATION
            metadata = {"resourceVersion": "9"}
            body = {"apiVersion": API_VERSION, "kind": f"{names.kind}List", "metadata": metadata, "items": items}
            return web.json_response(body)
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response


def error_event(code: int, message: str) -> web.Response:
    status = {"apiVersion": "v1", "kind": "Status", "metadata": {}, "code": code, "message": message}
    return web.Response(text=json.dumps({"type": "ERROR", "object": status}) + "\n", content_type="application/json")


FAILURES = {
    "a watch of a server whose cache is behind": ("watch", error_event(504, "Too large resource version: 9")),
    "a watch that fails": ("watch", error_event(500, "Internal error")),
    "a watch whose version is gone": ("watch", web.json_response({"kind": "Status", "code": 410}, status=410)),
    "a watch that is not JSON": ("watch", web.Response(text="<html>\n")),
    "an event without an object": ("watch", web.Response(text='{"type": "ADDED"}\n')),
    "an empty list": ("list", web.Response(status=204)),
    "a list that is an array": ("list", web.json_response([])),
    "a list with entries of null": ("list", web.json_response({"metadata": {"resourceVersion": "9"}, "items": [None]})),
    "a truncated list": ("list", web.Response(text='{"items": [', content_type="application/json")),
}


@asynccontextmanager
async def watching(api: ApiServer, on_body: Callable[[], None]) -> AsyncIterator[asyncio.Task[None]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    loader = Loader(Credentials(f"http://127.0.0.1:{runner.addresses[0][1]}"))
    receiver = EventReceiver(ResourceCache(), lambda _key: on_body())
    watches = watch_resources(receiver, loader, ("security",), lambda: None)  # type: ignore[arg-type]
    task = asyncio.create_task(watches)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
        await runner.cleanup()


@pytest.mark.parametrize(("kind", "response"), FAILURES.values(), ids=FAILURES)
async def test_watches_that_end_are_started_again_without_a_traceback(
    kind: str, response: web.Response, caplog: pytest.LogCaptureFixture
) -> None:
    seen = asyncio.Event()
    api = ApiServer({kind: [response]})
    async with watching(api, seen.set) as task, asyncio.timeout(20):
        await api.listed_again.wait()
        await seen.wait()
        assert not task.done()
    assert not [record for record in caplog.records if record.exc_info and record.name.startswith("kopf")]
