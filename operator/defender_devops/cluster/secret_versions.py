"""Which Secrets change, without ever asking for what is in them.

Secrets are listed and watched as PartialObjectMetadata: the API server leaves the data out. (RBAC knows no such
difference: the right to list is the right to read.) Annotations are dropped at once, since kubectl's last-applied
holds the data of a Secret that was applied by it.

A WATCH has to ask for `as=PartialObjectMetadata`; with the form for lists it answers 200 and stays silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Final

import structlog

from defender_devops.backoff import Backoff
from defender_devops.cluster.client import Body, KubernetesClient, path, with_query
from defender_devops.errors import KubernetesError, KubernetesUnavailable

__all__ = ["SecretWatch"]

Changed = Callable[[str, str, str | None], None]
"""Told of namespace, name and resourceVersion of a Secret that was made or changed; None where it is gone."""

_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_EVENT: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_IRRELEVANT: Final = "type!=helm.sh/release.v1"
"""Helm keeps every revision of every release in a Secret: the most, the largest, and never of any use here."""

_LONGEST: Final = 290
"""Seconds that the server is asked to serve one watch: below the idle limits of common load balancers."""

_SILENCE: Final = 200.0
"""Seconds without a byte after which a watch counts as stalled. The server promises a bookmark about each minute
(defaultBookmarkFrequency in k8s.io/apiserver); where nothing happens at all the first comes after two (seen with 1.37).
"""

_PAUSE: Final = 1.0
"""Seconds at most between the end of one watch and the next."""

_GONE: Final = 410

_DOUBTFUL: Final = 5
"""Failures in a row after which the place to go on from is doubted: a cluster that was restored from a backup has never
heard of it, and does not call that gone."""

_log: Final = structlog.get_logger(__name__)


class SecretWatch:
    """Follows the Secrets of one namespace, or of all, and tells what changed after the first list.

    Args:
        client: the API.
        namespace: None for all (needs a ClusterRole).
        changed: told of each change; what was there at the start is none.
        backoff: between attempts that fail.
        chance: random numbers in [0, 1).
    """

    def __init__(
        self,
        client: KubernetesClient,
        namespace: str | None,
        changed: Changed,
        *,
        backoff: Backoff = Backoff(initial=1.0, maximum=30.0),  # noqa: B008 - frozen
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._url = with_query(path("v1", "secrets", namespace), fieldSelector=_IRRELEVANT)
        self._namespace = namespace
        self._changed = changed
        self._backoff = backoff
        self._chance = chance
        self._versions: dict[tuple[str, str], str] = {}
        self._resume_at: str | None = None
        self._heard_at: float | None = None
        self._trouble: str | None = None
        self.synced = asyncio.Event()
        """Set once the first list is in."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard at the moment, or None."""
        return self._trouble

    def version(self, namespace: str, name: str) -> str | None:
        """ResourceVersion of a Secret, empty where there is none; None while that is not known for sure."""
        if not self.synced.is_set() or self._trouble is not None:
            return None
        return self._versions.get((namespace, name), "")

    def seconds_since_last_event(self) -> float:
        """Seconds since the API server was last heard of: a list, an event or a bookmark; inf before the first."""
        now = asyncio.get_running_loop().time()
        return float("inf") if self._heard_at is None else now - self._heard_at

    async def run(self) -> None:
        """Follow until cancelled, whatever happens."""
        failures = 0
        while True:
            heard_before = self._heard_at
            try:
                await self._follow()
                failures = 0
                # A proxy that ends every watch at once must not be asked a thousand times a second.
                await asyncio.sleep(_PAUSE * self._chance())
            except KubernetesError as error:
                self._trouble = error.message
                # Hearing anything since the last failure means that the server was well in between.
                failures = failures + 1 if self._heard_at == heard_before else 1
                if error.status == _GONE or failures >= _DOUBTFUL:
                    self._resume_at = None
                delay = error.retry_after or self._backoff.delay(failures, self._chance())
                _log.warning(
                    "secrets are not watched", namespace=self._namespace, message=error.message, again_in=delay
                )
                await asyncio.sleep(delay)

    async def _follow(self) -> None:
        """One watch, from where the last one ended, or from a new list."""
        if self._resume_at is None:
            await self._list()
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._resume_at or "",
            "timeoutSeconds": str(_LONGEST),
        }
        events = self._client.watch(with_query(self._url, **query), accept=_EVENT, idle_timeout=_SILENCE)
        async with contextlib.aclosing(events):
            async for event in events:
                self._take(event)

    async def _list(self) -> None:
        found: dict[tuple[str, str], str] = {}
        version = ""
        async for page in self._client.pages(self._url, accept=_LIST):
            self._heard()
            version = page["metadata"]["resourceVersion"]
            found.update(_identity(item) for item in page.get("items") or ())
        known, self._versions = self._versions, found
        self._resume_at = version
        if self.synced.is_set():
            self._tell_differences(known, found)
        self.synced.set()

    def _tell_differences(self, known: dict[tuple[str, str], str], found: dict[tuple[str, str], str]) -> None:
        for key, version in found.items():
            if known.get(key) != version:
                self._changed(*key, version)
        for key in known.keys() - found.keys():
            self._changed(*key, None)

    def _take(self, event: Body) -> None:
        """One line of a watch.

        Raises:
            KubernetesUnavailable: the server ends the watch with an error; 410 if it has forgotten where we are.
        """
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR" or "metadata" not in item:
            raise KubernetesUnavailable(str(item.get("message") or "A watch ended in pieces."), status=item.get("code"))
        self._heard()
        self._resume_at = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        key, version = _identity(item)
        if kind == "DELETED":
            self._versions.pop(key, None)
            self._changed(*key, None)
        elif self._versions.get(key) != version:
            self._versions[key] = version
            self._changed(*key, version)

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._trouble = None


def _identity(item: dict[str, Any]) -> tuple[tuple[str, str], str]:
    """Namespace and name, and version: all that is kept of a Secret's metadata."""
    metadata = item["metadata"]
    return (metadata["namespace"], metadata["name"]), metadata["resourceVersion"]
