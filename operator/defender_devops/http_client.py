"""Connections for the clients of Entra ID and Azure DevOps: no redirects, no cookies, nothing carried between accounts.

Both services set cookies of the account that asked. A shared client that sent them back would mix accounts up.
"""

from __future__ import annotations

import ssl
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

__all__ = ["NETWORK_ERRORS", "open_connections"]

NETWORK_ERRORS: Final = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""All that a request can fail with below HTTP. Never chain them: they hold the request, and that holds a secret."""

_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
_KEEP_ALIVE: Final = 60.0  # seconds
_CONNECTIONS: Final = 32


def open_connections() -> httpx.AsyncClient:
    """A client that every account shares. Close it when done."""
    return httpx.AsyncClient(
        transport=AiohttpTransport(verify=_context(), client=lambda: _session(_context())),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=_TIMEOUT,
        follow_redirects=False,
    )


@cache
def _context() -> ssl.SSLContext:
    """Made once: reading the certificate authorities takes longer than all else here."""
    return httpx.create_ssl_context()


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
