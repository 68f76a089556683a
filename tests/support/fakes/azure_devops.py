"""A small Azure DevOps for unit tests: responds by path, and records the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

import httpx
from aiohttp import web
from pydantic import SecretStr

from defender_devops.azuredevops.client import AzureDevOpsClient, Endpoints
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.http_client import open_http_client

Answer = Callable[[web.Request], Any]


@dataclass
class FakeAzureDevOps:
    """All hosts of Azure DevOps in one server.

    Attributes:
        responses: by path without query: JSON, a response, a list of responses, or a function of the request.
        requests: all requests so far.
    """

    responses: dict[str, Any] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.responses.get(
            request.path, web.json_response({"message": "gone", "typeKey": "NotFound"}, status=404)
        )
        if callable(answer):
            answer = answer(request)
        if isawaitable(answer):
            answer = await answer
        if isinstance(answer, list) and answer and isinstance(answer[0], web.Response):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, web.Response):
            return copy(answer)
        return web.json_response(answer)


def copy(response: web.Response) -> web.Response:
    """Return a new response with the same content: aiohttp sends a response object once only."""
    return web.Response(
        status=response.status,
        body=response.body,
        content_type=response.content_type,
        headers={
            key: value for key, value in response.headers.items() if key not in {"Content-Type", "Content-Length"}
        },
    )


@dataclass
class FakeMonotonicClock:
    """A monotonic clock that only `sleep` advances."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@dataclass
class AzureDevOpsSetup:
    """A client, its fake service and its clock."""

    service: FakeAzureDevOps
    http: httpx.AsyncClient
    monotonic: FakeMonotonicClock
    client: AzureDevOpsClient

    def endpoints(self) -> Endpoints:
        return self.client.endpoints


@asynccontextmanager
async def serve_azure_devops(service: FakeAzureDevOps) -> AsyncIterator[AzureDevOpsSetup]:
    """Serve it on the loopback interface, and yield a client for it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    http = open_http_client()
    monotonic = FakeMonotonicClock()
    rate_limiter = RateLimiter(monotonic=monotonic, wall=monotonic, sleep=monotonic.sleep)
    client = AzureDevOpsClient(http, Endpoints(*[service.url] * 5), SecretStr("access-token-value"), rate_limiter)
    try:
        yield AzureDevOpsSetup(service, http, monotonic, client)
    finally:
        await http.aclose()
        await runner.cleanup()
