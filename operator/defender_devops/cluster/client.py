"""HTTP client for the Kubernetes API: authentication, time-outs, and one error class for each kind of failure.

Objects are plain dictionaries: importing the client library's models costs 100 MB and nearly three seconds of CPU
(measured with kubernetes 37.0.2), see docs/decisions/kubernetes-client.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from pydantic_core import to_json

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.cluster.errors import (
    UNAUTHORIZED,
    Body,
    kubernetes_error,
    parse_error_body,
    parse_object,
    rbac_verb,
    require_list,
    resource_name,
)
from defender_devops.cluster.kubeconfig.credentials import Credentials, CredentialsLoader
from defender_devops.errors import KubernetesUnavailable
from defender_devops.url_paths import url_path

__all__ = [
    "JSON",
    "JSON_PATCH",
    "MERGE_PATCH",
    "Body",
    "KubernetesClient",
    "RequestObserver",
    "api_path",
    "path_with_query",
]

RequestObserver = Callable[[str, str, str, float], None]
"""Called after each request with verb, resource, HTTP status (or `error`) and duration in seconds."""

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"

_MAX_CONCURRENT_REQUESTS: Final = 32
_PAGE: Final = 500
"""Objects in one page of a list, as kubectl requests them."""

_PAGES_MAX: Final = 1000
"""Pages of a list: far more than etcd holds."""

_CONNECT_TIMEOUT: Final = 10.0
_FIRST_ERROR_STATUS: Final = 300
_CERTIFICATE_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks whether the certificate files have changed."""

_MAX_EVENT_BYTES: Final = 4 * 1024 * 1024
"""Longest line of a watch; etcd limits an object to 1.5 MB."""


def api_path(
    group_version: str, plural: str, namespace: str | None = None, name: str | None = None, *below: str
) -> str:
    """Return an API path. Every part is percent-encoded, so a name cannot contain a path of its own."""
    parts = ["apis" if "/" in group_version else "api", *group_version.split("/")]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [plural, *([name] if name is not None else []), *below]
    return url_path(*parts)


def path_with_query(url: str, **parameters: str) -> str:
    """Return the URL with additional query parameters."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}" if parameters else url


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes | None
    content_type: str
    accept: str


class KubernetesClient:
    """The Kubernetes API with the permissions of the loaded credentials.

    All methods raise KubernetesError: NotFound (404), Conflict (409, and a failed test of a JSON patch), Unavailable
    (no response, 401, 408, 410, 429, 5xx, a redirect, and whatever is not a response of an API server), Refused (every
    other 4xx).

    Args:
        credentials_loader: address and credentials of the API server; several clients may share one.
        observe: called after each request.
        timeout: seconds for one request as a whole.
        max_concurrent_requests: further requests wait.
        fence: called before each write; raises if this process must not write any more.
        field_manager: name in managedFields and in the user agent.
    """

    def __init__(
        self,
        credentials_loader: CredentialsLoader,
        observe: RequestObserver = lambda *_: None,
        *,
        timeout: float = 30.0,
        max_concurrent_requests: int = _MAX_CONCURRENT_REQUESTS,
        fence: Callable[[], None] = lambda: None,
        field_manager: str = FIELD_MANAGER,
    ) -> None:
        self.credentials_loader = credentials_loader
        self._field_manager = field_manager
        self._observe = observe
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, _CONNECT_TIMEOUT))
        self._slots = asyncio.Semaphore(max_concurrent_requests)
        self._fence = fence
        self._session: aiohttp.ClientSession | None = None
        self._session_tls: object = None
        self._checked_credentials: Credentials | None = None
        self._next_check_at = 0.0

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str, *, accept: str = JSON) -> Body:
        """Read one object, or one page of a list."""
        async with self._slots:
            return await self._send(_Request("GET", url, None, JSON, accept))

    async def create(self, url: str, body: Mapping[str, Any]) -> Body:
        """Create an object, or post to a subresource."""
        return await self._write("POST", path_with_query(url, fieldManager=self._field_manager), body)

    async def replace(self, url: str, body: Mapping[str, Any]) -> Body:
        """Replace an object; the body's metadata.resourceVersion must be the current one."""
        return await self._write("PUT", path_with_query(url, fieldManager=self._field_manager), body)

    async def patch(self, url: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]], kind: str) -> Body:
        """Patch an object; `kind` is the patch's content type."""
        return await self._write("PATCH", path_with_query(url, fieldManager=self._field_manager), body, kind)

    async def delete(self, url: str, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete an object if it has the uid and resourceVersion in `preconditions`."""
        await self._write("DELETE", url, {"preconditions": dict(preconditions)} if preconditions else None)

    async def pages(self, url: str, *, accept: str = JSON) -> AsyncIterator[Body]:
        """Yield a list page by page.

        Raises:
            KubernetesUnavailable: status 410 if reading took longer than the server keeps the list's version; without a
                status if a response is not a page of a list, or the pages do not end.
        """
        continue_token = ""
        for _ in range(_PAGES_MAX):
            query = {"limit": str(_PAGE)} | ({"continue": continue_token} if continue_token else {})
            page = require_list(await self.get(path_with_query(url, **query), accept=accept))
            yield page
            continue_token = page["metadata"].get("continue") or ""
            if not continue_token:
                return
        raise KubernetesUnavailable(f"A list of the Kubernetes API server has more than {_PAGES_MAX} pages.")

    async def items(self, url: str) -> AsyncIterator[Body]:
        """Yield every object of a list."""
        async for page in self.pages(url):
            for item in page.get("items") or ():
                # The API server omits apiVersion and kind from the items of a list.
                yield {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List"), **item}

    async def watch(self, url: str, *, accept: str = JSON, idle_timeout: float) -> AsyncGenerator[Body]:
        """Yield the events of a watch until the server ends it.

        Args:
            url: path of the list, with the watch's parameters.
            accept: media type of the events' objects.
            idle_timeout: seconds without a byte after which the connection counts as broken (KubernetesUnavailable).
        """
        request = _Request("GET", url, None, JSON, accept)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=idle_timeout)
        async with self._open_response("watch", request, limits) as response:
            if response.status >= _FIRST_ERROR_STATUS:
                body = parse_error_body(await response.read())
                raise kubernetes_error(response.status, body, response.headers, is_list=True)
            async for line in response.content:
                yield parse_error_body(line)

    async def _write(self, method: str, url: str, body: object, kind: str = JSON) -> Body:
        content = None if body is None else to_json(body)
        async with self._slots:
            # Checked after waiting for the slot: leadership may have been lost in the meantime.
            self._fence()
            return await self._send(_Request(method, url, content, kind, JSON))

    async def _send(self, request: _Request) -> Body:
        verb = rbac_verb(request.method, request.url)
        async with self._open_response(verb, request, self._timeout) as response:
            content = await response.read()
            if response.status >= _FIRST_ERROR_STATUS:
                raise kubernetes_error(
                    response.status,
                    parse_error_body(content),
                    response.headers,
                    json_patch=request.content_type == JSON_PATCH,
                    is_list=verb == "list",
                )
            return parse_object(content, response.status)

    @contextlib.asynccontextmanager
    async def _open_response(
        self, verb: str, request: _Request, limits: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, repeat it once with new credentials after 401, and report it to the observer.

        Raises:
            KubernetesUnavailable: no response, or the connection broke while the response was read.
        """
        started, status = time.monotonic(), "error"
        try:
            credentials = await self.credentials_loader.credentials()
            response = await self._request(request, credentials, limits)
            if response.status == UNAUTHORIZED:
                response.release()
                credentials = await self.credentials_loader.credentials(refused=credentials.token or True)
                response = await self._request(request, credentials, limits)
            async with response:
                status = str(response.status)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            status = "error"
            raise KubernetesUnavailable(f"The Kubernetes API server does not answer ({_cause(error)}).") from error
        finally:
            self._observe(verb, resource_name(request.url), status, time.monotonic() - started)

    async def _request(
        self, request: _Request, credentials: Credentials, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        # A list, because the header of an impersonated group may occur several times.
        headers = [("Accept", request.accept), ("User-Agent", self._field_manager), *credentials.impersonation]
        if credentials.token is not None:
            headers.append(("Authorization", f"Bearer {credentials.token.get_secret_value()}"))
        if request.body is not None:
            headers.append(("Content-Type", request.content_type))
        session = await self._open_session(credentials)
        return await session.request(
            request.method,
            credentials.server + request.url,
            data=request.body,
            headers=headers,
            timeout=limits,
            # The API server redirects no request for an object, and another host must not get what is sent to it.
            allow_redirects=False,
            proxy=credentials.proxy.url if credentials.proxy else None,
            proxy_headers=credentials.proxy.headers() if credentials.proxy else None,
            server_hostname=credentials.server_name,
        )

    async def _open_session(self, credentials: Credentials) -> aiohttp.ClientSession:
        """Return the session, or a new one within a second after the certificate files were renewed."""
        now = time.monotonic()
        if self._session is not None and credentials is self._checked_credentials and now < self._next_check_at:
            return self._session
        identity, outdated = credentials.tls_identity(), None
        if self._session is None or self._session_tls != identity:
            connector = aiohttp.TCPConnector(limit=0, ssl=credentials.tls())
            outdated, self._session_tls = self._session, identity
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_MAX_EVENT_BYTES)
        session = self._session
        self._checked_credentials, self._next_check_at = credentials, now + _CERTIFICATE_CHECK_INTERVAL
        if outdated is not None:
            await outdated.close()
        return session


def _cause(error: BaseException) -> str:
    """Return the kind of a failure. aiohttp's own text may contain the address and headers."""
    inner = getattr(error, "os_error", None)
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(error).__name__}: {inner.strerror}"
    return type(error).__name__
