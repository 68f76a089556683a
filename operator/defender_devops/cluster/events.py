"""Events on the two resources (events.k8s.io/v1), written behind the back of the reconcile that has something to say.

A repeat of the same event within a few minutes counts up its series instead of making another object. An event that
cannot be written is dropped: it is for people to read, and its condition is in the status anyway.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from defender_devops.api.names import FIELD_MANAGER
from defender_devops.cluster.client import MERGE_PATCH, Body, KubernetesClient, path
from defender_devops.errors import KubernetesError

__all__ = ["Events"]

_GROUP: Final = "events.k8s.io/v1"
_WAITING_MAX: Final = 1000
_SERIES: Final = timedelta(minutes=6)
_KNOWN_MAX: Final = 4096
_NOTE_MAX: Final = 1024

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Event:
    regarding: Mapping[str, str]
    type: str
    reason: str
    note: str
    at: datetime


@dataclass(slots=True)
class _Series:
    """An event that was written, and how often it has been seen since."""

    name: str
    count: int
    last: datetime


class Events:
    """Writes events one after the other.

    Args:
        client: the API.
        instance: who writes: the pod's name.
    """

    def __init__(self, client: KubernetesClient, instance: str) -> None:
        self._client = client
        self._instance = instance
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_WAITING_MAX)
        self._series: dict[tuple[str, str, str], _Series] = {}

    def emit(self, body: Mapping[str, Any], kind: str, reason: str, note: str) -> None:
        """Say something about a resource; returns at once and never raises.

        Args:
            body: the resource.
            kind: `Normal` or `Warning`.
            reason: a reason constant.
            note: words for people, without secrets.
        """
        metadata = body["metadata"]
        regarding = {
            "apiVersion": body["apiVersion"],
            "kind": body["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        event = _Event(regarding, kind, reason, note[:_NOTE_MAX], datetime.now(UTC))
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            _log.warning("event dropped", reason=reason, cause="too many are waiting")

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                await self._write(event)
            except KubernetesError as error:
                # 403 above all: in a namespace that is going nothing new is taken.
                _log.info("event not written", reason=event.reason, message=error.message)

    async def _write(self, event: _Event) -> None:
        key = (event.regarding["uid"], event.reason, event.note)
        known = self._series.get(key)
        if known is not None and event.at - known.last < _SERIES:
            known.count, known.last = known.count + 1, event.at
            series = {"count": known.count, "lastObservedTime": _micro_time(event.at)}
            await self._client.patch(self._path(event, known.name), {"series": series}, MERGE_PATCH)
            return
        name = f"{event.regarding['name'][:200]}.{uuid.uuid4().hex[:16]}"
        await self._client.create(self._path(event), self._body(event, name))
        if len(self._series) >= _KNOWN_MAX:
            self._series.clear()
        self._series[key] = _Series(name, 1, event.at)

    def _body(self, event: _Event, name: str) -> Body:
        return {
            "apiVersion": _GROUP,
            "kind": "Event",
            "metadata": {"name": name, "namespace": event.regarding["namespace"]},
            "eventTime": _micro_time(event.at),
            "reportingController": f"{FIELD_MANAGER}",
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "regarding": dict(event.regarding),
            "note": event.note,
        }

    @staticmethod
    def _path(event: _Event, name: str | None = None) -> str:
        return path(_GROUP, "events", event.regarding["namespace"], name)


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
