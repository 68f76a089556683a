"""How fast one identity may ask Azure DevOps.

Azure DevOps gives each identity 200 throughput units in a sliding five minutes, and Defender for Cloud spends from the
same ones where it works under the same account. Long before it refuses, it says so: `Retry-After` comes with a good
answer too, and means "slow down", not "ask again". (learn.microsoft.com/azure/devops/integrate/concepts/rate-limits)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from defender_devops.errors import AzureDevOpsUnavailable

__all__ = ["RateLimitHeaders", "RateLimiter"]

LONGEST_WAIT: Final = 15.0
"""Seconds that a request waits for its turn; beyond that its caller does something else meanwhile."""

_CONCURRENCY: Final = 4
"""Requests of one identity at once: checks are small, and Defender's own work comes first."""


@dataclass(frozen=True)
class RateLimitHeaders:
    """The X-RateLimit headers of an answer that came while a limit was near.

    Attributes:
        resource: what is limited, as the service calls it.
        delay: seconds that the service held the request back.
        limit: units in the window.
        remaining: units that are left.
        reset: when the window is fresh again, seconds since the epoch.
    """

    resource: str
    delay: float | None
    limit: float | None
    remaining: float | None
    reset: float | None


@dataclass
class RateLimiter:
    """The pace of one identity.

    Args:
        monotonic: seconds that never jump.
        wall: seconds since the epoch.
        sleep: waits.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENCY))
    rate_limit: RateLimitHeaders | None = None
    _not_before: float = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next request may go out."""
        return max(0.0, self._not_before - self.monotonic())

    async def turn(self) -> None:
        """Wait for the next request's turn.

        Raises:
            AzureDevOpsUnavailable: it is too far away to be waited for; `retry_after` says when it comes.
        """
        while (seconds := self.wait) > 0:
            if seconds > LONGEST_WAIT:
                raise AzureDevOpsUnavailable(
                    f"Azure DevOps asks this account to slow down for {seconds:.0f} s. It is tried again after that.",
                    retry_after=seconds,
                )
            await self.sleep(seconds)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer says of the pace, whatever its status."""
        self.rate_limit = _rate_limit(headers) or self.rate_limit
        seconds = _number(headers.get("Retry-After"))
        if seconds is not None:
            self._not_before = max(self._not_before, self.monotonic() + seconds)
        elif self.rate_limit and self.rate_limit.remaining == 0 and self.rate_limit.reset is not None:
            until_reset = self.rate_limit.reset - self.wall()
            self._not_before = max(self._not_before, self.monotonic() + until_reset)


def _rate_limit(headers: Mapping[str, str]) -> RateLimitHeaders | None:
    resource = headers.get("X-RateLimit-Resource")
    if resource is None:
        return None
    delay, limit, remaining, reset = (
        _number(headers.get(f"X-RateLimit-{name}")) for name in ("Delay", "Limit", "Remaining", "Reset")
    )
    return RateLimitHeaders(resource, delay, limit, remaining, reset)


def _number(header: str | None) -> float | None:
    """A number of seconds or units; anything else in the header says nothing."""
    try:
        number = float(header) if header else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None
