"""What may still be asked of Azure, kept here before Azure has to say 429.

Azure Resource Manager fills one bucket for each subscription, principal and kind of operation
(https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling); Resource Graph
counts queries of a principal in a window (https://learn.microsoft.com/azure/governance/resource-graph/concepts/guidance-for-throttled-requests).
Whoever uses the same principal draws from the same bucket here, in the order of asking. What the answers tell
corrects it: others may draw from Azure's bucket too. Where Azure names a time (Retry-After), that time wins.
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

from defender_devops.clock import Clock
from defender_devops.errors import Throttled

__all__ = ["Budget", "BudgetKey", "BudgetLeft", "OperationKind"]


class OperationKind(StrEnum):
    """What Azure counts apart."""

    READS = "reads"
    WRITES = "writes"
    DELETES = "deletes"
    RESOURCE_GRAPH = "resource-graph"


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """One of Azure's buckets.

    Attributes:
        principal: who asks: tenant and client.
        kind: what is asked.
        subscription: in lower case; empty for Resource Graph, which counts by principal alone.
    """

    principal: str
    kind: OperationKind
    subscription: str = ""


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """A bucket as a metric shows it.

    Attributes:
        key: which bucket.
        available: requests that could be made at once.
        waiting: callers in line.
        blocked_seconds: how long Azure asked to wait, what is left of it.
    """

    key: BudgetKey
    available: float
    waiting: int
    blocked_seconds: float


class _Limit(ABC):
    """The arithmetic of one bucket, without waiting."""

    @abstractmethod
    def available(self, now: float) -> float:
        """Requests that could be made at once."""

    @abstractmethod
    def delay(self, now: float, ahead: int) -> float:
        """Seconds until a request could be made, with `ahead` others before it."""

    @abstractmethod
    def take(self, now: float) -> None:
        """Count a request."""

    @abstractmethod
    def lower(self, now: float, available: float) -> None:
        """Believe that no more than `available` requests could be made; never more than is known already."""

    @abstractmethod
    def refused(self, now: float, under_way: int) -> None:
        """The service refused a request and said when to come back; so many others have yet to reach it."""


class _TokenBucket(_Limit):
    """`capacity` requests at once, `refill` a second after that."""

    def __init__(self, capacity: float, refill: float) -> None:
        self._capacity = capacity
        self._refill = refill
        self._tokens = capacity
        self._counted_at = 0.0

    def available(self, now: float) -> float:
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._counted_at) * self._refill)
        self._counted_at = now
        return self._tokens

    def delay(self, now: float, ahead: int) -> float:
        return max(0.0, (ahead + 1 - self.available(now)) / self._refill)

    def take(self, now: float) -> None:
        self._tokens = self.available(now) - 1

    def lower(self, now: float, available: float) -> None:
        self._tokens = min(self.available(now), available)

    def refused(self, now: float, under_way: int) -> None:
        self.lower(now, -under_way)


class _Window(_Limit):
    """`capacity` requests in any `seconds`; a bucket would allow twice as many across the edge of a window."""

    def __init__(self, capacity: int, seconds: float) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._taken: deque[float] = deque()

    def available(self, now: float) -> float:
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        return self._capacity - len(self._taken)

    def delay(self, now: float, ahead: int) -> float:
        missing = int(ahead + 1 - self.available(now))
        if missing <= 0:
            return 0.0
        rounds, index = divmod(missing - 1, self._capacity)
        first = self._taken[index] if index < len(self._taken) else now
        return max(0.0, first + (rounds + 1) * self._seconds - now)

    def take(self, now: float) -> None:
        self._taken.append(now)

    def lower(self, now: float, available: float) -> None:
        for _ in range(int(self.available(now) - max(0.0, available))):
            self._taken.append(now)

    def refused(self, now: float, under_way: int) -> None:  # noqa: ARG002 - the signature is the base's
        self._taken.clear()  # the time that the service names ends its window, so ours begins anew


_INSTANT: Final = 1e-6
"""Seconds that are not waited for: what rounding leaves over might never pass on a coarse clock."""


class _Line:
    """One bucket and the callers that wait for it, first come, first served."""

    def __init__(self, limit: _Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._in_flight = 0
        self._blocked_until = float("-inf")

    def expected_wait(self) -> float:
        now = self._clock.monotonic()
        return max(self._blocked_until - now, 0.0, self._limit.delay(now, self._waiting))

    async def take(self) -> None:
        # asyncio.Lock serves in order, and passes on when a waiting or sleeping holder is cancelled. What a sleeper
        # oversleeps is not lost: the limit counts by the clock, so the next in line is served at once.
        self._waiting += 1
        try:
            async with self._turn:
                while (delay := self._delay_at_front()) > _INSTANT:
                    await self._clock.sleep(delay)
                self._limit.take(self._clock.monotonic())
        finally:
            self._waiting -= 1
        self._in_flight += 1

    def _delay_at_front(self) -> float:
        now = self._clock.monotonic()
        return max(self._blocked_until - now, self._limit.delay(now, 0))

    def answered(self) -> None:
        self._in_flight -= 1

    def remaining(self, count: float) -> None:
        # The service has not counted what is still under way, so that is taken off what it says is left.
        self._limit.lower(self._clock.monotonic(), count - self._others_under_way)

    @property
    def _others_under_way(self) -> int:
        return max(0, self._in_flight - 1)

    def block(self, seconds: float) -> None:
        now = self._clock.monotonic()
        self._limit.refused(now, self._others_under_way)
        self._blocked_until = max(self._blocked_until, now + seconds)

    def left(self, key: BudgetKey) -> BudgetLeft:
        now = self._clock.monotonic()
        return BudgetLeft(key, self._limit.available(now), self._waiting, max(0.0, self._blocked_until - now))


_RESERVE: Final = 10
"""Requests of a bucket that are left in it: Azure refills from when the first one arrives, not from when it leaves."""

_LIMITS: dict[OperationKind, Callable[[], _Limit]] = {
    OperationKind.READS: lambda: _TokenBucket(capacity=250 - _RESERVE, refill=25),
    OperationKind.WRITES: lambda: _TokenBucket(capacity=200 - _RESERVE, refill=10),
    OperationKind.DELETES: lambda: _TokenBucket(capacity=200 - _RESERVE, refill=10),
    OperationKind.RESOURCE_GRAPH: lambda: _Window(capacity=15, seconds=5),
}


class Budget:
    """All buckets of this process.

    Args:
        patience: the longest that a caller is kept waiting, in seconds. Whoever would wait longer is told so at once
            and comes back later: waiting callers hold a place that another subscription could use.
        clock: time.
    """

    def __init__(self, *, patience: float = 10.0, clock: Clock | None = None) -> None:
        self._patience = patience
        self._clock = clock or Clock()
        self._lines: dict[BudgetKey, _Line] = {}

    def _line(self, key: BudgetKey) -> _Line:
        if (line := self._lines.get(key)) is None:
            line = self._lines[key] = _Line(_LIMITS[key.kind](), self._clock)
        return line

    @asynccontextmanager
    async def request(self, key: BudgetKey) -> AsyncIterator[None]:
        """Wait for this caller's turn and count one request; the block is the time that it is under way.

        Raises:
            Throttled: the turn would come only after `patience` seconds; `retry_after` says when.
        """
        line = self._line(key)
        if (wait := line.expected_wait()) > self._patience:
            raise Throttled(
                f"The limit of {key.kind} that Azure sets {_scope(key)} is used up: tried again when it has recovered.",
                retry_after=wait,
            )
        await line.take()
        try:
            yield
        finally:
            line.answered()

    def remaining(self, key: BudgetKey, count: float) -> None:
        """Take in what an answer says is left."""
        self._line(key).remaining(count)

    def block(self, key: BudgetKey, seconds: float) -> None:
        """Ask nothing for so many seconds: the service said so."""
        self._line(key).block(seconds)

    def left(self) -> list[BudgetLeft]:
        """Every bucket that was ever used."""
        return [line.left(key) for key, line in self._lines.items()]


def _scope(key: BudgetKey) -> str:
    return f"for this identity in subscription {key.subscription}" if key.subscription else "for this identity"
