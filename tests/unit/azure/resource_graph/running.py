"""A poller that runs while a test does something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["run_poller_during"]


class Poller(Protocol):
    """What polls until it is cancelled."""

    async def run(self) -> None:
        """Poll."""


async def run_poller_during(poller: Poller, then: Callable[[], Awaitable[object]]) -> None:
    """Run the poller until `then` has ended."""
    task = asyncio.create_task(poller.run())
    try:
        await then()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
