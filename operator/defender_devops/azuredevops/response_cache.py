"""Answers that are kept for a while. Those who ask for the same at once share one question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from defender_devops.errors import AzureDevOpsError

__all__ = ["RETRY_SECONDS", "SIGN_IN_SECONDS", "ResponseCache"]

Value = TypeVar("Value")

_SHARE: Final = 0.8
"""Of the interval for which a good answer is kept: who asks once an interval shall always get a new one."""

RETRY_SECONDS: Final = 60.0
"""To the next try after an answer that was none, unless the service asks for more."""

SIGN_IN_SECONDS: Final = 1.0
"""To the next try where there was no token: that failure is kept where tokens are, and ends with a sign-in."""


@dataclass
class _Kept(Generic[Value]):
    task: asyncio.Future[Value]
    until: float = float("inf")


@dataclass
class ResponseCache(Generic[Value]):
    """Keeps answers of one kind by key.

    Args:
        interval: seconds between two questions for the same.
        monotonic: seconds that never jump.
        retry: seconds after which to ask again for an answer that is none; None for a good one.
    """

    interval: float
    monotonic: Callable[[], float]
    retry: Callable[[Value], float | None]
    _kept: dict[tuple[Hashable, ...], _Kept[Value]] = field(default_factory=dict)

    async def get(self, key: tuple[Hashable, ...], ask: Callable[[], Awaitable[Value]]) -> Value:
        """The kept answer, or failure, while it is good; otherwise ask."""
        kept = self._kept.get(key)
        if kept is None or kept.until <= self.monotonic():
            kept = self._kept[key] = _Kept(asyncio.ensure_future(ask()))
            kept.task.add_done_callback(lambda _: self._date(key, kept))
        return await asyncio.shield(kept.task)

    def forget(self, first: Hashable) -> None:
        """Drop the answers whose key begins so."""
        for key in [key for key in self._kept if key[0] == first]:
            del self._kept[key]

    def _date(self, key: tuple[Hashable, ...], kept: _Kept[Value]) -> None:
        if kept.task.cancelled():
            if self._kept.get(key) is kept:
                del self._kept[key]
            return
        kept.until = self.monotonic() + min(self.interval * _SHARE, self._pause(kept))

    def _pause(self, kept: _Kept[Value]) -> float:
        error = kept.task.exception()
        if error is None:
            pause = self.retry(kept.task.result())
            return self.interval if pause is None else pause
        if isinstance(error, AzureDevOpsError):
            return max(RETRY_SECONDS, error.retry_after or 0.0)
        return SIGN_IN_SECONDS
