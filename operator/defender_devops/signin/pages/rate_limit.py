"""A limit on requests, so that nobody keeps the operator from its work through its pages."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["RateLimit"]

_KEYS_MAX: Final = 4096
"""Askers that are remembered; the one that was quiet longest is forgotten first."""


@dataclass
class RateLimit:
    """A token bucket for each asker, and one for all of them together.

    Args:
        burst: requests at once.
        per_second: requests for ever.
        all_burst: the same for all askers together.
        all_per_second: the same for all askers together.
        monotonic: seconds that never jump.
    """

    burst: float
    per_second: float
    all_burst: float
    all_per_second: float
    monotonic: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _all: tuple[float, float] | None = None

    def wait(self, asker: str) -> int:
        """Take one request from the asker's bucket.

        Returns:
            0 where it may go on, otherwise the whole seconds until it is worth asking again.
        """
        now = self.monotonic()
        own = _filled(self._buckets.get(asker), now, self.burst, self.per_second)
        everybody = _filled(self._all, now, self.all_burst, self.all_per_second)
        if own < 1 or everybody < 1:
            self._remember(asker, own, now)
            self._all = (everybody, now)
            return max(math.ceil((1 - own) / self.per_second), math.ceil((1 - everybody) / self.all_per_second), 1)
        self._remember(asker, own - 1, now)
        self._all = (everybody - 1, now)
        return 0

    def _remember(self, asker: str, level: float, now: float) -> None:
        self._buckets[asker] = (level, now)
        self._buckets.move_to_end(asker)
        if len(self._buckets) > _KEYS_MAX:
            self._buckets.popitem(last=False)


def _filled(bucket: tuple[float, float] | None, now: float, burst: float, per_second: float) -> float:
    if bucket is None:
        return burst
    level, then = bucket
    return min(burst, level + (now - then) * per_second)
