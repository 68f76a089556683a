"""Exponential back-off with a maximum and jitter (pure)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]

_LARGEST_EXPONENT = 64  # any sensible `maximum` is reached before, and larger exponents would overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from `initial` to `maximum` seconds.

    Attributes:
        initial: seconds before the first retry.
        maximum: maximum seconds between two tries.
        jitter: fraction of a delay, 0 to 1, that may be subtracted at random, so that what failed together is not
            retried together.
    """

    initial: float
    maximum: float
    jitter: float = 0.5

    def delay(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after a number of failures in a row (1 or more).

        `chance` is a random number in [0, 1).
        """
        exponent = min(failures - 1, _LARGEST_EXPONENT)
        full = min(self.maximum, self.initial * 2.0**exponent)
        return full * (1.0 - self.jitter * chance)
