"""A cache of responses. Concurrent callers of the same key share one request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from defender_devops.errors import AzureDevOpsError

__all__ = ["RETRY_SECONDS", "SIGN_IN_SECONDS", "ResponseCache"]

Value = TypeVar("Value")

_SHARE: Final = 0.8
"""Part of the interval for which a response is cached: a caller that comes once an interval always gets a new one."""

RETRY_SECONDS: Final = 60.0
"""To the next attempt after a failure, unless the service demands more."""

SIGN_IN_SECONDS: Final = 1.0
"""To the next attempt after a failure to get a token: the cache of tokens has that failure, and a sign-in ends it."""


@dataclass
class _Entry(Generic[Value]):
    task: asyncio.Future[Value]
    expires_at: float = float("inf")


@dataclass
class ResponseCache(Generic[Value]):
    """Caches the responses of one kind by key.

    Args:
        interval: seconds between two requests with the same key.
        monotonic: seconds that never jump.
        retry: seconds after which to repeat a request with an incomplete response; None for a complete one.
    """

    interval: float
    monotonic: Callable[[], float]
    retry: Callable[[Value], float | None]
    _entries: dict[tuple[Hashable, ...], _Entry[Value]] = field(default_factory=dict)

    async def get(self, key: tuple[Hashable, ...], request: Callable[[], Awaitable[Value]]) -> Value:
        """Return the cached response, or raise the cached failure; send a request where there is none."""
        entry = self._entries.get(key)
        if entry is None or entry.expires_at <= self.monotonic():
            entry = self._entries[key] = _Entry(asyncio.ensure_future(request()))
            entry.task.add_done_callback(lambda _: self._set_expiry(key, entry))
        # Shielded: a caller that is cancelled must not cancel the request of the others.
        return await asyncio.shield(entry.task)

    def invalidate(self, prefix: Hashable) -> None:
        """Drop the responses whose key begins with `prefix`."""
        for key in [key for key in self._entries if key[0] == prefix]:
            del self._entries[key]

    def _set_expiry(self, key: tuple[Hashable, ...], entry: _Entry[Value]) -> None:
        if entry.task.cancelled():
            if self._entries.get(key) is entry:
                del self._entries[key]
            return
        error = entry.task.exception()
        seconds: float | None
        if error is None:
            seconds = self.retry(entry.task.result())
        elif isinstance(error, AzureDevOpsError):
            seconds = max(RETRY_SECONDS, error.retry_after or 0.0)
        else:
            seconds = SIGN_IN_SECONDS
        longest = self.interval * _SHARE
        entry.expires_at = self.monotonic() + (longest if seconds is None else min(longest, seconds))
