"""A scripted API server over real HTTP, so that tests use the real client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Responder = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Request:
    """A request that the server received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeKubernetesApi:
    """Sends the next of `responses` for each request, then an empty object."""

    port: int = 0
    responses: list[Responder | web.StreamResponse] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def respond(self, status: int, body: object = None, **headers: str) -> None:
        """Add the next response."""
        self.responses.append(web.json_response(body if body is not None else {}, status=status, headers=headers))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        query, headers = dict(request.query), dict(request.headers)
        self.requests.append(Request(request.method, request.path, query, headers, body))
        answer = self.responses.pop(0) if self.responses else web.json_response({})
        return answer if isinstance(answer, web.StreamResponse) else await answer(request)


def write_kubeconfig(file: Path, server: str, **user: object) -> Path:
    """Write a kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file
