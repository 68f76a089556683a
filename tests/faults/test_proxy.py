"""The proxy does to requests and watches what its rules say, and nothing to all others."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.faults.plans.rule import AZURE, KUBERNETES, Action, Rule
from tests.faults.stack.answers import CHANGES, change_answer
from tests.faults.stack.proxy import FaultProxy, Signals
from tests.support.certificates import self_signed

CONNECTORS = "/apis/defender-devops.io/v1alpha1/namespaces/team/azuredevopsconnectors"
WATCH = f"{CONNECTORS}?watch=true"


def event(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name}}}


class Upstream:
    """A server that remembers what it has executed, and streams events that the test sends."""

    def __init__(self) -> None:
        self.executed: list[str] = []
        self.events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._stream(request)
        self.executed.append(f"{request.method} {request.path}")
        link = f"{self.url}/next"
        return web.json_response({"value": [{"id": "/a", "properties": {}}], "link": link, "n": len(self.executed)})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while (sent := await self.events.get()) is not None:
            await response.write(json.dumps(sent).encode() + b"\n")
        return response

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()


class Stage:
    """A proxy before an upstream that stands for both servers, and a client."""

    def __init__(self, upstream: Upstream, proxy: FaultProxy, session: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.proxy = proxy
        self.session = session
        self.signals: list[str] = []

    def url(self, path: str, server: str = KUBERNETES) -> str:
        return self.proxy.addresses[server] + path

    async def install(self, server: str, action: Action, **values: Any) -> None:  # noqa: ANN401 - fields of a rule
        await asyncio.to_thread(self.proxy.install, Rule(server, action, **values))

    async def get(self, path: str = CONNECTORS, server: str = KUBERNETES) -> tuple[int, bytes]:
        return await self.send("GET", path, server)

    async def send(self, method: str, path: str, server: str = KUBERNETES) -> tuple[int, bytes]:
        async with self.session.request(method, self.url(path, server), allow_redirects=False) as answer:
            return answer.status, await answer.read()


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A file with a certificate; the upstream of these tests uses plain HTTP."""
    file = tmp_path / "ca.pem"
    file.write_bytes(self_signed("nobody")[1])
    return file


@pytest.fixture
async def stage(authority: Path) -> AsyncIterator[Stage]:
    upstream, signals = Upstream(), []
    async with upstream.serve(), aiohttp.ClientSession() as session:
        upstreams = {KUBERNETES: (upstream.url, authority), AZURE: (upstream.url, authority)}
        proxy = FaultProxy(upstreams, Signals(lambda: signals.append("kill"), lambda: signals.append("freeze")))
        await asyncio.to_thread(proxy.__enter__)
        stage = Stage(upstream, proxy, session)
        stage.signals = signals
        yield stage
        upstream.events.put_nowait(None)
        await asyncio.to_thread(proxy.__exit__)


async def test_without_a_rule_nothing_is_changed_but_links_lead_through_the_proxy(stage: Stage) -> None:
    status, content = await stage.get("/subscriptions", AZURE)
    assert status == 200
    assert json.loads(content)["link"] == stage.url("/next", AZURE)
    assert json.loads((await stage.get())[1])["link"] == f"{stage.upstream.url}/next"


async def test_writes_are_recorded_but_for_the_lease_and_queries(stage: Stage) -> None:
    await stage.send("PATCH", f"{CONNECTORS}/contoso/status")
    await stage.send("PUT", "/apis/coordination.k8s.io/v1/namespaces/team/leases/operator")
    await stage.send("POST", "/providers/Microsoft.ResourceGraph/resources", AZURE)
    await stage.send("PUT", "/subscriptions/1/providers/Microsoft.Security/securityConnectors/contoso", AZURE)
    assert [write.description for write in stage.proxy.writes] == [
        "kubernetes: PATCH azuredevopsconnectors/contoso/status",
        "azure: PUT Microsoft.Security/securityConnectors/contoso",
    ]


@pytest.mark.parametrize(("action", "is_executed"), [(Action.ANSWER, False), (Action.ANSWER_AFTER, True)])
async def test_an_answer_is_the_rules_before_or_after_the_effect(
    stage: Stage, action: Action, is_executed: bool
) -> None:
    await stage.install(KUBERNETES, action, method="PATCH", status=503, body="{}", headers={"Retry-After": "7"})
    assert await stage.send("PATCH", f"{CONNECTORS}/contoso") == (503, b"{}")
    assert bool(stage.upstream.executed) == is_executed
    assert (await stage.send("PATCH", f"{CONNECTORS}/contoso"))[0] == 200


@pytest.mark.parametrize(
    ("action", "is_executed", "signals"),
    [
        (Action.RESET, False, []),
        (Action.RESET_AFTER, True, []),
        (Action.TRUNCATE, True, []),
        (Action.KILL, False, ["kill"]),
        (Action.KILL_AFTER, True, ["kill"]),
    ],
)
async def test_a_connection_ends_without_an_answer(
    stage: Stage, action: Action, is_executed: bool, signals: list[str]
) -> None:
    await stage.install(KUBERNETES, action)
    with pytest.raises(aiohttp.ClientError):
        await stage.send("PATCH", CONNECTORS)  # aiohttp repeats idempotent requests
    assert bool(stage.upstream.executed) == is_executed
    assert stage.signals == signals


async def test_a_frozen_operators_request_arrives(stage: Stage) -> None:
    await stage.install(AZURE, Action.FREEZE, writes=True)
    await stage.get("/a", AZURE)
    assert stage.signals == []
    await stage.send("DELETE", "/a", AZURE)
    assert stage.signals == ["freeze"]
    assert stage.upstream.executed == ["GET /a", "DELETE /a"]


async def test_a_rule_counts_its_matches_and_ends_when_it_is_lifted(stage: Stage) -> None:
    await stage.install(KUBERNETES, Action.ANSWER, status=500, after=1, times=2)
    assert [(await stage.get())[0] for _ in range(4)] == [200, 500, 500, 200]
    await stage.install(KUBERNETES, Action.ANSWER, status=500, times=None)
    assert (await stage.get())[0] == 500
    await asyncio.to_thread(stage.proxy.lift)
    assert (await stage.get())[0] == 200


async def test_a_remembered_list_is_the_answer(stage: Stage) -> None:
    await asyncio.to_thread(stage.proxy.remember_lists, {"azuredevopsconnectors": CONNECTORS}, "token")
    numbers = [json.loads((await stage.get())[1])["n"] for _ in range(2)]
    await stage.install(KUBERNETES, Action.OLDER, path="azuredevopsconnectors")
    numbers += [json.loads((await stage.get())[1])["n"] for _ in range(2)]
    assert numbers == [2, 3, 1, 4]


async def test_headers_that_arrive_elsewhere_are_recorded(stage: Stage) -> None:
    await stage.install(AZURE, Action.ANSWER, status=307, headers={"Location": "{elsewhere}/moved"})
    async with stage.session.get(stage.url("/a", AZURE), headers={"X-Mark": "1"}) as answer:
        assert answer.status == 200
    assert stage.proxy.strays[0]["x-mark"] == "1"


@pytest.fixture
def lines(stage: Stage) -> asyncio.Queue[bytes]:
    return asyncio.Queue()


async def read_watch(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    """Read a watch until it ends."""
    async with stage.session.get(stage.url(WATCH)) as answer:
        try:
            async for line in answer.content:
                lines.put_nowait(line)
        except aiohttp.ClientError:
            lines.put_nowait(b"reset")
    lines.put_nowait(b"end")


async def watch(stage: Stage, lines: asyncio.Queue[bytes], *events: dict[str, Any]) -> list[str]:
    """Open a watch, send events and a last one named `last`; return the names of what arrives before it, or the end."""
    reader = asyncio.create_task(read_watch(stage, lines))
    for sent in (*events, event("ADDED", "last")):
        stage.upstream.events.put_nowait(sent)
    names: list[str] = []
    while (line := await asyncio.wait_for(lines.get(), 10)) != b"end":
        name = line.decode() if line == b"reset" else json.loads(line)["object"]["metadata"].get("name", "error")
        if name == "last":
            break
        names.append(name)
    reader.cancel()
    return names


async def test_events_pass(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    assert await watch(stage, lines, event("ADDED", "a"), event("DELETED", "a")) == ["a", "a"]


async def test_an_event_is_dropped(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    await stage.install(KUBERNETES, Action.DROP, watch=True, event="MODIFIED b")
    assert await watch(stage, lines, event("ADDED", "a"), event("MODIFIED", "b"), event("MODIFIED", "b")) == ["a", "b"]


async def test_a_watch_ends_in_place_of_an_event(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    await stage.install(KUBERNETES, Action.CUT, watch=True, event="b")
    assert await watch(stage, lines, event("ADDED", "a"), event("ADDED", "b")) == ["a", "reset"]


async def test_a_watch_ends_with_an_event_of_the_rule(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    gone = json.dumps({"type": "ERROR", "object": {"metadata": {}, "code": 410}})
    await stage.install(KUBERNETES, Action.EVENT, watch=True, event="b", body=gone)
    assert await watch(stage, lines, event("ADDED", "a"), event("ADDED", "b")) == ["a", "error"]


async def test_events_on_hold_arrive_in_their_order_when_the_rules_are_lifted(
    stage: Stage, lines: asyncio.Queue[bytes]
) -> None:
    await stage.install(KUBERNETES, Action.HOLD, watch=True, event="b", times=None)
    reader = asyncio.create_task(watch(stage, lines, event("ADDED", "a"), event("ADDED", "b"), event("ADDED", "c")))
    await asyncio.wait([reader], timeout=0.3)
    assert not reader.done()
    await asyncio.to_thread(stage.proxy.lift)
    assert await reader == ["a", "b", "c"]


async def test_a_silent_watch_neither_ends_nor_continues(stage: Stage, lines: asyncio.Queue[bytes]) -> None:
    await stage.install(KUBERNETES, Action.SILENCE, watch=True, event="b")
    reader = asyncio.create_task(watch(stage, lines, event("ADDED", "a"), event("ADDED", "b")))
    await asyncio.wait([reader], timeout=0.3)
    await asyncio.to_thread(stage.proxy.lift)
    await asyncio.wait([reader], timeout=0.3)
    assert not reader.done()
    reader.cancel()


@pytest.mark.parametrize("orderly", [True, False])
async def test_open_watches_are_cut(stage: Stage, lines: asyncio.Queue[bytes], orderly: bool) -> None:
    reader = asyncio.create_task(read_watch(stage, lines))
    stage.upstream.events.put_nowait(event("ADDED", "a"))
    await asyncio.wait_for(lines.get(), 10)
    assert await asyncio.to_thread(lambda: stage.proxy.cut_watches("azuredevopsconnectors", orderly=orderly)) == 1
    assert await asyncio.wait_for(lines.get(), 10) == (b"end" if orderly else b"reset")
    await reader


BODY = b'{"value": [{"id": "/a/b", "properties": {"provisioningState": "Succeeded"}}]}'


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_every_change_changes_an_answer(name: str) -> None:
    assert change_answer(name, BODY, url="http://here/list", elsewhere="http://elsewhere") != BODY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ids in upper case", {"value": [{"id": "/A/B", "properties": {"provisioningState": "Succeeded"}}]}),
        ("unfamiliar states", {"value": [{"id": "/a/b", "properties": {"provisioningState": "SomethingNew"}}]}),
        ("null properties", {"value": [{"id": "/a/b", "properties": None}]}),
        ("null entries", {"value": [None]}),
        ("without entries", {"value": None}),
    ],
)
def test_a_change_of_json_changes_what_it_is_named_for(name: str, expected: object) -> None:
    assert json.loads(change_answer(name, BODY, url="", elsewhere="")) == expected


def test_no_thread_is_left(authority: Path) -> None:
    threads = threading.active_count()
    with FaultProxy({KUBERNETES: ("http://127.0.0.1:1", authority)}, Signals(lambda: None, lambda: None)):
        assert threading.active_count() > threads
    assert threading.active_count() == threads
