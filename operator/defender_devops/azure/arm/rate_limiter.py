"""Rate limits of Azure, enforced here so that Azure does not have to reject requests with 429.

Azure Resource Manager fills one token bucket for each subscription, principal and kind of operation
(https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling); Resource Graph
counts the queries of a principal in a window (https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests).
All callers with the same principal share a limit and are served in order. Response headers correct it, because other
programs may use the same principal. Where Azure sends Retry-After, that time has precedence.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from defender_devops.clock import MIN_DELAY, Clock
from defender_devops.errors import WILL_RETRY, Throttled

__all__ = ["OperationKind", "RateLimitKey", "RateLimitState", "RateLimiter"]


class OperationKind(StrEnum):
    """Kinds of operations that Azure limits separately."""

    READS = "reads"
    WRITES = "writes"
    DELETES = "deletes"
    RESOURCE_GRAPH = "resource-graph"


@dataclass(frozen=True, slots=True)
class RateLimitKey:
    """One of Azure's limits.

    Attributes:
        principal: tenant and client that send the requests.
        kind: kind of operation.
        subscription: in lower case; empty for Resource Graph, whose limit depends on the principal alone.
    """

    principal: str
    kind: OperationKind
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """A limit as the metrics show it.

    Attributes:
        key: which limit.
        available: requests that could be sent now.
        blocked_seconds: remaining seconds of Azure's Retry-After.
    """

    key: RateLimitKey
    available: float
    blocked_seconds: float


class _Limit(ABC):
    """The arithmetic of one limit, without waiting."""

    @abstractmethod
    def available(self, now: float) -> float:
        """Return the number of requests that could be sent now."""

    @abstractmethod
    def delay(self, now: float, queue_length: int) -> float:
        """Return the seconds until a request could be sent after `queue_length` others."""

    @abstractmethod
    def count(self, now: float) -> None:
        """Count a request."""

    @abstractmethod
    def lower(self, now: float, available: float) -> None:
        """Lower the number of available requests to `available`; never raise it."""

    @abstractmethod
    def on_throttled(self, now: float, in_flight: int) -> None:
        """Correct the count after a 429 with Retry-After, while `in_flight` other requests have yet to arrive."""


class _TokenBucket(_Limit):
    """`capacity` requests at once, and `refill` requests a second after that."""

    def __init__(self, capacity: float, refill: float) -> None:
        self._capacity = capacity
        self._refill = refill
        self._tokens = capacity
        self._counted_at = 0.0

    def available(self, now: float) -> float:
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._counted_at) * self._refill)
        self._counted_at = now
        return self._tokens

    def delay(self, now: float, queue_length: int) -> float:
        return max(0.0, (queue_length + 1 - self.available(now)) / self._refill)

    def count(self, now: float) -> None:
        self._tokens = self.available(now) - 1

    def lower(self, now: float, available: float) -> None:
        self._tokens = min(self.available(now), available)

    def on_throttled(self, now: float, in_flight: int) -> None:
        self.lower(now, -in_flight)


class _Window(_Limit):
    """`capacity` requests in any `seconds`. A token bucket would permit twice as many across the edge of a window."""

    def __init__(self, capacity: int, seconds: float) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._times: deque[float] = deque()

    def available(self, now: float) -> float:
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        return self._capacity - len(self._times)

    def delay(self, now: float, queue_length: int) -> float:
        missing = int(queue_length + 1 - self.available(now))
        if missing <= 0:
            return 0.0
        windows, index = divmod(missing - 1, self._capacity)
        first = self._times[index] if index < len(self._times) else now
        return max(0.0, first + (windows + 1) * self._seconds - now)

    def count(self, now: float) -> None:
        self._times.append(now)

    def lower(self, now: float, available: float) -> None:
        for _ in range(int(self.available(now) - max(0.0, available))):
            self._times.append(now)

    def on_throttled(self, now: float, in_flight: int) -> None:  # noqa: ARG002 - the signature is the base's
        self._times.clear()  # Retry-After is the end of the service's window, so a new window begins then


class _Queue:
    """One limit and its callers, first come, first served."""

    def __init__(self, limit: _Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._front = asyncio.Lock()
        self._length = 0
        self._in_flight = 0
        self._blocked_until = float("-inf")

    def delay(self, queue_length: int) -> float:
        """Return the seconds until a request could be sent after `queue_length` others."""
        now = self._clock.monotonic()
        return max(self._blocked_until - now, 0.0, self._limit.delay(now, queue_length))

    def expected_delay(self) -> float:
        """Return the seconds that a new caller would wait."""
        return self.delay(self._length)

    async def acquire(self) -> None:
        # asyncio.Lock serves in order, and passes on when a waiting or sleeping holder is cancelled. A sleep that takes
        # too long loses nothing: the limit counts by the clock, so the next caller is served at once.
        self._length += 1
        try:
            async with self._front:
                while (delay := self.delay(0)) > MIN_DELAY:
                    await self._clock.sleep(delay)
                self._limit.count(self._clock.monotonic())
        finally:
            self._length -= 1
        self._in_flight += 1

    def release(self) -> None:
        self._in_flight -= 1

    def update_remaining(self, count: float) -> None:
        # The service has not counted the requests that are still in flight, except the one that it responds to.
        self._limit.lower(self._clock.monotonic(), count - max(0, self._in_flight - 1))

    def block(self, seconds: float) -> None:
        now = self._clock.monotonic()
        self._limit.on_throttled(now, max(0, self._in_flight - 1))
        self._blocked_until = max(self._blocked_until, now + seconds)

    def state(self, key: RateLimitKey) -> RateLimitState:
        now = self._clock.monotonic()
        return RateLimitState(key, self._limit.available(now), max(0.0, self._blocked_until - now))


_RESERVE: Final = 10
"""Requests of a bucket that are not used: Azure refills from the arrival of the first request, not from its start."""

_LIMITS: dict[OperationKind, Callable[[], _Limit]] = {
    OperationKind.READS: lambda: _TokenBucket(capacity=250 - _RESERVE, refill=25),
    OperationKind.WRITES: lambda: _TokenBucket(capacity=200 - _RESERVE, refill=10),
    OperationKind.DELETES: lambda: _TokenBucket(capacity=200 - _RESERVE, refill=10),
    OperationKind.RESOURCE_GRAPH: lambda: _Window(capacity=15, seconds=5),
}


class RateLimiter:
    """All limits of this process.

    Args:
        timeout: the longest that a caller may wait, in seconds. A caller that would wait longer gets an exception at
            once and is to come back later: it would occupy a slot that another subscription could use.
        clock: time.
    """

    def __init__(self, *, timeout: float = 10.0, clock: Clock | None = None) -> None:
        self._timeout = timeout
        self._clock = clock or Clock()
        self._queues: dict[RateLimitKey, _Queue] = {}

    def _queue(self, key: RateLimitKey) -> _Queue:
        if (queue := self._queues.get(key)) is None:
            queue = self._queues[key] = _Queue(_LIMITS[key.kind](), self._clock)
        return queue

    @asynccontextmanager
    async def request(self, key: RateLimitKey) -> AsyncIterator[None]:
        """Wait until a request may be sent and count it; the block is the time that it is in flight.

        Raises:
            Throttled: the wait would take longer than `timeout` seconds; `retry_after` says how long.
        """
        queue = self._queue(key)
        if (delay := queue.expected_delay()) > self._timeout:
            scope = f" in subscription {key.subscription}" if key.subscription else ""
            raise Throttled(
                f"The rate limit of Azure for {key.kind} of this identity{scope} is exhausted. {WILL_RETRY}",
                retry_after=delay,
            )
        await queue.acquire()
        try:
            yield
        finally:
            queue.release()

    def update_remaining(self, key: RateLimitKey, count: float) -> None:
        """Apply the number of remaining requests that a response header names."""
        self._queue(key).update_remaining(count)

    def block(self, key: RateLimitKey, seconds: float) -> None:
        """Send no request for so many seconds, as the service's Retry-After demands."""
        self._queue(key).block(seconds)

    def states(self) -> list[RateLimitState]:
        """Return the state of every limit that was ever used."""
        return [queue.state(key) for key, queue in self._queues.items()]
