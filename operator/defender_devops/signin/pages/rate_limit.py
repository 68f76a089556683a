"""A rate limit for the pages, so that requests to them cannot keep the operator from its work."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["RateLimit"]

_CLIENTS_MAX: Final = 4096
"""Clients that are remembered; the least recently seen one is dropped first."""


@dataclass
class RateLimit:
    """A token bucket for each client, and one for all of them together.

    Attributes:
        burst: requests of one client at once.
        per_second: sustained requests of one client.
        all_burst: requests of all clients at once.
        all_per_second: sustained requests of all clients.
        monotonic: returns seconds of a monotonic clock.
    """

    burst: float
    per_second: float
    all_burst: float
    all_per_second: float
    monotonic: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _all: tuple[float, float] | None = None

    def acquire(self, client: str) -> int:
        """Take one request out of the client's bucket and the common one.

        Returns:
            0 if the request is allowed, otherwise the whole seconds to wait (Retry-After).
        """
        now = self.monotonic()
        client_level = _level(self._buckets.get(client), now, self.burst, self.per_second)
        common_level = _level(self._all, now, self.all_burst, self.all_per_second)
        is_allowed = client_level >= 1 and common_level >= 1
        self._buckets[client] = (client_level - is_allowed, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _CLIENTS_MAX:
            self._buckets.popitem(last=False)
        self._all = (common_level - is_allowed, now)
        if is_allowed:
            return 0
        client_wait = math.ceil((1 - client_level) / self.per_second)
        return max(client_wait, math.ceil((1 - common_level) / self.all_per_second), 1)


def _level(bucket: tuple[float, float] | None, now: float, burst: float, per_second: float) -> float:
    """Requests in a bucket at present."""
    if bucket is None:
        return burst
    level, updated_at = bucket
    return min(burst, level + (now - updated_at) * per_second)
