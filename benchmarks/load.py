"""What a team does to the cluster, fast: writes many connectors, edits them, and watches what becomes of them."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Self

import aiohttp

from sandbox.cluster import Cluster

__all__ = ["Load", "NotReached", "is_current"]

NAMESPACE = "benchmark"
_CONNECTORS = f"/apis/defender-devops.io/v1alpha1/namespaces/{NAMESPACE}/azuredevopsconnectors"
_AT_ONCE = 16
"""Requests at once, about what Argo CD sends when it applies a large application."""

Body = dict[str, Any]


class NotReached(TimeoutError):
    """Something did not come about in time; the message says how far it went."""


class Load:
    """An administrator of the cluster with many hands; an asynchronous context manager."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self._cluster.ca)))
        headers = {"Authorization": f"Bearer {self._cluster.admin_token}"}
        self._http = aiohttp.ClientSession(self._cluster.server, connector=connector, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def create(self, manifests: Iterable[Body]) -> None:
        """Create connectors and Secrets, `_AT_ONCE` at a time."""
        waiting = iter(manifests)

        async def hand() -> None:
            for manifest in waiting:
                await self._send("POST", _path(manifest), manifest)

        await asyncio.gather(*(hand() for _ in range(_AT_ONCE)))

    async def edit(self, name: str, change: Body) -> Body:
        """Merge a change into a connector; gives it as it is then."""
        return await self._send("PATCH", f"{_CONNECTORS}/{name}", change, "application/merge-patch+json")

    async def text(self, path: str) -> str:
        """Any page of the API server, such as /metrics."""
        async with self._http.get(path) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def wait_all(self, number: int, holds: Callable[[Body], bool], *, within: float) -> float:
        """Wait until something holds for so many connectors; the moment (`time.monotonic`) at which it did.

        Raises:
            NotReached: it does not after `within` seconds.
        """
        reached: set[str] = set()
        try:
            async with asyncio.timeout(within):
                async for body in self._watch():
                    (reached.add if holds(body) else reached.discard)(body["metadata"]["name"])
                    if len(reached) >= number:
                        return time.monotonic()
        except TimeoutError:
            pass
        raise NotReached(f"{len(reached)} of {number} connectors after {within:.0f} s")

    async def wait_seen(self, edited: Body, *, within: float) -> None:
        """Wait until the status of a connector has seen the spec that an edit gave.

        Raises:
            NotReached: it has not after `within` seconds.
        """
        metadata = edited["metadata"]
        since = {"fieldSelector": f"metadata.name={metadata['name']}", "resourceVersion": metadata["resourceVersion"]}
        try:
            async with asyncio.timeout(within):
                async for body in self._watch(**since):
                    if body["status"]["observedGeneration"] >= metadata["generation"]:
                        return
        except TimeoutError:
            raise NotReached(f"the edit of {metadata['name']} was not seen after {within:.0f} s") from None

    async def _watch(self, **narrowed: str) -> AsyncIterator[Body]:
        """Connectors as they are, then as they change; taken up again where the server ends the watch.

        Without a version they are listed first: a watch that is ended while it sends what there is says only which of
        it came last, and not what it had still to send.
        """
        timeout = aiohttp.ClientTimeout(total=None)
        params = {"watch": "true", "timeoutSeconds": "3600", **narrowed}
        while True:
            if "resourceVersion" not in params:
                listed: Body = json.loads(await self.text(_CONNECTORS))
                params["resourceVersion"] = listed["metadata"]["resourceVersion"]
                for body in listed["items"]:
                    yield body
            async with self._http.get(_CONNECTORS, params=params, timeout=timeout) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":  # the server has forgotten what was seen last: all of it again
                        params.pop("resourceVersion")
                        break
                    params["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                    yield event["object"]

    async def _send(self, method: str, path: str, body: Body, content_type: str = "application/json") -> Body:
        async with self._http.request(method, path, json=body, headers={"Content-Type": content_type}) as answer:
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {await answer.text()}")
            reply: Body = await answer.json()
            return reply


def is_current(body: Body) -> bool:
    """Whether a connector is Ready by its newest spec."""
    status = body.get("status", {})
    ready: Body = next((condition for condition in status.get("conditions", ()) if condition["type"] == "Ready"), {})
    newest = body["metadata"]["generation"]
    return ready.get("status") == "True" and status.get("observedGeneration") == newest


def _path(manifest: Body) -> str:
    return f"/api/v1/namespaces/{NAMESPACE}/secrets" if manifest["kind"] == "Secret" else _CONNECTORS
