"""The rate limit of one account at Azure DevOps.

Azure DevOps grants each account 200 throughput units in a sliding five minutes, which the account shares with Defender
for Cloud where that authorizes with the same one. Long before a 429, `Retry-After` is part of successful responses; it
then means "slow down", not "send again". (learn.microsoft.com/azure/devops/integrate/concepts/rate-limits)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from defender_devops.clock import MIN_DELAY
from defender_devops.errors import WILL_RETRY, AzureDevOpsUnavailable
from defender_devops.http_client import retry_after_seconds

__all__ = ["RateLimitHeaders", "RateLimiter"]

MAX_DELAY: Final = 15.0
"""Seconds that a request may be delayed; its caller does something else during a longer delay."""

_WINDOW: Final = 300.0
"""Seconds of the sliding window, after which headers say nothing more."""

_BUSY_DELAY: Final = 1.0
"""Seconds that a background request waits while all other requests in flight use up the concurrency."""

_CONCURRENCY: Final = 4
"""Requests of one account at once: checks are small, and Defender's own work has precedence."""


@dataclass(frozen=True)
class RateLimitHeaders:
    """The X-RateLimit headers, which are part of responses near a limit.

    Attributes:
        resource: what is limited, in the service's words.
        delay: seconds for which the service delayed the request.
        limit: units in the window.
        remaining: remaining units.
        reset: end of the window, seconds since the epoch.
    """

    resource: str
    delay: float | None
    limit: float | None
    remaining: float | None
    reset: float | None


@dataclass
class RateLimiter:
    """Delays the requests of one account.

    Args:
        monotonic: seconds that never jump.
        wall: seconds since the epoch.
        sleep: sleeps.
        concurrency: limits the requests in flight.
        headers: of the last response near a limit.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    concurrency: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENCY))
    headers: RateLimitHeaders | None = None
    _not_before: float = 0.0
    _headers_at: float = 0.0

    @property
    def delay(self) -> float:
        """Seconds until the next request may be sent."""
        return max(0.0, self._not_before - self.monotonic())

    def background_delay(self, share: float) -> float:
        """Return the seconds for which a request that is not urgent has to wait.

        Args:
            share: part of the limit that such requests may use; the rest is left to all others.
        """
        delay = self.delay
        if self.concurrency.locked():
            delay = max(delay, _BUSY_DELAY)
        headers = self.headers
        if headers is None or headers.remaining is None or headers.limit is None or headers.reset is None:
            return delay
        if headers.remaining < (1.0 - share) * headers.limit:
            until_window_ends = self._headers_at + _WINDOW - self.monotonic()
            delay = max(delay, min(headers.reset - self.wall(), until_window_ends))
        return delay

    async def acquire(self) -> None:
        """Wait until the next request may be sent.

        Raises:
            AzureDevOpsUnavailable: that would take too long; `retry_after` says how long.
        """
        while (delay := self.delay) > MIN_DELAY:
            if delay > MAX_DELAY:
                raise AzureDevOpsUnavailable(
                    f"Azure DevOps asks this account to slow down for {delay:.0f} s. {WILL_RETRY}",
                    retry_after=delay,
                )
            await self.sleep(delay)

    def update(self, headers: Mapping[str, str]) -> None:
        """Apply the rate limit headers of a response, whatever its status."""
        resource = headers.get("X-RateLimit-Resource")
        if resource is not None:
            delay, limit, remaining, reset = (
                _number(headers.get(f"X-RateLimit-{name}")) for name in ("Delay", "Limit", "Remaining", "Reset")
            )
            self.headers = RateLimitHeaders(resource, delay, limit, remaining, reset)
            self._headers_at = self.monotonic()
        retry_after = retry_after_seconds(headers.get("Retry-After"), self.wall())
        if retry_after is not None:
            self._not_before = max(self._not_before, self.monotonic() + retry_after)
        # Without Retry-After, an exhausted window ends at its reset time.
        elif self.headers and self.headers.remaining == 0 and self.headers.reset is not None:
            until_reset = self.headers.reset - self.wall()
            self._not_before = max(self._not_before, self.monotonic() + until_reset)


def _number(header: str | None) -> float | None:
    """A number of seconds or units; None for anything else."""
    try:
        number = float(header) if header else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None
