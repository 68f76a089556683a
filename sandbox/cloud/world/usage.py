"""Usage of an identity: 200 throughput units (TSTU) in a sliding five minutes, Defender's own work included."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["LIMIT", "WINDOW_SECONDS", "Usage"]

LIMIT = 200.0
WINDOW_SECONDS = 300.0

_WARN_FROM = 0.8 * LIMIT
_REFUSE_FROM = 2 * LIMIT


@dataclass(slots=True)
class _Window:
    """Charges of the last five minutes of one identity, by wall time, with their total and its largest value."""

    charges: deque[tuple[float, float]] = field(default_factory=deque)
    total: float = 0.0
    peak: float = 0.0


class Usage:
    """Usage by object id; times are wall times."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}

    def charge(self, identity: str, units: float, wall: float) -> None:
        """Charge units to an identity."""
        window = self._windows.setdefault(identity, _Window())
        window.charges.append((wall, units))
        window.total += units
        window.peak = max(window.peak, self.used(identity, wall))

    def used(self, identity: str, wall: float) -> float:
        """Return the units of the last five minutes."""
        window = self._windows.get(identity)
        if window is None:
            return 0.0
        # Sliding window: drop what is older than five minutes.
        while window.charges and window.charges[0][0] <= wall - WINDOW_SECONDS:
            window.total -= window.charges.popleft()[1]
        if not window.charges:
            window.total = 0.0
        return window.total

    def peak(self, identity: str) -> float:
        """Return the most units that an identity has used in any five minutes."""
        window = self._windows.get(identity)
        return 0.0 if window is None else window.peak

    def identities(self) -> list[str]:
        """Return the object ids of all identities that were charged."""
        return list(self._windows)

    def headers(self, identity: str, wall: float) -> dict[str, str]:
        """Return the rate-limit headers: none far from the limit, Retry-After beyond it, even with a 200."""
        used = self.used(identity, wall)
        if used < _WARN_FROM:
            return {}
        reset = self._windows[identity].charges[0][0] + WINDOW_SECONDS
        headers = {
            "X-RateLimit-Resource": "Services",
            "X-RateLimit-Delay": "0",
            "X-RateLimit-Limit": f"{LIMIT:.0f}",
            "X-RateLimit-Remaining": str(max(0, int(LIMIT - used))),
            "X-RateLimit-Reset": str(int(reset)),
        }
        if used >= LIMIT:
            headers["Retry-After"] = str(max(1, int(reset - wall)))
        return headers

    def blocked(self, identity: str, wall: float) -> bool:
        """Whether requests are blocked because of its usage (TF400733)."""
        return self.used(identity, wall) >= _REFUSE_FROM
