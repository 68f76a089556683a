"""All objects of a list, told again after each change: for a person who looks on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from defender_devops.cluster.client import Body, KubernetesClient, with_query
from defender_devops.errors import KubernetesUnavailable

__all__ = ["watch_objects"]

_LONGEST: Final = 290
"""Seconds that the server is asked to serve one watch: below the idle limits of common load balancers."""

_SILENCE: Final = 100.0
"""Seconds without a byte after which a watch is given up; the server sends a bookmark each minute, more or less."""

_PAUSE: Final = 2.0
"""Seconds before an API server that did not answer is asked again."""


async def watch_objects(client: KubernetesClient, url: str) -> AsyncGenerator[list[Body]]:
    """The objects now, and again after each change, for ever. An API server that goes away is waited for.

    Raises:
        KubernetesError: the first list could not be had, or the right to go on is missing.
    """
    found, version = await _list(client, url)
    while True:
        yield list(found.values())
        try:
            async with contextlib.aclosing(_watch(client, url, version)) as events:
                async for event in events:
                    _take(event, found)
                    yield list(found.values())
            found, version = await _list(client, url)
        except KubernetesUnavailable:
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(KubernetesUnavailable):
                found, version = await _list(client, url)


async def _list(client: KubernetesClient, url: str) -> tuple[dict[str, Body], str]:
    """Every object by uid, and the version of the list."""
    found: dict[str, Body] = {}
    version = ""
    async for page in client.pages(url):
        version = page["metadata"]["resourceVersion"]
        found |= {item["metadata"]["uid"]: item for item in page.get("items") or ()}
    return found, version


async def _watch(client: KubernetesClient, url: str, version: str) -> AsyncGenerator[Body]:
    """Changes since that version, until the server ends the watch.

    Raises:
        KubernetesUnavailable: it ended with an error, or the server has forgotten that version.
    """
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(_LONGEST),
    }
    async with contextlib.aclosing(client.watch(with_query(url, **query), idle_timeout=_SILENCE)) as events:
        async for event in events:
            if event.get("type") == "ERROR" or "metadata" not in (event.get("object") or {}):
                raise KubernetesUnavailable("The watch was ended by the API server.")
            if event["type"] != "BOOKMARK":
                yield event


def _take(event: Body, found: dict[str, Body]) -> None:
    item = event["object"]
    if event["type"] == "DELETED":
        found.pop(item["metadata"]["uid"], None)
    else:
        found[item["metadata"]["uid"]] = item
