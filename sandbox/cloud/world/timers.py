"""Callbacks at moments of inner time.

There are no background tasks: every request first runs the due callbacks, in the order of their times.
So moving the clock by eight hours has exactly the effect of eight hours passing.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Callbacks by due time; each is called with its due time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, happening: Callable[[float], None]) -> None:
        """Schedule a callback; one in the past runs with the next request."""
        heapq.heappush(self._heap, (moment, next(self._order), happening))

    def run_due(self, now: float) -> None:
        """Run all callbacks that are due by now."""
        while self._heap and self._heap[0][0] <= now:
            moment, _, happening = heapq.heappop(self._heap)
            happening(moment)

    def __len__(self) -> int:
        """Return the number of pending callbacks."""
        return len(self._heap)
