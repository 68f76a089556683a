"""How long to wait after a failure: exponential, bounded, with jitter. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]

_LARGEST_EXPONENT = 64  # beyond it every sensible `maximum` is reached, and floats would overflow in the end


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from `initial` to `maximum` seconds.

    Attributes:
        initial: seconds before the first repeat.
        maximum: the most seconds between two.
        jitter: the part of a delay that chance may take away, 0 to 1: what failed together must not come back together.
    """

    initial: float
    maximum: float
    jitter: float = 0.5

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after so many failures in a row (1 or more); `chance` is a random number in [0, 1)."""
        exponent = min(failures - 1, _LARGEST_EXPONENT)
        full = min(self.maximum, self.initial * 2.0**exponent)
        return full * (1.0 - self.jitter * chance)
