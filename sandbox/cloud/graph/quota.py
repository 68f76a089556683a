"""15 queries in 5 seconds for each principal."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Quota", "Window"]

QUERIES = 15
WINDOW_SECONDS = 5.0


@dataclass(slots=True)
class Window:
    """The current window of a principal, in wall time."""

    began_at: float
    used: int = 0


class Quota:
    """The windows of all principals."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    def spend(self, principal: str, wall: float) -> tuple[bool, dict[str, str]]:
        """Take a query.

        Returns:
            Whether the query is within the quota, and the headers with the remaining quota and the end of the window.
        """
        window = self._windows.get(principal)
        if window is None or wall >= window.began_at + WINDOW_SECONDS:
            window = self._windows[principal] = Window(wall)
        granted = window.used < QUERIES
        window.used += 1 if granted else 0
        seconds = max(1, math.ceil(window.began_at + WINDOW_SECONDS - wall))
        remaining = QUERIES - window.used
        headers = {
            "x-ms-user-quota-remaining": str(remaining),
            "x-ms-user-quota-resets-after": f"00:00:{seconds:02}",
            "x-ms-ratelimit-remaining-tenant-resource-requests": str(remaining),
        }
        return granted, headers if granted else {**headers, "Retry-After": str(seconds)}
