"""One request to the Kubernetes API: token, time-outs, and errors by name.

Bodies are plain dictionaries: the library's models would cost 30 MB and a second at start for nothing we need.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.cluster.connection import Connection
from defender_devops.errors import (
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
)

__all__ = ["APPLY", "JSON_PATCH", "MERGE_PATCH", "Body", "KubernetesClient", "path"]

Body = dict[str, Any]
Observe = Callable[[str, str, str, float], None]
"""Told of each request: verb, resource, HTTP status (or `error`), seconds."""

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=10)
_AT_ONCE: Final = 32
_PAGE: Final = 500
_UNAUTHORIZED, _NOT_FOUND, _CONFLICT, _TOO_MANY, _SERVER_ERROR = 401, 404, 409, 429, 500


def path(group_version: str, plural: str, namespace: str | None = None, name: str | None = None, *below: str) -> str:
    """A path of the API; names are quoted, so none can climb out of it."""
    parts = ["apis" if "/" in group_version else "api", *group_version.split("/")]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts += [plural, *([name] if name is not None else []), *below]
    return "/" + "/".join(quote(part, safe="") for part in parts)


class KubernetesClient:
    """The Kubernetes API as the operator's service account.

    All methods raise KubernetesError: NotFound (404), Conflict (409), Refused (other 4xx), Unavailable (all else).

    Args:
        connection: where the server is, and the token.
        observe: told of each request.
    """

    def __init__(self, connection: Connection, observe: Observe = lambda *_: None) -> None:
        self.connection = connection
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str) -> Body:
        """Read one object."""
        return await self._send("GET", url)

    async def create(self, url: str, body: Mapping[str, Any]) -> Body:
        """Create an object, or post to a subresource."""
        return await self._send("POST", f"{url}?{urlencode({'fieldManager': FIELD_MANAGER})}", body)

    async def replace(self, url: str, body: Mapping[str, Any]) -> Body:
        """Replace an object; its metadata.resourceVersion must be the one that was read."""
        return await self._send("PUT", f"{url}?{urlencode({'fieldManager': FIELD_MANAGER})}", body)

    async def patch(self, url: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]], kind: str) -> Body:
        """Patch an object; `kind` is the patch's content type."""
        options = {"fieldManager": FIELD_MANAGER} | ({"force": "true"} if kind == APPLY else {})
        return await self._send("PATCH", f"{url}?{urlencode(options)}", body, kind)

    async def delete(self, url: str, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete an object, if it still is the one that these preconditions name."""
        await self._send("DELETE", url, {"preconditions": dict(preconditions)} if preconditions else None)

    async def items(self, url: str) -> AsyncIterator[Body]:
        """Every object of a list, page by page."""
        token = ""
        while True:
            query = {"limit": str(_PAGE)} | ({"continue": token} if token else {})
            page = await self._send("GET", f"{url}?{urlencode(query)}")
            for item in page.get("items") or ():
                # A list leaves out of its items what it says once of itself.
                yield {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List"), **item}
            token = page.get("metadata", {}).get("continue") or ""
            if not token:
                return

    async def _send(self, method: str, url: str, body: object = None, kind: str = "application/json") -> Body:
        started, outcome = time.monotonic(), "error"
        try:
            async with self._slots:
                status, content, headers = await self._attempt(method, url, body, kind)
            outcome = str(status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubernetesUnavailable(
                f"The Kubernetes API server does not answer ({type(error).__name__})."
            ) from error
        finally:
            self._observe(method, _resource_of(url), outcome, time.monotonic() - started)
        if status >= _UNAUTHORIZED - 1:
            raise _error(status, content, headers)
        return content

    async def _attempt(self, method: str, url: str, body: object, kind: str) -> tuple[int, Body, Mapping[str, str]]:
        """Send once, and once more with another token where the server did not take this one."""
        for refused in (False, True):
            credentials = await self.connection.credentials(refused=refused)
            headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
            if credentials.token is not None:
                headers["Authorization"] = f"Bearer {credentials.token.get_secret_value()}"
            data = None
            if body is not None:
                data = json.dumps(body, separators=(",", ":")).encode()
                headers["Content-Type"] = kind
            session = await self._open()
            async with session.request(
                method, credentials.server + url, data=data, headers=headers, timeout=_TIMEOUT
            ) as answer:
                if answer.status == _UNAUTHORIZED and not refused:
                    continue
                return answer.status, _parse(await answer.read()), answer.headers
        raise AssertionError("the second answer is always returned")

    async def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            credentials = await self.connection.credentials()
            connector = aiohttp.TCPConnector(limit=0, ssl=credentials.tls())
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session


def _parse(content: bytes) -> Body:
    try:
        parsed = json.loads(content or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _error(status: int, content: Body, headers: Mapping[str, str]) -> KubernetesError:
    said = str(content.get("message") or f"HTTP {status}")
    if status == _NOT_FOUND:
        return KubernetesNotFound(said, status=status)
    if status == _CONFLICT:
        return KubernetesConflict(said, status=status)
    if status == _TOO_MANY or status >= _SERVER_ERROR:
        wait = headers.get("Retry-After", "")
        return KubernetesUnavailable(said, status=status, retry_after=float(wait) if wait.isdecimal() else None)
    return KubernetesRefused(said, status=status)


def _resource_of(url: str) -> str:
    """The plural in a path, with its subresource: a label of few values."""
    parts = url.partition("?")[0].strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(parts) > 2 and parts[0] == "namespaces":  # noqa: PLR2004 - namespaces/<name>/<plural>
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:]]) if parts else "unknown"
