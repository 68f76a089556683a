"""Azure as a function of requests, and time that only moves when somebody waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.arm.rate_limiter import RateLimiter
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import Token, TokenSource
from defender_devops.clock import Clock
from defender_devops.errors import OperatorError
from tests.support.fakes.arm_transport import FakeArmTransport

ENDPOINT = "https://management.example"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
REF = ConnectorRef(SUBSCRIPTION, "rg-devops-security", "contoso")
CONNECTOR_PATH = REF.id
NOW = 1_800_000_000.0


class FakeTime:
    """Time that stands still, and jumps ahead where somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.seconds, wall=lambda: NOW + self.seconds, sleep=self.sleep)


class FakeCredential:
    """Gives numbered tokens; `script` may hold failures for the first requests."""

    def __init__(
        self, *script: OperatorError, lifetime: float = 3600.0, now: Callable[[], float] = lambda: NOW
    ) -> None:
        self.script = list(script)
        self.lifetime = lifetime
        self.now = now
        self.asked: list[tuple[str | None, bool]] = []
        self.closed = 0

    async def token(self, *, claims: str | None, force_refresh: bool) -> Token:
        self.asked.append((claims, force_refresh))
        await asyncio.sleep(0)
        if self.script:
            raise self.script.pop(0)
        return Token(SecretStr(f"token-{len(self.asked)}"), self.now() + self.lifetime)

    async def close(self) -> None:
        self.closed += 1


Handler = Callable[[httpx.Request], httpx.Response | Exception | Awaitable[httpx.Response]]


def answer(status: int = 200, content: object = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer with a JSON body, or with none."""
    body = b"" if content is None else json.dumps(content).encode()
    return httpx.Response(status, headers=dict(headers or {}), content=body)


def arm_error(status: int, code: str, message: str = "", **more: object) -> httpx.Response:
    """An answer in Resource Manager's shape of an error."""
    return answer(status, {"error": {"code": code, "message": message, **more}})


@dataclass
class FakeAzure:
    """A scripted Azure with a client for it.

    Attributes:
        answers: what comes back, in turn; the last one again and again.
        requests: what was asked.
    """

    answers: list[httpx.Response | Exception | Handler] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    time: FakeTime = field(default_factory=FakeTime)
    credential: FakeCredential = field(default_factory=FakeCredential)
    observed: list[tuple[str, int | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rate_limiter = RateLimiter(clock=self.time.clock)
        self.session = ArmSession(
            FakeArmTransport(self._answer),
            ENDPOINT,
            rate_limiter=self.rate_limiter,
            clock=self.time.clock,
            observe=lambda operation, status, _seconds: self.observed.append((operation, status)),
        )
        self.tokens = TokenSource(self.credential, self.time.clock)
        self.arm = ArmClient(self.session, self.tokens, principal="tenant/client", identity_name="client c")

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(response):
            result = response(request)
            response = await result if isinstance(result, Awaitable) else result
        if isinstance(response, Exception):
            raise response
        # The same answer may be given more than once, but a response can be read only once.
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    def body(self, index: int = -1) -> dict[str, Any]:
        """What was sent."""
        body: dict[str, Any] = json.loads(self.requests[index].content)
        return body

    def paths(self) -> list[str]:
        """Method and path of all requests."""
        return [f"{request.method} {request.url.raw_path.decode().partition('?')[0]}" for request in self.requests]


def azure_with(*answers: httpx.Response | Exception | Handler) -> FakeAzure:
    return FakeAzure(list(answers))


def page(values: Iterable[Any], next_link: str | None = None) -> httpx.Response:
    """A page of a list."""
    content: dict[str, Any] = {"value": list(values)}
    if next_link:
        content["nextLink"] = next_link
    return answer(200, content)
