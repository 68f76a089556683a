"""Keys that wait for a point in time: a heap with lazy deletion."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["DelayQueue"]

K = TypeVar("K", bound=Hashable)

_MIN_STALE_ENTRIES = 64  # fewer stale entries than this are never worth a pass over the heap


class DelayQueue(Generic[K]):
    """At most one due time for each key.

    Setting and discarding cost O(log n). An entry that was replaced or discarded stays in the heap until it reaches the
    top, or until stale entries outnumber the others and one pass removes them all.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._current: dict[K, tuple[float, int]] = {}
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def set(self, key: K, at: float) -> None:
        """Set the due time of `key`, replacing an earlier one."""
        number = next(self._sequence)  # breaks ties, so that the heap never compares keys
        self._current[key] = (at, number)
        heapq.heappush(self._heap, (at, number, key))
        self._compact()

    def discard(self, key: K) -> None:
        """Remove `key`, if it is scheduled."""
        if self._current.pop(key, None) is not None:
            self._compact()

    def earliest(self) -> float | None:
        """Return the earliest due time of all keys, or None if nothing is scheduled."""
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_until(self, now: float) -> Iterator[K]:
        """Remove and yield every key that is due by `now`, the earliest first."""
        while (at := self.earliest()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._current[key]
            yield key

    def _is_current(self, entry: tuple[float, int, K]) -> bool:
        current = self._current.get(entry[2])
        return current is not None and current[1] == entry[1]

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._current) + _MIN_STALE_ENTRIES:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)
