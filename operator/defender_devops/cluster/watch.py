"""List and watch one collection of objects, as client-go's Reflector does.

A list gives all objects and a resourceVersion; a watch gives the changes after that version. A watch that ends is
resumed at the last version that was received, bookmarks included, so that the collection is listed again only when the
API server no longer knows that version.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from defender_devops.backoff import Backoff
from defender_devops.cluster.client import JSON, Body, KubernetesClient, path_with_query
from defender_devops.errors import KubernetesError, KubernetesRefused, KubernetesUnavailable
from defender_devops.supervision import OnFailure

__all__ = ["Change", "ListWatch", "Listing", "watch_objects"]

_WATCH_SECONDS: Final = 290
"""Seconds after which the server is asked to end a watch: less than the idle limits of common load balancers."""

_IDLE_TIMEOUT: Final = 200.0
"""Seconds without a byte after which a watch counts as stalled. The server promises a bookmark about every minute
(defaultBookmarkFrequency in k8s.io/apiserver), but in an idle collection the first one comes after two minutes
(measured with Kubernetes 1.37)."""

_PAUSE: Final = 1.0
"""Seconds at most between two watches: a proxy that ends every watch immediately must not cause a busy loop."""

_GONE: Final = 410

_REFUSED_BACKOFF: Final = Backoff(initial=10.0, maximum=600.0)
"""Delays after a refusal, such as a missing permission: only a person can end it."""

_MAX_RESUME_FAILURES: Final = 5
"""Consecutive failures after which the collection is listed again. A cluster restored from a backup has not reached the
resourceVersion yet, and does not answer 410 (Gone) for it."""

T = TypeVar("T")

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """All objects of the collection; replaces everything reported so far."""

    items: list[T]


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object was added, modified or deleted since the listing."""

    item: T
    is_deletion: bool


class ListWatch(Generic[T]):
    """One collection that is listed, watched, and listed again where necessary.

    Args:
        client: Kubernetes API client.
        url: path of the collection, with selectors.
        convert: reduces each object on arrival; what it drops is never kept in memory.
        list_accept: media type of the list.
        watch_accept: media type of the events' objects.
        backoff: delays between failed attempts; after a refusal they are longer.
        chance: source of random numbers in [0, 1), for jitter.
        on_failure: counts events that cannot be used and are skipped.
    """

    def __init__(
        self,
        client: KubernetesClient,
        url: str,
        convert: Callable[[Body], T],
        *,
        list_accept: str = JSON,
        watch_accept: str = JSON,
        backoff: Backoff = Backoff(initial=1.0, maximum=30.0),  # noqa: B008 - frozen
        chance: Callable[[], float] = random.random,
        on_failure: OnFailure = lambda _component: None,
    ) -> None:
        self._client = client
        self._url = url
        self._on_failure = on_failure
        self._convert = convert
        self._list_accept = list_accept
        self._watch_accept = watch_accept
        self._backoff = backoff
        self._chance = chance
        self._resume_version: str | None = None
        self._last_activity: float | None = None
        self.is_synced = False
        """Whether the collection was listed at least once."""
        self.error_message: str | None = None
        """Why the API server cannot be read at the moment, or None."""

    def seconds_since_last_event(self) -> float:
        """Seconds since the last list page, event or bookmark arrived; infinity before the first."""
        now = asyncio.get_running_loop().time()
        return float("inf") if self._last_activity is None else now - self._last_activity

    async def updates(
        self, *, is_fatal: Callable[[KubernetesError], bool] = lambda _: False
    ) -> AsyncGenerator[Listing[T] | Change[T]]:
        """Yield listings and changes until cancelled.

        Args:
            is_fatal: whether an error is raised instead of retried.

        Raises:
            KubernetesError: a fatal one.
        """
        failures = 0
        while True:
            previous_activity = self._last_activity
            try:
                if self._resume_version is None:
                    yield await self._list()
                async with contextlib.aclosing(self._watch(self._resume_version or "")) as changes:
                    async for change in changes:
                        yield change
                failures = 0
                await asyncio.sleep(_PAUSE * self._chance())
            except KubernetesError as error:
                if is_fatal(error):
                    raise
                self.error_message = error.message
                # Activity since the last failure means that the server was reachable in between.
                failures = failures + 1 if self._last_activity == previous_activity else 1
                if error.status == _GONE or failures >= _MAX_RESUME_FAILURES:
                    self._resume_version = None
                backoff = _REFUSED_BACKOFF if isinstance(error, KubernetesRefused) else self._backoff
                delay = error.retry_after or backoff.delay(failures, self._chance())
                _log.warning("watch interrupted", url=self._url, message=error.message, retry_in=delay)
                await asyncio.sleep(delay)

    async def _list(self) -> Listing[T]:
        """All objects. Nothing is remembered of a list that fails halfway.

        Raises:
            KubernetesUnavailable: the list cannot be watched from, as it has no resourceVersion.
        """
        items: list[T] = []
        version: str | None = None
        async for page in self._client.pages(self._url, accept=self._list_accept):
            self._record_activity()
            version = _resource_version(page)
            if version is None:
                raise KubernetesUnavailable("The list has no resourceVersion.")
            items += [self._convert(item) for item in page.get("items") or ()]
        self._resume_version = version
        self.is_synced = True
        return Listing(items)

    async def _watch(self, version: str) -> AsyncGenerator[Change[T]]:
        """Changes after a version until the server ends the watch.

        Raises:
            KubernetesUnavailable: the watch ended with an error; status 410 if the server no longer knows the version.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        events = self._client.watch(
            path_with_query(self._url, **query), accept=self._watch_accept, idle_timeout=_IDLE_TIMEOUT
        )
        async with contextlib.aclosing(events):
            async for event in events:
                kind, item = event.get("type"), event.get("object")
                # An ERROR event holds a Status, whose metadata has no resourceVersion.
                if kind == "ERROR" or not isinstance(item, dict) or "metadata" not in item:
                    status = item if isinstance(item, dict) else {}
                    message = str(status.get("message") or "The watch ended with an incomplete event.")
                    code = status.get("code")
                    raise KubernetesUnavailable(message, status=code if isinstance(code, int) else None)
                self._record_activity()
                resource_version = _resource_version(item)
                if resource_version is None:
                    # Nothing can be concluded from the event, and it is no reason to end the watch.
                    _log.warning("event without a resourceVersion skipped", url=self._url, event_type=kind)
                    self._on_failure("watch")
                    continue
                self._resume_version = resource_version
                if kind != "BOOKMARK":
                    yield Change(self._convert(item), kind == "DELETED")

    def _record_activity(self) -> None:
        self._last_activity = asyncio.get_running_loop().time()
        self.error_message = None


def _resource_version(body: Body) -> str | None:
    """Return the resourceVersion of an object or a list; None if it is missing or no text."""
    metadata = body.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) and version else None


async def watch_objects(
    client: KubernetesClient,
    url: str,
    *,
    backoff: Backoff = Backoff(initial=2.0, maximum=10.0),  # noqa: B008 - frozen
    chance: Callable[[], float] = random.random,
) -> AsyncGenerator[list[Body]]:
    """Yield all objects of a collection now and again after each change, until cancelled.

    An unavailable API server is retried once the first list has succeeded.

    Args:
        client: Kubernetes API client.
        url: path of the collection, with selectors.
        backoff: delays between failed attempts.
        chance: source of random numbers in [0, 1), for jitter.

    Raises:
        KubernetesError: the first list failed, or a permission is missing.
    """
    list_watch = ListWatch(client, url, lambda body: body, backoff=backoff, chance=chance)
    objects: dict[str, Body] = {}
    updates = list_watch.updates(
        is_fatal=lambda error: not list_watch.is_synced or isinstance(error, KubernetesRefused)
    )
    async with contextlib.aclosing(updates):
        async for update in updates:
            match update:
                case Listing(items):
                    objects = {item["metadata"]["uid"]: item for item in items}
                case Change(item, is_deletion=True):
                    objects.pop(item["metadata"]["uid"], None)
                case Change(item):
                    objects[item["metadata"]["uid"]] = item
            yield list(objects.values())
