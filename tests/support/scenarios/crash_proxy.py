"""A proxy before the API server and Azure that kills the operator at a write of the test's choice.

The operator sends plain HTTP to the proxy on the loopback interface, and the proxy sends TLS to the real servers; it
changes nothing. It counts the writes to both together: requests that change the operator's two resources, and all
requests to Azure that are not reads. Events and the lease do not count, as their times vary and no decision uses them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

__all__ = ["AZURE", "KUBERNETES", "CrashMoment", "CrashPoint", "CrashProxy"]

KUBERNETES: Final = "kubernetes"
AZURE: Final = "azure"

_CHANGING: Final = {
    KUBERNETES: frozenset({"POST", "PUT", "PATCH", "DELETE"}),
    AZURE: frozenset({"PUT", "PATCH", "DELETE"}),  # the operator sends POST to Azure for queries only
}
_OPERATOR_GROUP: Final = "/apis/defender-devops.io/"
_HOP_BY_HOP: Final = frozenset({"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
_TIMEOUT: Final = 10.0


class CrashMoment(Enum):
    """When the operator is killed."""

    BEFORE_WRITE = "before"
    """The server does not receive the write."""

    AFTER_WRITE = "after"
    """The server has executed the write, and the operator is dead before the response."""


@dataclass
class CrashPoint:
    """The write at which the operator is killed.

    Attributes:
        moment: before the write or after it.
        kill: ends the operator as `kill -9` does.
        number: of the write, counted from `set_crash_point`; None for any.
        pattern: regular expression for the description of the write, such as `PUT devops/default`.
        reached: set once the operator is dead.
    """

    moment: CrashMoment
    kill: Callable[[], None]
    number: int | None = None
    pattern: str = ""
    reached: threading.Event = field(default_factory=threading.Event)

    def matches(self, number: int, description: str) -> bool:
        """Whether this is the write."""
        if self.reached.is_set() or self.number not in (None, number):
            return False
        return re.search(self.pattern, description) is not None


class CrashProxy:
    """Forwards requests, in a thread of its own; a context manager.

    Args:
        upstreams: by name, the address of each server and the certificate authority that it is verified with.

    Attributes:
        addresses: the proxy's address for each upstream.
        writes: descriptions of the writes since `set_crash_point`.
    """

    def __init__(self, upstreams: Mapping[str, tuple[str, Path]]) -> None:
        self.addresses: dict[str, str] = {}
        self.writes: list[str] = []
        self._upstreams = upstreams
        self._crash_point: CrashPoint | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crash-proxy", daemon=True)
        self._runners: list[web.AppRunner] = []
        self._sessions: list[aiohttp.ClientSession] = []

    def set_crash_point(self, crash_point: CrashPoint | None) -> None:
        """Restart the count of writes, and kill the operator at one of them; None only counts."""
        self.writes.clear()
        self._crash_point = crash_point

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(_TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    async def _open(self) -> None:
        for name, (url, authority) in self._upstreams.items():
            tls = ssl.create_default_context(cafile=str(authority))
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=0), timeout=_NO_TIMEOUT, auto_decompress=False
            )
            self._sessions.append(session)
            application = web.Application(client_max_size=16 * 1024**2)
            application.router.add_route("*", "/{path:.*}", _Upstream(self, name, url, session).forward)
            runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
            self._runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.addresses[name] = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        for session in self._sessions:
            await session.close()

    def count(self, description: str) -> CrashPoint | None:
        """Record a write; return the crash point if this is its write."""
        self.writes.append(description)
        return (
            self._crash_point
            if self._crash_point is not None and self._crash_point.matches(len(self.writes), description)
            else None
        )


class _Upstream:
    """One server, and the requests to it."""

    def __init__(self, proxy: CrashProxy, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self._proxy = proxy
        self._name = name
        self._url = url.rstrip("/")
        self._session = session

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Forward one request, unless the operator is to be killed at it."""
        body = await request.read()
        crash_point = self._proxy.count(self._description(request)) if self._changes(request) else None
        if crash_point is not None and crash_point.moment is CrashMoment.BEFORE_WRITE:
            return _kill_operator(crash_point)
        async with self._session.request(
            request.method,
            URL(self._url + request.raw_path, encoded=True),
            headers=_end_to_end(request.headers),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if crash_point is not None:
                await answer.read()
                return _kill_operator(crash_point)
            return await _stream(request, answer)

    def _changes(self, request: web.Request) -> bool:
        is_counted_target = self._name == AZURE or request.path.startswith(_OPERATOR_GROUP)
        return is_counted_target and request.method in _CHANGING[self._name]

    def _description(self, request: web.Request) -> str:
        """Such as `kubernetes: PATCH azuredevopsconnectors/contoso/status`."""
        below = re.split(r"/(?:namespaces/[^/]+|providers)/", request.path)[-1]
        return f"{self._name}: {request.method} {below}"


def _kill_operator(crash_point: CrashPoint) -> web.StreamResponse:
    crash_point.kill()
    crash_point.reached.set()
    return web.Response(status=web.HTTPServiceUnavailable.status_code)  # the client is dead


async def _stream(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Stream the response: that of a watch has no end."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
