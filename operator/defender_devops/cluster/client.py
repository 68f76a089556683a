"""One request to the Kubernetes API: token, time-outs, and errors by name.

Bodies are plain dictionaries: importing the library's models costs 100 MB and nearly three seconds of CPU (37.0.2),
for nothing that we need.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
from pydantic_core import to_json

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.cluster.errors import UNAUTHORIZED, Body, error_from_response, parse, request_verb, resource_name
from defender_devops.cluster.kubeconfig import Credentials, CredentialsLoader
from defender_devops.errors import KubernetesUnavailable

__all__ = ["JSON", "JSON_PATCH", "MERGE_PATCH", "Body", "KubernetesClient", "path", "with_query"]

RequestObserver = Callable[[str, str, str, float], None]
"""Told of each request: verb, resource, HTTP status (or `error`), seconds."""

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"

_AT_ONCE: Final = 32
_PAGE: Final = 500
_CONNECT_TIMEOUT: Final = 10.0
_BAD: Final = 400
_LOOK_AT_FILES: Final = 1.0
"""Seconds between two looks at whether the files of certificates were written anew."""

_LONGEST_EVENT: Final = 4 * 1024 * 1024
"""Bytes of one line of a watch: more than any object, which etcd limits to 1.5 MB."""


def path(group_version: str, plural: str, namespace: str | None = None, name: str | None = None, *below: str) -> str:
    """A path of the API; names are quoted, so none can climb out of it."""
    parts = ["apis" if "/" in group_version else "api", *group_version.split("/")]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [plural, *([name] if name is not None else []), *below]
    return "/" + "/".join(quote(part, safe="") for part in parts)


def with_query(url: str, **parameters: str) -> str:
    """The address with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}" if parameters else url


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes | None
    content_type: str
    accept: str

    def headers(self, credentials: Credentials, agent: str) -> dict[str, str]:
        headers = {"Accept": self.accept, "User-Agent": agent}
        if credentials.token is not None:
            headers["Authorization"] = f"Bearer {credentials.token.get_secret_value()}"
        if self.body is not None:
            headers["Content-Type"] = self.content_type
        return headers


class KubernetesClient:
    """The Kubernetes API as the operator's service account.

    All methods raise KubernetesError: NotFound (404), Conflict (409, and a failed test of a JSON patch), Unavailable
    (no answer, 401, 408, 410, 429, 5xx), Refused (every other 4xx).

    Args:
        credentials_loader: where the server is, and the token; several clients may share it.
        observe: told of each request.
        timeout: seconds that one request may take in all.
        max_concurrent_requests: requests under way at the same time.
        fence: called before each write, raises where this process must not write any more.
        field_manager: who we are in managedFields and in the user agent.
    """

    def __init__(
        self,
        credentials_loader: CredentialsLoader,
        observe: RequestObserver = lambda *_: None,
        *,
        timeout: float = 30.0,
        max_concurrent_requests: int = _AT_ONCE,
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
        self._session_for: object = None
        self._looked_at: Credentials | None = None
        self._look_again_at = 0.0

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str, *, accept: str = JSON) -> Body:
        """Read one object, or one page of a list."""
        return await self._send(_Request("GET", url, None, JSON, accept))

    async def create(self, url: str, body: Mapping[str, Any]) -> Body:
        """Create an object, or post to a subresource."""
        return await self._write("POST", with_query(url, fieldManager=self._field_manager), body)

    async def replace(self, url: str, body: Mapping[str, Any]) -> Body:
        """Replace an object; its metadata.resourceVersion must be the one that was read."""
        return await self._write("PUT", with_query(url, fieldManager=self._field_manager), body)

    async def patch(self, url: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]], kind: str) -> Body:
        """Patch an object; `kind` is the patch's content type."""
        return await self._write("PATCH", with_query(url, fieldManager=self._field_manager), body, kind)

    async def delete(self, url: str, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete an object, if it still is the one that these preconditions name."""
        await self._write("DELETE", url, {"preconditions": dict(preconditions)} if preconditions else None)

    async def pages(self, url: str, *, accept: str = JSON) -> AsyncIterator[Body]:
        """A list, page by page. KubernetesUnavailable (410) where reading took longer than the server remembers."""
        token = ""
        while True:
            query = {"limit": str(_PAGE)} | ({"continue": token} if token else {})
            page = await self.get(with_query(url, **query), accept=accept)
            yield page
            token = page.get("metadata", {}).get("continue") or ""
            if not token:
                return

    async def items(self, url: str) -> AsyncIterator[Body]:
        """Every object of a list."""
        async for page in self.pages(url):
            for item in page.get("items") or ():
                # A list leaves out of its items what it says once of itself.
                yield {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List"), **item}

    async def watch(self, url: str, *, accept: str = JSON, idle_timeout: float) -> AsyncGenerator[Body]:
        """Events of a watch as they come, until the server ends it.

        Args:
            url: of the list, with the watch's parameters.
            accept: what to ask for; the table of an event's object.
            idle_timeout: seconds without a single byte after which the connection is given up as KubernetesUnavailable.
        """
        request = _Request("GET", url, None, JSON, accept)
        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=idle_timeout)
        async with self._observed("watch", url) as seen, self._answer(request, limits) as answer:
            seen.append(str(answer.status))
            if answer.status >= _BAD:
                raise error_from_response(answer.status, parse(await answer.read()), answer.headers)
            async for line in answer.content:
                yield parse(line)

    async def _write(self, method: str, url: str, body: object, kind: str = JSON) -> Body:
        content = None if body is None else to_json(body)
        async with self._slots:
            self._fence()
            return await self._send_now(_Request(method, url, content, kind, JSON))

    async def _send(self, request: _Request) -> Body:
        async with self._slots:
            return await self._send_now(request)

    async def _send_now(self, request: _Request) -> Body:
        observed = self._observed(request_verb(request.method, request.url), request.url)
        async with observed as seen, self._answer(request, self._timeout) as answer:
            content = parse(await answer.read())
            seen.append(str(answer.status))
            if answer.status >= _BAD:
                is_json_patch = request.content_type == JSON_PATCH
                raise error_from_response(answer.status, content, answer.headers, json_patch=is_json_patch)
            return content

    @contextlib.asynccontextmanager
    async def _observed(self, verb: str, url: str) -> AsyncIterator[list[str]]:
        """Tells the observer how a request ended (what is put into the list), and names what cut it short."""
        started, seen = time.monotonic(), list[str]()
        try:
            yield seen
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            seen.clear()
            raise KubernetesUnavailable(f"The Kubernetes API server does not answer ({_cause(error)}).") from error
        finally:
            self._observe(verb, resource_name(url), seen[0] if seen else "error", time.monotonic() - started)

    @contextlib.asynccontextmanager
    async def _answer(self, request: _Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, sent once more with another token where the server did not take this one."""
        credentials = await self.credentials_loader.credentials()
        answer = await self._ask(request, credentials, limits)
        if answer.status == UNAUTHORIZED:
            answer.release()
            credentials = await self.credentials_loader.credentials(refused=credentials.token or True)
            answer = await self._ask(request, credentials, limits)
        async with answer:
            yield answer

    async def _ask(
        self, request: _Request, credentials: Credentials, limits: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        session = await self._open(credentials)
        return await session.request(
            request.method,
            credentials.server + request.url,
            data=request.body,
            headers=request.headers(credentials, self._field_manager),
            timeout=limits,
            proxy=credentials.proxy,
            server_hostname=credentials.server_name,
        )

    async def _open(self, credentials: Credentials) -> aiohttp.ClientSession:
        """The session; another one where certificates were renewed, which is noticed within a second."""
        now = time.monotonic()
        if self._session is not None and credentials is self._looked_at and now < self._look_again_at:
            return self._session
        identity, outdated = credentials.tls_identity(), None
        if self._session is None or self._session_for != identity:
            connector = aiohttp.TCPConnector(limit=0, ssl=credentials.tls())
            outdated, self._session_for = self._session, identity
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_LONGEST_EVENT)
        opened = self._session
        self._looked_at, self._look_again_at = credentials, now + _LOOK_AT_FILES
        if outdated is not None:
            await outdated.close()
        return opened


def _cause(error: BaseException) -> str:
    """Which kind of failure, in words that hold no address or header."""
    inner = getattr(error, "os_error", None)
    if isinstance(inner, OSError) and inner.strerror:
        return f"{type(error).__name__}: {inner.strerror}"
    return type(error).__name__
