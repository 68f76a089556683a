"""Kubernetes events (events.k8s.io/v1) on the two kinds, written in the background so that a reconcile never waits.

Equal events about the same resource are one Event object whose series counts up: on the second occurrence immediately,
then at most once a minute; after six minutes without an occurrence the next one is a new Event. (client-go's recorder
works likewise, with longer times.)

An event that cannot be written is dropped and counted: events are for people, and the conditions hold the same facts.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import structlog

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.backoff import Backoff
from defender_devops.cluster.client import MERGE_PATCH, Body, KubernetesClient, api_path
from defender_devops.errors import KubernetesError, KubernetesNotFound, KubernetesUnavailable
from defender_devops.text import printable

__all__ = ["Events"]

_API: Final = "events.k8s.io/v1"
_QUEUE_MAX: Final = 1000
_SERIES_MAX: Final = 4096
_SERIES_INTERVAL: Final = 60.0
"""Seconds at least between two writes of one series, from the second on."""

_SERIES_END: Final = 360.0
"""Seconds without an occurrence after which a series is over."""

_NOTE_MAX_LENGTH: Final = 1024
"""Limit of the API in characters (noteLengthLimit in k8s.io/kubernetes/pkg/apis/core/validation)."""

_WRITERS: Final = 4
"""Writes at once: one after the other, the events of a thousand connectors would trail behind their statuses."""

_ATTEMPTS: Final = 3
_RETRY: Final = Backoff(initial=1.0, maximum=10.0)
_SHUTDOWN_SECONDS: Final = 2.0
"""Time to write the queued events when the operator ends."""

_log: Final = structlog.get_logger(__name__)


class _Key(NamedTuple):
    """Two events with equal keys belong to one series."""

    uid: str
    type: str
    reason: str
    note: str


@dataclass(slots=True)
class _Series:
    """Occurrences of an event, and what the API server has of them.

    Attributes:
        regarding: reference to the resource.
        action: what the operator was doing.
        first: time of the first occurrence; the Event's eventTime.
        last: time of the last occurrence.
        last_loop_time: the same on the event loop's clock.
        count: number of occurrences.
        name: name of the Event object; None until it is written.
        written_at: loop time of the last write; None before the first.
        is_pending: queued or waiting for a timer; the write will contain the latest count.
        lock: held during a write, so that an occurrence meanwhile becomes no second object.
    """

    regarding: Mapping[str, str]
    action: str
    first: datetime
    last: datetime
    last_loop_time: float
    count: int = 0
    name: str | None = None
    written_at: float | None = None
    is_pending: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def counted(self) -> Body:
        """Return the `series` field of the Event."""
        return {"count": self.count, "lastObservedTime": _micro_time(self.last)}


class Events:
    """Queues events and writes a few of them at a time.

    Args:
        client: Kubernetes API client.
        instance: reporting instance: the pod's name.
        on_dropped: called for each event that could not be written.
    """

    def __init__(self, client: KubernetesClient, instance: str, on_dropped: Callable[[], None] = lambda: None) -> None:
        self._client = client
        self._instance = instance
        self._on_dropped = on_dropped
        self._queue: asyncio.Queue[_Key] = asyncio.Queue(_QUEUE_MAX)
        self._series: OrderedDict[_Key, _Series] = OrderedDict()

    def emit(self, body: Mapping[str, Any], kind: str, reason: str, note: str, action: str = "Reconcile") -> None:
        """Queue an event about a resource; returns immediately and never raises.

        Args:
            body: the resource.
            kind: `Normal` or `Warning`.
            reason: one of the operator's reasons.
            note: message for people, without secrets.
            action: what the operator was doing, in one word.
        """
        loop = asyncio.get_running_loop()
        key = _Key(body["metadata"]["uid"], kind, reason, printable(note)[:_NOTE_MAX_LENGTH])
        now, moment = loop.time(), datetime.now(UTC)
        series = self._series.pop(key, None)
        if series is None or not (series.is_pending or now - series.last_loop_time < _SERIES_END):
            while len(self._series) >= _SERIES_MAX:
                self._series.popitem(last=False)
            series = _Series(_object_reference(body), action, moment, moment, now)
        self._series[key] = series  # last in the order, so that the series unused for longest is evicted first
        series.count += 1
        series.last, series.last_loop_time = moment, now
        if series.is_pending:
            return
        series.is_pending = True
        if series.written_at is None or series.count == 2:  # noqa: PLR2004 - the second occurrence makes it a series
            self._enqueue(key)
        else:
            loop.call_at(series.written_at + _SERIES_INTERVAL, self._enqueue, key)

    async def run(self) -> None:
        """Write queued events until cancelled, then those still queued for at most two seconds."""
        try:
            async with asyncio.TaskGroup() as writers:
                for _ in range(_WRITERS):
                    writers.create_task(self._write_queued())
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_SECONDS):
                    while not self._queue.empty():
                        await self._write(self._queue.get_nowait())
            raise

    async def _write_queued(self) -> None:
        while True:
            await self._write(await self._queue.get())

    def _enqueue(self, key: _Key) -> None:
        try:
            self._queue.put_nowait(key)
        except asyncio.QueueFull:
            self._drop(key, "the queue is full")

    async def _write(self, key: _Key) -> None:
        """Write one event. Refusals are expected: a terminating namespace accepts no new objects (403)."""
        series = self._series.get(key)
        if series is None:
            self._drop(key, "evicted by newer events")
            return
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with series.lock:
                    await self._write_once(key, series)
            except KubernetesUnavailable as error:
                if attempt == _ATTEMPTS:
                    self._drop(key, error.message)
                else:
                    await asyncio.sleep(error.retry_after or _RETRY.delay(attempt, 0.0))
            except KubernetesError as error:
                self._drop(key, error.message)
                return
            else:
                return

    async def _write_once(self, key: _Key, series: _Series) -> None:
        loop = asyncio.get_running_loop()
        series.is_pending = False
        namespace = series.regarding["namespace"]
        if series.name is not None:
            # Set before the write, so that an occurrence during it waits for its interval.
            series.written_at = loop.time()
            try:
                url = api_path(_API, "events", namespace, series.name)
                await self._client.patch(url, {"series": series.counted()}, MERGE_PATCH)
            except KubernetesNotFound:  # the API server keeps events for an hour by default
                series.name, series.first = None, series.last
            else:
                return
        # The name begins like the resource's, and is cut so that it stays a valid name.
        name = f"{series.regarding['name'][:200].rstrip('-.')}.{uuid.uuid4().hex[:16]}"
        body = {
            "apiVersion": _API,
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": _micro_time(series.first),
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self._instance,
            "action": series.action,
            "type": key.type,
            "reason": key.reason,
            "regarding": dict(series.regarding),
            "note": key.note,
        }
        body |= {"series": series.counted()} if series.count > 1 else {}
        await self._client.create(api_path(_API, "events", namespace), body)
        series.name, series.written_at = name, loop.time()

    def _drop(self, key: _Key, cause: str) -> None:
        series = self._series.get(key)
        if series is not None:
            series.is_pending = False
        _log.info("event not written", reason=key.reason, cause=cause)
        self._on_dropped()


def _object_reference(body: Mapping[str, Any]) -> Mapping[str, str]:
    fields = ("namespace", "name", "uid", "resourceVersion")
    metadata = {field: body["metadata"][field] for field in fields}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], **metadata}


def _micro_time(moment: datetime) -> str:
    """Return a UTC time in the format of metav1.MicroTime."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
