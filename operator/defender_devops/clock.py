"""Time, handed in: tests run hours in milliseconds and say exactly what they wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

__all__ = ["Clock"]


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Clock:
    """The three things that code asks of time.

    Attributes:
        monotonic: seconds that never jump, for intervals; the event loop's own by default.
        wall: seconds since the epoch, for what a service dates (the end of a token).
        sleep: waits so many seconds of `monotonic`.
    """

    monotonic: Callable[[], float] = _loop_time
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
