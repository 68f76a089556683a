"""Events on the two resources (events.k8s.io/v1), written behind the back of the reconcile that has something to say.

The same words about the same resource are one event, whose series counts up: at once when they are said a second time,
then each minute at most, and after six minutes of silence they are news again. (client-go's recorder does likewise,
with longer times.)

An event that cannot be written is lost, and counted: it is for people to read, and its condition is in the status.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.backoff import Backoff
from defender_devops.cluster.client import MERGE_PATCH, Body, KubernetesClient, path
from defender_devops.errors import KubernetesError, KubernetesNotFound, KubernetesUnavailable

__all__ = ["Events"]

_API: Final = "events.k8s.io/v1"
_WAITING_MAX: Final = 1000
_REMEMBERED_MAX: Final = 4096
_SERIES_INTERVAL: Final = 60.0
_SERIES_END: Final = 360.0
_NOTE_MAX: Final = 1024
"""Characters; the limit of the API (noteLengthLimit in k8s.io/kubernetes/pkg/apis/core/validation)."""
_ATTEMPTS: Final = 3
_RETRY: Final = Backoff(initial=1.0, maximum=10.0)
_LAST_WORDS: Final = 2.0
"""Seconds to write what waits when the operator ends."""

_log: Final = structlog.get_logger(__name__)


class _Key(NamedTuple):
    """What makes two events the same."""

    uid: str
    type: str
    reason: str
    note: str


@dataclass(slots=True)
class _Series:
    """How often an event was seen, and what the API server knows of it.

    Attributes:
        regarding: the resource, as events name it.
        action: what was being done.
        first: when it was seen first; the event's time.
        last: when it was seen last.
        last_seen_at: the same on the event loop's clock.
        count: how often, in all.
        name: of the Event object; None while it is not written.
        written_at: loop time of the last write; None before the first.
        waits: it is in the queue or has a timer, so whoever writes it takes the newest count along.
    """

    regarding: Mapping[str, str]
    action: str
    first: datetime
    last: datetime
    last_seen_at: float
    count: int = 0
    name: str | None = None
    written_at: float | None = None
    waits: bool = False


class Events:
    """Takes events and writes them one after the other.

    Args:
        client: the API.
        instance: who writes: the pod's name.
        lost: told of each event that could not be written.
    """

    def __init__(self, client: KubernetesClient, instance: str, lost: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._instance = instance
        self._lost = lost
        self._waiting: asyncio.Queue[_Key] = asyncio.Queue(_WAITING_MAX)
        self._remembered: OrderedDict[_Key, _Series] = OrderedDict()

    def emit(self, body: Mapping[str, Any], kind: str, reason: str, note: str, action: str = "Reconcile") -> None:
        """Say something about a resource; returns at once and never raises.

        Args:
            body: the resource.
            kind: `Normal` or `Warning`.
            reason: a reason constant.
            note: words for people, without secrets.
            action: what was being done, in one word.
        """
        loop = asyncio.get_running_loop()
        key = _Key(body["metadata"]["uid"], kind, reason, note[:_NOTE_MAX])
        series = self._recall(key, loop.time())
        if series is None:
            moment = datetime.now(UTC)
            series = self._remembered[key] = _Series(_reference(body), action, moment, moment, loop.time())
        series.count += 1
        series.last, series.last_seen_at = datetime.now(UTC), loop.time()
        if series.waits:
            return
        series.waits = True
        if series.written_at is None or series.count == 2:  # noqa: PLR2004 - the second makes it a series
            self._put(key)
        else:
            loop.call_at(series.written_at + _SERIES_INTERVAL, self._put, key)

    async def run(self) -> None:
        """Write what comes, until cancelled; then what waits, as far as two seconds go."""
        try:
            while True:
                await self._write(await self._waiting.get())
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    while not self._waiting.empty():
                        await self._write(self._waiting.get_nowait())
            raise

    def _recall(self, key: _Key, now: float) -> _Series | None:
        """What is remembered of an event that is not over; forgets the oldest of too many."""
        series = self._remembered.pop(key, None)
        if series is not None and (series.waits or now - series.last_seen_at < _SERIES_END):
            self._remembered[key] = series
            return series
        while len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return None

    def _put(self, key: _Key) -> None:
        try:
            self._waiting.put_nowait(key)
        except asyncio.QueueFull:
            self._lose(key, "too many are waiting")

    async def _write(self, key: _Key) -> None:
        """Write one event; 403 above all is no trouble: a namespace that is going takes nothing new."""
        series = self._remembered.get(key)
        if series is None:
            self._lose(key, "too many are remembered")
            return
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._write_once(key, series)
            except KubernetesUnavailable as error:
                if attempt == _ATTEMPTS:
                    self._lose(key, error.message)
                else:
                    await asyncio.sleep(error.retry_after or _RETRY.delay(attempt, 0.0))
            except KubernetesError as error:
                self._lose(key, error.message)
                return
            else:
                return

    async def _write_once(self, key: _Key, series: _Series) -> None:
        series.waits = False
        namespace = series.regarding["namespace"]
        if series.name is not None:
            series.written_at = asyncio.get_running_loop().time()  # now, for what is said during the write
            try:
                await self._client.patch(
                    path(_API, "events", namespace, series.name), {"series": _counted(series)}, MERGE_PATCH
                )
            except KubernetesNotFound:  # the API server keeps events for an hour
                series.name, series.first = None, series.last
        if series.name is None:
            name = _event_name(series.regarding["name"])
            await self._client.create(path(_API, "events", namespace), self._body(key, series, name))
            series.name, series.written_at = name, asyncio.get_running_loop().time()

    def _body(self, key: _Key, series: _Series, name: str) -> Body:
        body = {
            "apiVersion": _API,
            "kind": "Event",
            "metadata": {"name": name, "namespace": series.regarding["namespace"]},
            "eventTime": _micro_time(series.first),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance,
            "action": series.action,
            "type": key.type,
            "reason": key.reason,
            "regarding": dict(series.regarding),
            "note": key.note,
        }
        return body | ({"series": _counted(series)} if series.count > 1 else {})

    def _lose(self, key: _Key, cause: str) -> None:
        series = self._remembered.get(key)
        if series is not None:
            series.waits = False
        _log.info("event not written", reason=key.reason, cause=cause)
        self._lost()


def _reference(body: Mapping[str, Any]) -> Mapping[str, str]:
    metadata = body["metadata"]
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _event_name(name: str) -> str:
    """A name of its own that begins like the resource's, cut so that it stays a valid one."""
    return f"{name[:200].rstrip('-.')}.{uuid.uuid4().hex[:16]}"


def _counted(series: _Series) -> Body:
    return {"count": series.count, "lastObservedTime": _micro_time(series.last)}


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
