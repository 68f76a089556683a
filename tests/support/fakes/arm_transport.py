"""A transport of the ARM client that a function answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import httpx

from defender_devops.azure.arm.error_mapping import HttpResponse
from defender_devops.azure.arm.transport import HttpRequest

__all__ = ["FakeArmTransport"]


@dataclass
class FakeArmTransport:
    """Answers requests without a connection.

    Attributes:
        answer: returns the response to a request, or raises.
    """

    answer: Callable[[httpx.Request], Awaitable[httpx.Response]]

    async def send(self, request: HttpRequest, *, body_max: int) -> HttpResponse:
        """Return the answer as the real transport does; a time-out is aiohttp's."""
        sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.body)
        try:
            response = await self.answer(sent)
        except httpx.TimeoutException as error:
            raise aiohttp.ServerTimeoutError(str(error)) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return HttpResponse(response.status_code, headers, (await response.aread())[: body_max + 1])

    async def close(self) -> None:
        """Do nothing: there is no connection."""
