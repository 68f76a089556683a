"""HTTP clients for Azure, Entra ID and Azure DevOps: no redirects, no cookies, no hidden retries.

Code that sends requests uses httpx; aiohttp, which kopf and azure-identity require anyway, provides the connections
(docs/decisions/http-clients.md). Entra ID and Azure DevOps set cookies for the account of a request: a shared client
that returned them would mix accounts up.

Proxy and certificate authorities are chosen here for all of them: HTTPS_PROXY, HTTP_PROXY and NO_PROXY (`proxies`),
SSL_CERT_FILE and SSL_CERT_DIR.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from defender_devops.errors import OperatorError
from defender_devops.proxies import Proxy, check_proxy_variables, proxy_for

__all__ = [
    "NETWORK_ERRORS",
    "InvalidCertificateAuthorities",
    "check_http_environment",
    "open_http_client",
    "open_session",
    "prevent_retry",
    "private_tls_context",
    "retry_after_seconds",
    "tls_context",
]

NETWORK_ERRORS: Final = (httpx.HTTPError, httpx.StreamError, aiohttp.ClientError, OSError)
"""All exceptions of a request below HTTP. Never chain them: they hold the request, and the request holds a secret."""

RETRY_AFTER_MAX: Final = 3600.0
"""Seconds that a service can make the operator wait; a longer delay is a mistake of a server or a proxy."""

_TIMEOUT: Final = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
_MAX_CONNECTIONS: Final = 32
_KEEP_ALIVE: Final = 60.0
"""Seconds that an idle connection stays open: reconciles come in bursts, and a TLS handshake costs more than a
request."""


def check_http_environment() -> None:
    """Check the variables of proxies and certificate authorities once at the start, not at the first request.

    Raises:
        InvalidProxy: names the variable.
        InvalidCertificateAuthorities: names the variable.
    """
    check_proxy_variables()
    tls_context()


def open_http_client() -> httpx.AsyncClient:
    """Open the client that the requests of all accounts to Entra ID and Azure DevOps share. Its owner closes it."""
    return httpx.AsyncClient(
        transport=_ProxyingTransport(),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=_TIMEOUT,
        follow_redirects=False,
    )


def open_session(
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = (), *, max_connections: int = 0, decompress: bool = False
) -> aiohttp.ClientSession:
    """Open the connections of aiohttp below every client of Azure, Entra ID and Azure DevOps.

    It does not evaluate the environment itself: its user passes the proxy with each request.

    Args:
        middlewares: `prevent_retry`, or none where its user handles aiohttp's exceptions alone.
        max_connections: maximum number of connections; 0 for no limit.
        decompress: whether bodies of responses are decompressed; otherwise its user does that.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls_context(), limit=max_connections, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=decompress,
        middlewares=middlewares,
    )


class _ProxyingTransport(httpx.AsyncBaseTransport):
    """One transport of httpx-aiohttp for direct connections, and one for each proxy.

    Each has at most _MAX_CONNECTIONS connections.
    """

    def __init__(self) -> None:
        self._transports: dict[Proxy | None, AiohttpTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # Path and query have no influence, and a copy of the URL without them would cost more than all else here.
        proxy = proxy_for(f"{request.url.scheme}://{request.url.netloc.decode()}")
        transport = self._transports.get(proxy)
        if transport is None:
            transport = self._transports[proxy] = AiohttpTransport(
                verify=tls_context(),
                client=lambda: open_session((prevent_retry,), max_connections=_MAX_CONNECTIONS),
                proxy=httpx.Proxy(proxy.url, headers=proxy.headers()) if proxy else None,
            )
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()


async def prevent_retry(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise a cut connection as an exception that aiohttp does not retry.

    By default aiohttp sends a PUT again when a kept-alive connection is cut. That would send a one-time code twice.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:  # no connection was made, and aiohttp does not retry that
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise httpx.RemoteProtocolError(str(error)) from None


class InvalidCertificateAuthorities(OperatorError):
    """SSL_CERT_FILE or SSL_CERT_DIR cannot be used."""


def tls_context() -> ssl.SSLContext:
    """Return the TLS context of all clients, with the authorities of SSL_CERT_FILE or SSL_CERT_DIR, else certifi's.

    Raises:
        InvalidCertificateAuthorities: names the variable.
    """
    return _tls_context(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


def private_tls_context() -> ssl.SSLContext:
    """Return a TLS context with the same authorities for a library that may add a client certificate to it.

    Raises:
        InvalidCertificateAuthorities: names the variable.
    """
    return _new_tls_context(os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


@lru_cache(maxsize=4)
def _tls_context(file: str, folder: str) -> ssl.SSLContext:
    """Create the TLS context once: to parse the certificate authorities takes longer than anything else here."""
    return _new_tls_context(file, folder)


def _new_tls_context(file: str, folder: str) -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError, for a file without certificates, is one
        variable, path = ("SSL_CERT_FILE", file) if file else ("SSL_CERT_DIR", folder)
        cause = error.strerror if not isinstance(error, ssl.SSLError) else "it contains no certificate in PEM"
        raise InvalidCertificateAuthorities(
            f"{variable} is {path}, which cannot be used ({cause}). Set it to a file with the certificate authorities "
            "to trust, in PEM."
        ) from None


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header demands to wait, from 0 to an hour.

    Args:
        header: a number of seconds or a date (RFC 9110, section 10.2.3); None where the response has no such header.
        now: seconds since the epoch, for a date.

    Returns:
        None where there is no header, or none that can be understood.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)
