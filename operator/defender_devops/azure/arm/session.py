"""What the ARM clients of all identities share: connections, concurrency, rate limits, time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

from defender_devops.azure.arm.rate_limiter import RateLimiter
from defender_devops.azure.arm.transport import ArmTransport, HttpTransport
from defender_devops.clock import Clock

__all__ = ["ArmSession", "RequestObserver"]

RequestObserver = Callable[[str, int | None, float], None]
"""Called after every request with its operation, the HTTP status (None: no response), and its duration in seconds."""

_CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True)
class ArmSession:
    """Shared by the clients of all identities, because nothing in it depends on the identity.

    Attributes:
        http: connections to Azure Resource Manager.
        endpoint: address of Azure Resource Manager, without a trailing slash.
        rate_limiter: delays requests before Azure rejects them.
        clock: time.
        concurrency: limits the requests in flight.
        observe: called after every request.
        fence: called before each request that changes something; raises where another replica may lead.
    """

    http: HttpTransport
    endpoint: str
    rate_limiter: RateLimiter = field(default_factory=RateLimiter)
    clock: Clock = field(default_factory=Clock)
    concurrency: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENCY))
    observe: RequestObserver = field(default=lambda _operation, _status, _seconds: None)
    fence: Callable[[], None] = field(default=lambda: None)

    @classmethod
    def open(cls, endpoint: str, **attributes: Any) -> Self:  # noqa: ANN401 - the attributes beside http and endpoint
        """Open a session with connections of its own."""
        endpoint = endpoint.rstrip("/")
        return cls(ArmTransport(endpoint), endpoint, **attributes)

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()
