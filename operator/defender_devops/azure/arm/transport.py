"""Connections to Azure Resource Manager: one request, one response, nothing repeated, redirected or stored.

docs/decisions/http-clients.md says why these requests, by far the most of the operator, do without httpx.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from yarl import URL

from defender_devops.azure.arm.error_mapping import HttpResponse
from defender_devops.http_client import open_session, prevent_retry
from defender_devops.proxies import proxy_for

__all__ = ["ArmTransport", "HttpRequest", "HttpTransport"]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=30.0)
"""Seconds. Waiting for a connection has no limit of its own, because `ArmSession.concurrency` already limits the
requests in flight."""

_CHUNK: Final = 64 * 1024
_NOT_ADDED: Final = ("Content-Type",)
"""Headers that aiohttp would add to a request without a body."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request with its whole body. Only the method is shown: URLs may be signed, and a header is the token.

    Attributes:
        method: HTTP method.
        url: percent-encoded.
        headers: by name.
        body: None for none.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class HttpTransport(Protocol):
    """Sends HTTP requests."""

    async def send(self, request: HttpRequest, *, body_max: int) -> HttpResponse:
        """Send a request once.

        Args:
            request: what is sent.
            body_max: most bytes of the response's body that are needed: one more is returned of a longer one.

        Raises:
            Exception: one of `http_client.NETWORK_ERRORS`, or TimeoutError.
        """

    async def close(self) -> None:
        """Close the connections."""


class ArmTransport:
    """The connections to one address, through the proxy that the environment names for it.

    Args:
        endpoint: the address; every request is sent to it.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: HttpRequest, *, body_max: int) -> HttpResponse:
        """Send a request once; see `HttpTransport.send`."""
        if self._session is None:
            self._session = open_session((prevent_retry,), decompress=True)
        proxy = proxy_for(self._endpoint)
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            skip_auto_headers=_NOT_ADDED,
            allow_redirects=False,
            timeout=_TIMEOUT,
            proxy=proxy.url if proxy else None,
            proxy_headers=proxy.headers() if proxy else None,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > body_max:
                    break
            headers: dict[str, str] = {}
            for name, value in response.headers.items():
                key = name.lower()
                # A repeated header is a list (RFC 9110, section 5.3): there may be several WWW-Authenticate.
                headers[key] = f"{headers[key]}, {value}" if key in headers else value
            return HttpResponse(response.status, headers, bytes(body[: body_max + 1]))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
