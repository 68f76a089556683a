"""What all clients of Azure Resource Manager share: connections, places, budget, time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from defender_devops.azure.arm.rate_limiter import Budget
from defender_devops.clock import Clock

__all__ = ["ArmSession", "Observe"]

Observe = Callable[[str, int | None, float], None]
"""Told of every request: what it was, the HTTP status (None: no answer came), seconds it took."""

_KEEP_ALIVE: Final = 60.0
"""Seconds that an idle connection is kept: reconciles come in waves, and a TLS handshake costs more than a request."""


@dataclass(frozen=True, slots=True)
class ArmSession:
    """Shared by the clients of all identities, since none of it belongs to one of them.

    Attributes:
        http: connections to Azure Resource Manager. A transport alone, without httpx's client above it: what that adds
            (redirects, cookies, a log of addresses) is what a token and a signed address must not meet.
        endpoint: its address without a slash at the end.
        budget: what may still be asked.
        clock: time.
        places: how many requests are under way at once.
        observe: told of every request.
        fence: called before each request that changes something; raises where this process must not any more.
    """

    http: httpx.AsyncBaseTransport
    endpoint: str
    budget: Budget = field(default_factory=Budget)
    clock: Clock = field(default_factory=Clock)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(32))
    observe: Observe = field(default=lambda _what, _status, _seconds: None)
    fence: Callable[[], None] = field(default=lambda: None)

    @classmethod
    def open(cls, endpoint: str, **others: Any) -> Self:  # noqa: ANN401 - the other attributes
        """A session with connections of its own; `others` are further attributes."""
        endpoint = endpoint.rstrip("/")
        return cls(_connect(endpoint), endpoint, **others)

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()


def _connect(endpoint: str) -> AiohttpTransport:
    """Connections to Azure Resource Manager at `endpoint`: no redirects, no cookies, no repeats but our own."""
    context = httpx.create_ssl_context()
    return AiohttpTransport(verify=context, client=lambda: _open_session(context), proxy=_proxy_for(endpoint))


def _open_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    # By itself aiohttp sends a PUT again when its connection is cut, and a one-time code would be sent twice. There is
    # no public way to say no; aiohttp's own TestClient does it like this.
    if not hasattr(session, "_retry_connection"):
        raise RuntimeError("this version of aiohttp repeats requests in a way that cannot be switched off")
    session._retry_connection = False  # noqa: SLF001 - as above
    return session


def _proxy_for(endpoint: str) -> httpx.Proxy | None:
    """What HTTPS_PROXY and NO_PROXY say; asked once, where aiohttp would ask in a thread for each request."""
    address = httpx.URL(endpoint)
    proxy = None if proxy_bypass(f"{address.host}:{address.port or 443}") else getproxies().get(address.scheme)
    return httpx.Proxy(proxy) if proxy else None
