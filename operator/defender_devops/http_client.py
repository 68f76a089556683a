"""HTTP clients for Azure, Entra ID and Azure DevOps: no redirects, no cookies, no hidden retries.

Code that sends requests uses httpx; aiohttp, which kopf and azure-identity require anyway, provides the connections
(docs/decisions/http-clients.md). Entra ID and Azure DevOps set cookies for the account of a request: a shared client
that returned them would mix accounts up.
"""

from __future__ import annotations

import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

__all__ = ["NETWORK_ERRORS", "open_http_client", "open_transport"]

NETWORK_ERRORS: Final = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""All exceptions of a request below HTTP. Never chain them: they hold the request, and the request holds a secret."""

_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
_MAX_CONNECTIONS: Final = 32
_KEEP_ALIVE: Final = 60.0
"""Seconds that an idle connection stays open: reconciles come in bursts, and a TLS handshake costs more than a
request."""


def open_http_client() -> httpx.AsyncClient:
    """Open the client that the requests of all accounts to Entra ID and Azure DevOps share. Its owner closes it."""
    return httpx.AsyncClient(
        transport=open_transport(max_connections=_MAX_CONNECTIONS),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=_TIMEOUT,
        follow_redirects=False,
    )


def open_transport(*, max_connections: int = 0, proxy: httpx.Proxy | None = None) -> AiohttpTransport:
    """Open a connection pool.

    Args:
        max_connections: maximum number of connections; 0 for no limit.
        proxy: proxy of all requests.
    """

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_ssl_context(), limit=max_connections, keepalive_timeout=_KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_prevent_retry,),
        )

    return AiohttpTransport(verify=_ssl_context(), client=open_session, proxy=proxy)


async def _prevent_retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise a cut connection as an exception that aiohttp does not retry.

    By default aiohttp sends a PUT again when a kept-alive connection is cut. That would send a one-time code twice.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # no connection was made, and aiohttp does not retry that
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.RemoteProtocolError(str(error)) from None


@cache
def _ssl_context() -> ssl.SSLContext:
    """Create the TLS context once: to parse the certificate authorities takes longer than anything else here."""
    return httpx.create_ssl_context()
