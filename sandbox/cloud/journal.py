"""A journal of all requests and their effects, for tests that count writes.

Secrets never reach it: one-time codes and refresh tokens are written as their SHA-256, bodies and query strings not at
all.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry", "Filter", "Journal"]


@dataclass(slots=True)
class Entry:
    """One request and its effect.

    Attributes:
        seq: counts up from 1, without gaps.
        time: wall time of the answer, seconds since the epoch.
        service: `arm`, `authority`, `devAzure`, …
        operation: the API's name of the operation (`SecurityConnectors_CreateOrUpdate`), empty where none was found.
        principal: name of the calling application or account.
        status: HTTP status; 0 where the connection was cut.
        effects: what changed in the world, each with a `kind`.
        codes: SHA-256 of one-time codes and refresh tokens that the request carried.
        fault: id of the fault that met this request.
    """

    seq: int
    time: float
    service: str
    method: str
    path: str
    operation: str
    principal: str | None
    status: int
    effects: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    client_request_id: str | None = None
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry as the control interface gives it; empty parts are left out."""
        values = {
            "seq": self.seq,
            "time": self.time,
            "service": self.service,
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "principal": self.principal,
            "status": self.status,
            "effects": self.effects,
            "codes": self.codes,
            "clientRequestId": self.client_request_id,
            "fault": self.fault,
        }
        return {name: value for name, value in values.items() if value not in (None, [], "")}


@dataclass(frozen=True, slots=True)
class Filter:
    """Selection of entries; a criterion that is None matches everything.

    Attributes:
        since: only entries after this `seq`.
        path: regular expression that is searched in the path, without regard to case.
        principal: exact name.
        effective: only entries with an effect.
    """

    since: int = 0
    service: str | None = None
    method: str | None = None
    path: re.Pattern[str] | None = None
    operation: str | None = None
    principal: str | None = None
    effective: bool = False

    def matches(self, entry: Entry) -> bool:
        """Whether the entry matches."""
        return (
            entry.seq > self.since
            and self.service in (None, entry.service)
            and self.method in (None, entry.method)
            and self.operation in (None, entry.operation)
            and self.principal in (None, entry.principal)
            and (self.path is None or self.path.search(entry.path) is not None)
            and (not self.effective or bool(entry.effects))
        )


class Journal:
    """The last `bound` requests, in memory."""

    def __init__(self, bound: int = 100_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=bound)
        self._entry_added = asyncio.Event()
        self.last = 0

    def append(self, entry: Entry) -> None:
        """Add an entry with the next number and wake waiting readers."""
        self.last += 1
        entry.seq = self.last
        self._entries.append(entry)
        if not self._entry_added.is_set():
            self._entry_added.set()

    def clear(self) -> None:
        """Drop all entries; numbering continues."""
        self._entries.clear()

    def select(self, filters: Filter, limit: int) -> list[Entry]:
        """Return the first `limit` matching entries, oldest first."""
        entries: list[Entry] = []
        for entry in self._entries:
            if filters.matches(entry):
                entries.append(entry)
                if len(entries) == limit:
                    break
        return entries

    async def wait(self, filters: Filter, limit: int, seconds: float) -> list[Entry]:
        """Like `select`, but wait up to `seconds` (real time) for the first entry."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (entries := self.select(filters, limit)):
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return []
            # Cleared before waiting: an entry that comes in between sets it again.
            self._entry_added.clear()
            try:
                await asyncio.wait_for(self._entry_added.wait(), remaining)
            except TimeoutError:
                return self.select(filters, limit)
        return entries
