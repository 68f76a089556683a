"""Which key is due when: a heap that forgets lazily."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["DelayQueue"]

K = TypeVar("K", bound=Hashable)

_SMALLEST_SWEEP = 64  # stale entries that are not worth a sweep


class DelayQueue(Generic[K]):
    """At most one due time for each key.

    Setting and discarding cost O(log n): an entry that no longer counts stays in the heap until it comes up, or until
    stale ones outnumber the others and one sweep drops them all.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._current: dict[K, tuple[float, int]] = {}
        self._ticket = itertools.count()

    def __len__(self) -> int:
        return len(self._current)

    def set(self, key: K, at: float) -> None:
        """Let `key` be due at `at`, in place of any time before."""
        ticket = next(self._ticket)  # also spares the heap from comparing keys
        self._current[key] = (at, ticket)
        heapq.heappush(self._heap, (at, ticket, key))
        self._sweep()

    def discard(self, key: K) -> None:
        """Drop the due time of `key`, if there is one."""
        if self._current.pop(key, None) is not None:
            self._sweep()

    def get(self, key: K) -> float | None:
        """When `key` is due, or None."""
        current = self._current.get(key)
        return None if current is None else current[0]

    def earliest(self) -> float | None:
        """The next due time of all, or None."""
        self._drop_stale_top()
        return self._heap[0][0] if self._heap else None

    def pop_until(self, now: float) -> Iterator[K]:
        """Take out every key that is due by `now`, the earliest first."""
        while (at := self.earliest()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._current[key]
            yield key

    def _counts(self, entry: tuple[float, int, K]) -> bool:
        current = self._current.get(entry[2])
        return current is not None and current[1] == entry[1]

    def _drop_stale_top(self) -> None:
        while self._heap and not self._counts(self._heap[0]):
            heapq.heappop(self._heap)

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._current) + _SMALLEST_SWEEP:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapq.heapify(self._heap)
