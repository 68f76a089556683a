"""Usage of an identity: 200 throughput units (TSTU) in a sliding five minutes, Defender's own work included."""

from __future__ import annotations

from collections import deque

__all__ = ["LIMIT", "WINDOW_SECONDS", "Usage"]

LIMIT = 200.0
WINDOW_SECONDS = 300.0

_WARN_FROM = 0.8 * LIMIT
_REFUSE_FROM = 2 * LIMIT


class Usage:
    """Usage by object id; times are wall times."""

    def __init__(self) -> None:
        self._spent: dict[str, deque[tuple[float, float]]] = {}

    def charge(self, identity: str, units: float, wall: float) -> None:
        """Charge units to an identity."""
        self._spent.setdefault(identity, deque()).append((wall, units))

    def used(self, identity: str, wall: float) -> float:
        """Return the units of the last five minutes."""
        charges = self._spent.get(identity)
        if charges is None:
            return 0.0
        # Sliding window: drop what is older than five minutes.
        while charges and charges[0][0] <= wall - WINDOW_SECONDS:
            charges.popleft()
        return sum(units for _, units in charges)

    def headers(self, identity: str, wall: float) -> dict[str, str]:
        """Return the rate-limit headers: none far from the limit, Retry-After beyond it, even with a 200."""
        used = self.used(identity, wall)
        if used < _WARN_FROM:
            return {}
        charges = self._spent[identity]
        reset = charges[0][0] + WINDOW_SECONDS
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
