"""What is due at which moment of inner time.

There are no background tasks: whoever looks at the world settles it first, and everything due until then happens in
the order of its times. So moving the clock by eight hours does exactly what eight hours do.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Callables by the moment at which they are due; each is told that moment."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, happening: Callable[[float], None]) -> None:
        """Let something happen at a moment; a past one happens at the next settling."""
        heapq.heappush(self._heap, (moment, next(self._order), happening))

    def run_due(self, now: float) -> None:
        """Let everything happen that is due by now."""
        while self._heap and self._heap[0][0] <= now:
            moment, _, happening = heapq.heappop(self._heap)
            happening(moment)

    def __len__(self) -> int:
        """How many happenings are to come."""
        return len(self._heap)
