"""A reverse proxy before the API server and Azure Resource Manager that applies rules to requests and watch events.

The operator sends plain HTTP to the proxy on the loopback interface, and the proxy sends TLS to the real servers. Links
in Azure's answers lead through the proxy again. It records every request, so that a plan can require that at rest
nothing is written. A third address, `elsewhere`, belongs to nobody: it records the headers of whatever arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults.plans.rule import AZURE, KUBERNETES, Action, Rule
from tests.faults.stack.answers import change_answer
from tests.faults.stack.rules import ActiveRule, ActiveRules, RequestInfo

__all__ = ["FaultProxy", "Signals", "Write"]

T = TypeVar("T")

_CHANGING: Final = {
    KUBERNETES: frozenset({"POST", "PUT", "PATCH", "DELETE"}),
    AZURE: frozenset({"PUT", "PATCH", "DELETE"}),  # the operator sends POST to Azure for queries only
}
_MANAGED: Final = re.compile(r"/apis/defender-devops\.io/|/secrets|/events")
"""What the operator writes in Kubernetes, but for its lease."""

_DROPPED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # Bodies are changed here, so that they must not be compressed.
        "accept-encoding",
    }
)
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_TIMEOUT: Final = 20.0


@dataclass(frozen=True)
class Signals:
    """How the proxy acts on the operator's process."""

    kill: Callable[[], None]
    freeze: Callable[[], None]


@dataclass(frozen=True)
class Write:
    """A request that changes something.

    Attributes:
        time: monotonic time of its arrival.
        description: such as `kubernetes: PATCH azuredevopsconnectors/contoso/status`.
    """

    time: float
    description: str


@dataclass(eq=False)
class _Watch:
    """An open watch.

    Attributes:
        request: what opened it.
        incoming: the operator's request.
        response: what goes to the operator.
    """

    request: RequestInfo
    incoming: web.Request
    response: web.StreamResponse


@dataclass
class FaultProxy:
    """The proxy, in a thread of its own; a context manager.

    Args:
        upstreams: by name, the address of each server and the certificate authority that it is verified with.
        signals: acts on the operator's process.

    Attributes:
        addresses: the proxy's address for each upstream, and `elsewhere`.
        writes: all requests that change something, oldest first.
        strays: headers of requests that arrived elsewhere.
    """

    upstreams: Mapping[str, tuple[str, Path]]
    signals: Signals
    addresses: dict[str, str] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    strays: list[dict[str, str]] = field(default_factory=list)
    _rules: ActiveRules = field(default_factory=ActiveRules)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _running: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _servers: dict[str, _Server] = field(default_factory=dict)
    _thread: threading.Thread = field(init=False)

    def install(self, rule: Rule) -> ActiveRule:
        """Activate a rule."""
        return self._call(self._install(rule))

    def lift(self) -> None:
        """Deactivate all rules; events on hold continue."""
        self._call(self._lift())

    def remember_lists(self, paths: Mapping[str, str], token: str) -> None:
        """Read lists as they are now, for rules with the action OLDER; `paths` are those of the API server."""
        self._call(self._servers[KUBERNETES].remember(paths, token))

    def cut_watches(self, path: str, *, orderly: bool) -> int:
        """End the open watches whose path and query contain a regular expression; return how many.

        Args:
            path: the regular expression.
            orderly: whether the connection is closed as a server does; else it is reset.
        """
        return self._call(self._servers[KUBERNETES].cut_watches(path, orderly=orderly))

    def end_silence(self) -> None:
        """End the watches that are silent, so that the next plan does not begin with them."""
        self._call(self._servers[KUBERNETES].end_silence())

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._lift())
        self._call(self._running.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_TIMEOUT)

    async def _install(self, rule: Rule) -> ActiveRule:
        return self._rules.add(rule)

    async def _lift(self) -> None:
        self._rules.lift()

    async def _open(self) -> None:
        self.addresses["elsewhere"] = await self._listen(self._record_stray)
        for name, (url, authority) in self.upstreams.items():
            tls = ssl.create_default_context(cafile=str(authority))
            connector = aiohttp.TCPConnector(ssl=tls, limit=0)
            session = aiohttp.ClientSession(
                connector=connector, timeout=_NO_TIMEOUT, headers={"Accept-Encoding": "identity"}
            )
            await self._running.enter_async_context(session)
            server = _Server(name, url.rstrip("/"), session, self._rules, self.writes, self.signals, self.addresses)
            self._servers[name] = server
            self.addresses[name] = await self._listen(server.forward)

    async def _listen(self, handler: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]) -> str:
        application = web.Application(client_max_size=16 * 1024**2)
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        self._running.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _record_stray(self, request: web.Request) -> web.StreamResponse:
        self.strays.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({})


@dataclass
class _Server:
    """One upstream, and the requests to it.

    Attributes:
        name: `kubernetes` or `azure`.
        url: its address.
        session: connections to it.
        rules: the active rules.
        writes: where writes are recorded.
        signals: acts on the operator's process.
        addresses: the proxy's addresses.
    """

    name: str
    url: str
    session: aiohttp.ClientSession
    rules: ActiveRules
    writes: list[Write]
    signals: Signals
    addresses: dict[str, str]
    _watches: set[_Watch] = field(default_factory=set)
    _silent: set[_Watch] = field(default_factory=set)
    _lists: dict[str, bytes] = field(default_factory=dict)

    async def forward(self, incoming: web.Request) -> web.StreamResponse:
        """Forward one request, with the fault of the rule that applies to it."""
        body = await incoming.read()
        request = self._describe(incoming)
        active = self.rules.match(request)
        rule = None if active is None else active.rule
        if rule is not None:
            await self._act_before(rule)
            if (response := self._answer_in_place(rule, incoming)) is not None:
                return response
        async with self.session.request(
            incoming.method,
            URL(self.url + incoming.raw_path, encoded=True),
            headers=_end_to_end(incoming.headers),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if request.is_watch and answer.status == web.HTTPOk.status_code:
                return await self._stream(request, incoming, answer)
            content = await answer.read()
            headers = {name: self._through_proxy(value) for name, value in _end_to_end(answer.headers).items()}
            content = self._through_proxy(content.decode()).encode() if self.name == AZURE else content
            if rule is not None:
                return await self._answer_after(rule, incoming, answer.status, content, headers)
            return web.Response(status=answer.status, body=content, headers=headers)

    async def remember(self, paths: Mapping[str, str], token: str) -> None:
        """Read lists as they are now."""
        for name, path in paths.items():
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            async with self.session.get(self.url + path, headers=headers) as answer:
                self._lists[name] = await answer.read()

    async def cut_watches(self, path: str, *, orderly: bool) -> int:
        """End open watches."""
        watches = [watch for watch in self._watches if re.search(path, watch.request.target)]
        for watch in watches:
            if orderly:
                await watch.response.write_eof()
            _close(watch.incoming, orderly=orderly)
        return len(watches)

    async def end_silence(self) -> None:
        """End the watches that are silent."""
        for watch in self._silent:
            _close(watch.incoming, orderly=False)

    def _describe(self, incoming: web.Request) -> RequestInfo:
        """Describe the request for rules, and record it if it is a write."""
        target = incoming.path_qs
        is_watch = self.name == KUBERNETES and re.search(r"[?&]watch=(true|1)", target) is not None
        is_write = incoming.method in _CHANGING[self.name] and (
            self.name == AZURE or _MANAGED.search(incoming.path) is not None
        )
        if is_write:
            below = re.split(r"/(?:namespaces/[^/]+|providers)/", incoming.path)[-1]
            self.writes.append(Write(time.monotonic(), f"{self.name}: {incoming.method} {below}"))
        return RequestInfo(self.name, incoming.method, target, is_watch, is_write)

    async def _act_before(self, rule: Rule) -> None:
        match rule.action:
            case Action.DELAY:
                await asyncio.sleep(rule.seconds)
            case Action.KILL:
                self.signals.kill()
            case Action.FREEZE:
                self.signals.freeze()

    def _answer_in_place(self, rule: Rule, incoming: web.Request) -> web.StreamResponse | None:
        """Return the answer of a request that the server must not receive; None if it is to receive it."""
        if rule.action is Action.ANSWER:
            return self._own_answer(rule)
        if rule.action is Action.OLDER:
            resource = incoming.path.rpartition("/")[2]
            return web.Response(body=self._lists[resource], content_type="application/json")
        if rule.action in {Action.RESET, Action.KILL}:
            _close(incoming, orderly=False)
            raise asyncio.CancelledError
        return None

    async def _answer_after(
        self, rule: Rule, incoming: web.Request, status: int, content: bytes, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Return the answer to a request that the server has executed."""
        match rule.action:
            case Action.ANSWER_AFTER:
                return self._own_answer(rule)
            case Action.CHANGE if status < web.HTTPBadRequest.status_code:
                url, elsewhere = self.addresses[self.name] + incoming.raw_path, self.addresses["elsewhere"]
                content = change_answer(rule.change, content, url=url, elsewhere=elsewhere)
            case Action.RESET_AFTER | Action.KILL_AFTER:
                if rule.action is Action.KILL_AFTER:
                    self.signals.kill()
                _close(incoming, orderly=False)
                raise asyncio.CancelledError
            case Action.TRUNCATE:
                response = web.StreamResponse(status=status, headers=headers)
                response.content_length = len(content)
                await response.prepare(incoming)
                await response.write(content[: len(content) // 2])
                _close(incoming, orderly=True)
                raise asyncio.CancelledError
        return web.Response(status=status, body=content, headers=headers)

    def _own_answer(self, rule: Rule) -> web.Response:
        headers = {name: value.format(elsewhere=self.addresses["elsewhere"]) for name, value in rule.headers.items()}
        if rule.body and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        return web.Response(status=rule.status, body=rule.body.encode(), headers=headers)

    async def _stream(
        self, request: RequestInfo, incoming: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        """Stream the events of a watch until one of both sides ends it."""
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        watch = _Watch(request, incoming, response)
        self._watches.add(watch)
        try:
            await response.prepare(incoming)
            async for line in _lines(answer.content):
                if not await self._deliver(watch, line):
                    break
            await response.write_eof()
        except (ConnectionError, aiohttp.ClientError):
            _close(incoming, orderly=False)
        finally:
            self._watches.discard(watch)
            self._silent.discard(watch)
        return response

    async def _deliver(self, watch: _Watch, line: bytes) -> bool:
        """Pass one event on, with the fault of the rule that applies to it; return whether the watch continues."""
        active = self.rules.match(watch.request, _event_name(line))
        match None if active is None else active.rule.action:
            case Action.HOLD if active is not None:
                await active.lifted.wait()
            case Action.DROP:
                return True
            case Action.SILENCE:
                # Until the operator closes the connection, which cancels this, or `end_silence` does.
                self._silent.add(watch)
                await asyncio.Event().wait()
            case Action.CUT:
                _close(watch.incoming, orderly=False)
                return False
            case Action.EVENT if active is not None:
                await watch.response.write(active.rule.body.encode() + b"\n")
                return False
        await watch.response.write(line)
        return True

    def _through_proxy(self, text: str) -> str:
        """Replace the server's address by the proxy's."""
        return text.replace(self.url, self.addresses.get(self.name, self.url))


def _close(incoming: web.Request, *, orderly: bool) -> None:
    """Close the operator's connection, or reset it."""
    if incoming.transport is not None:
        if orderly:
            incoming.transport.close()
        else:
            incoming.transport.abort()


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield complete lines; aiohttp's own iteration refuses long ones."""
    remainder = b""
    async for chunk in content.iter_any():
        *lines, remainder = (remainder + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if remainder:
        yield remainder


def _event_name(line: bytes) -> str:
    """Return `TYPE name` of an event, such as `MODIFIED contoso`; empty for what is no event."""
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    metadata = (event.get("object") or {}).get("metadata") or {}
    return f"{event.get('type')} {metadata.get('name', '')}"


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _DROPPED_HEADERS}
