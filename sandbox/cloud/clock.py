"""The clock of the simulated cloud: it runs at a configurable speed, or stands still and is moved.

There are two readings. `now` is the time inside Azure: operations, discovery and lags run on it, so a factor of 600
turns eight hours into 48 seconds. `wall` is the time that clients measure with their own clock: lifetimes of tokens
and codes and the refill of request budgets run on it, unscaled, because a client that receives `expires_in: 3600`
counts real seconds. Times shown to clients are always wall times (see `stamp`). Moving the clock advances inner time
at once; wall time advances only as far as requested.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["Clock"]


@dataclass(frozen=True, slots=True)
class _Segment:
    """A period of constant speed: the inner and wall time at which it began."""

    now: float
    wall: float
    speed: float


class Clock:
    """Inner and wall time of the simulated cloud, in seconds since the epoch.

    Args:
        speed: seconds of inner time for each real second; 0 makes both readings stand still until moved.
        real: source of real time.
    """

    def __init__(self, speed: float = 1.0, real: Callable[[], float] = time.time) -> None:
        self._real = real
        self._initial_speed = speed
        self._start(speed)

    def _start(self, speed: float) -> None:
        self._real_base = self._real()
        self._now_base = self._wall_base = self._real_base
        self.speed = speed
        self._segments = [_Segment(self._now_base, self._wall_base, speed)]

    def reset(self) -> None:
        """Return to real time and to the speed it started with."""
        self._start(self._initial_speed)

    def now(self) -> float:
        """Inner time, on which operations, discovery and lags run."""
        return self._now_base + (self._real() - self._real_base) * self.speed

    def wall(self) -> float:
        """Time as clients measure it: real time plus what it was moved by."""
        return self._wall_base + (self._real() - self._real_base if self.speed else 0.0)

    def move(self, seconds: float, wall: float = 0.0) -> None:
        """Advance inner time by `seconds` at once, and wall time by `wall` seconds."""
        self._rebase()
        # A segment of the move itself: its inner time maps to the wall time that passed with it.
        if seconds:
            self._segments.append(_Segment(self._now_base, self._wall_base, seconds / wall if wall else math.inf))
        self._now_base += seconds
        self._wall_base += wall
        self._segments.append(_Segment(self._now_base, self._wall_base, self.speed))

    def set_speed(self, speed: float) -> None:
        """Run at another speed from this moment on; 0 stands still."""
        self._rebase()
        self.speed = speed
        self._segments.append(_Segment(self._now_base, self._wall_base, speed))

    def _rebase(self) -> None:
        real = self._real()
        elapsed = real - self._real_base
        self._now_base += elapsed * self.speed
        self._wall_base += elapsed if self.speed else 0.0
        self._real_base = real

    def wall_of(self, moment: float) -> float:
        """The wall time at which the inner time was `moment`; before the start both ran alike."""
        start = self._segments[0]
        if moment < start.now:
            return start.wall - (start.now - moment)
        index = bisect_right(self._segments, moment, key=lambda segment: segment.now) - 1
        segment = self._segments[index]
        # Inner time stood still: the whole segment has one wall time.
        if not segment.speed:
            return segment.wall
        return segment.wall + (moment - segment.now) / segment.speed

    def stamp(self, moment: float | None = None) -> str:
        """An inner moment (default: this one) as Azure writes time: UTC with seven digits of a second."""
        return azure_time(self.wall_of(self.now() if moment is None else moment))

    def retry_after(self, seconds: float) -> str:
        """A waiting time of `seconds` of inner time as a Retry-After header: whole real seconds, at least one."""
        return str(max(1, round(seconds / self.speed) if self.speed else round(seconds)))


def azure_time(wall: float) -> str:
    """Seconds since the epoch in the form of `systemData`: `2024-02-14T02:10:47.9139838Z`."""
    whole = int(wall)
    return f"{_second(whole)}.{int((wall - whole) * 10_000_000):07d}Z"


def short_time(wall: float) -> str:
    """Seconds since the epoch without fraction: `2024-02-14T00:34:19Z`."""
    return f"{_second(int(wall))}Z"


@lru_cache(maxsize=4096)
def _second(whole: int) -> str:
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}"
