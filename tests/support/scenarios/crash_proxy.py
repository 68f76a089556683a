"""A gate on the operator's way to the API server and to Azure, at which it is killed at a write of the test's choice.

The operator speaks plain HTTP with the gate on the loopback interface, the gate TLS with the real servers. Nothing is
changed on the way. Writes are counted over both: requests that change the operator's two resources, and whatever is
not a read in Azure. Events and the lease are neither: they come at times of their own and nothing rests on them.
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
    AZURE: frozenset({"PUT", "PATCH", "DELETE"}),  # what it POSTs there are questions
}
_OUR_GROUP: Final = "/apis/defender-devops.io/"
_HOP_BY_HOP: Final = frozenset({"connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"})
_NO_TIME_OUT: Final = aiohttp.ClientTimeout(total=None)
_PATIENCE: Final = 10.0


class CrashMoment(Enum):
    """When the operator is killed."""

    BEFORE_WRITE = "before"
    """The write has not happened: between it and the one before."""

    AFTER_WRITE = "unheard"
    """The write has happened, and the operator does not live to hear of it."""


@dataclass
class CrashPoint:
    """Where to kill.

    Attributes:
        moment: before the write or after it.
        kill: ends the operator as `kill -9` does.
        number: of the write, counted from when the trap was set; None for any.
        words: regular expression that the write's words must match, such as `PUT devops/default`.
        sprung: set once the operator is dead.
    """

    moment: CrashMoment
    kill: Callable[[], None]
    number: int | None = None
    words: str = ""
    sprung: threading.Event = field(default_factory=threading.Event)

    def is_for(self, number: int, words: str) -> bool:
        """Whether a write is the one."""
        if self.sprung.is_set() or self.number not in (None, number):
            return False
        return re.search(self.words, words) is not None


class CrashProxy:
    """Passes requests on, in a thread of its own; a context manager.

    Args:
        upstreams: by name, each server's address and the authority that vouches for it.

    Attributes:
        addresses: where the operator finds each upstream.
        writes: what was written since the last trap was set, in words.
    """

    def __init__(self, upstreams: Mapping[str, tuple[str, Path]]) -> None:
        self.addresses: dict[str, str] = {}
        self.writes: list[str] = []
        self._upstreams = upstreams
        self._trap: CrashPoint | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._runners: list[web.AppRunner] = []
        self._sessions: list[aiohttp.ClientSession] = []

    def set_crash_point(self, crash_point: CrashPoint | None) -> None:
        """Count writes anew, and kill at one of them; None only counts."""
        self.writes.clear()
        self._trap = crash_point

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(_PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    async def _open(self) -> None:
        for name, (url, authority) in self._upstreams.items():
            tls = ssl.create_default_context(cafile=str(authority))
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=0), timeout=_NO_TIME_OUT, auto_decompress=False
            )
            self._sessions.append(session)
            application = web.Application(client_max_size=16 * 1024**2)
            application.router.add_route("*", "/{path:.*}", _Passage(self, name, url, session).take)
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

    def count(self, words: str) -> CrashPoint | None:
        """Write a write down; gives the trap where it is set for this one."""
        self.writes.append(words)
        return self._trap if self._trap is not None and self._trap.is_for(len(self.writes), words) else None


class _Passage:
    """The way to one server."""

    def __init__(self, proxy: CrashProxy, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self._proxy = proxy
        self._name = name
        self._url = url.rstrip("/")
        self._session = session

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, unless a trap is set for it."""
        body = await request.read()
        crash_point = self._proxy.count(self._words(request)) if self._changes(request) else None
        if crash_point is not None and crash_point.moment is CrashMoment.BEFORE_WRITE:
            return _spring(crash_point)
        async with self._session.request(
            request.method,
            URL(self._url + request.raw_path, encoded=True),
            headers=_end_to_end(request.headers),
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if crash_point is not None:
                await answer.read()
                return _spring(crash_point)
            return await _pass_back(request, answer)

    def _changes(self, request: web.Request) -> bool:
        ours = self._name == AZURE or request.path.startswith(_OUR_GROUP)
        return ours and request.method in _CHANGING[self._name]

    def _words(self, request: web.Request) -> str:
        """Such as `kubernetes: PATCH azuredevopsconnectors/contoso/status`."""
        below = re.split(r"/(?:namespaces/[^/]+|providers)/", request.path)[-1]
        return f"{self._name}: {request.method} {below}"


def _spring(crash_point: CrashPoint) -> web.StreamResponse:
    crash_point.kill()
    crash_point.sprung.set()
    return web.Response(status=web.HTTPServiceUnavailable.status_code)  # nobody is there to read it


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Stream the answer: that of a watch has no end."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers))
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def _end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
