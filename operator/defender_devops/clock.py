"""Time as a dependency, so that tests run hours in milliseconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["MIN_DELAY", "Clock"]

MIN_DELAY: Final = 1e-6
"""Seconds: a shorter delay is a rounding error, and after a sleep of that length a clock may show the same time, so
that a loop which waits for it never ends."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True)
class Clock:
    """The sources of time.

    Attributes:
        monotonic: seconds that never jump, for intervals; the event loop's time by default.
        wall: seconds since the epoch, for times that a service states (the expiry of a token).
        sleep: waits for a number of seconds of `monotonic`.
    """

    monotonic: Callable[[], float] = _loop_time
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
