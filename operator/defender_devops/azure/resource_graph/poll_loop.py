"""When a poller queries Resource Graph: at intervals, and soon after something was added that no query has covered."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["POLLS_BEFORE_REPORT", "PollLoop", "PollTimes"]

POLLS_BEFORE_REPORT: Final = 3
"""Polls for recommendations in a row that fail, or have no row of an organization that had one, before that is
reported."""

_JITTER: Final = 0.1
"""Share of the interval by which a poll may be earlier; never later, so that the interval is an upper bound."""

_BATCH_WINDOWS_MAX: Final = 10
"""Batch windows after which an awaited poll starts although requests for it still arrive."""


@dataclass(frozen=True, slots=True)
class PollTimes:
    """The times of a poller, in seconds.

    Attributes:
        interval: between two polls.
        batch_window: from the first request of an additional poll to that poll: at a start they come by the hundred.
        spacing: least between two polls of which the second was requested.
        retry: from a failed poll to the next one; None for the regular interval.
        retries: number of failed polls in a row after which the next one comes sooner; later ones are regular again.
    """

    interval: float
    batch_window: float
    spacing: float
    retry: float | None = None
    retries: int = 0


class PollLoop:
    """Calls a poll at its times.

    Args:
        poll: polls once; returns the failure, whose `retry_after` postpones the next regular poll.
        has_work: whether there is anything to poll for.
        times: when.
        clock: time.
    """

    def __init__(
        self,
        poll: Callable[[], Awaitable[OperatorError | None]],
        has_work: Callable[[], bool],
        times: PollTimes,
        clock: Clock,
    ) -> None:
        self._poll = poll
        self._has_work = has_work
        self._times = times
        self._clock = clock
        self._requested = asyncio.Event()
        self._is_awaited = False
        self._started: float | None = None
        self._failures = 0

    def request(self, *, is_awaited: bool = False) -> None:
        """Poll soon, because something was added that no poll has covered.

        Args:
            is_awaited: whether it waits for this poll. The poll then starts as soon as no more such requests arrive, so
                that it covers everything that was added at a start.
        """
        self._requested.set()
        self._is_awaited = self._is_awaited or is_awaited

    async def run(self) -> None:
        """Poll until cancelled. A poll that fails is repeated at its regular time, or after `PollTimes.retry`."""
        # There is work already if an unexpected exception ended an earlier run: the next poll is then at its regular
        # time. None means that there is no work, so only a request causes a poll.
        due = self._clock.monotonic() + self._times.interval if self._has_work() else None
        while True:
            timeout = None if due is None else max(0.0, due - self._clock.monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._requested.wait()
            if self._requested.is_set():
                await self._collect_requests()
            self._requested.clear()
            due = None
            if self._has_work():
                started = self._started = self._clock.monotonic()
                error = await self._poll()
                self._failures = 0 if error is None else self._failures + 1
                due = started + max(self._interval(), (error.retry_after if error else None) or 0.0)

    def _interval(self) -> float:
        """Return the seconds from the start of the last poll to the next regular one."""
        interval = self._times.interval * random.uniform(1 - _JITTER, 1.0)  # noqa: S311 - spreads load
        if self._times.retry is not None and 0 < self._failures <= self._times.retries:
            return min(interval, self._times.retry)
        return interval

    async def _collect_requests(self) -> None:
        """Wait for more requests, which then share a poll."""
        delay = self._delay_of_request()
        for _ in range(_BATCH_WINDOWS_MAX):
            self._is_awaited = False
            await self._clock.sleep(delay)
            if not self._is_awaited:
                return
            delay = self._times.batch_window

    def _delay_of_request(self) -> float:
        """Return the seconds from a request to its poll."""
        if self._started is None or self._is_awaited:
            return self._times.batch_window
        spacing = min(self._times.interval, self._times.spacing)
        return max(self._times.batch_window, self._started + spacing - self._clock.monotonic())
