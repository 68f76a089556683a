"""The pace of requests in the background, so that everything else under the same account comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.clock import MIN_DELAY, Clock

__all__ = ["Pace", "Paces"]


@dataclass
class Pace:
    """Turns of one account's background requests: one at a time, at an interval, within a share of the rate limit.

    Args:
        interval: seconds between two requests.
        share: part of the rate limit that may be used, above 0 and at most 1.
        clock: time.
    """

    interval: float
    share: float
    clock: Clock = field(default_factory=Clock)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _latest_turn: float = float("-inf")

    async def wait_for_turn(self, rate_limiter: RateLimiter) -> None:
        """Wait until a request may be sent. Those who wait get their turns in the order of their calls."""
        async with self._lock:
            while (delay := self._delay(rate_limiter)) > MIN_DELAY:
                await self.clock.sleep(delay)
            self._latest_turn = self.clock.monotonic()

    def _delay(self, rate_limiter: RateLimiter) -> float:
        until_interval = self._latest_turn + self.interval - self.clock.monotonic()
        return max(until_interval, rate_limiter.background_delay(self.share))


@dataclass
class Paces:
    """The pace of each account; the arguments are those of `Pace`."""

    interval: float
    share: float
    clock: Clock = field(default_factory=Clock)
    _paces: dict[Hashable, Pace] = field(default_factory=dict)

    def pace(self, rate_limiter: RateLimiter) -> Pace:
        """Return the pace of the account that a rate limiter belongs to."""
        return self._paces.setdefault(id(rate_limiter), Pace(self.interval, self.share, self.clock))
