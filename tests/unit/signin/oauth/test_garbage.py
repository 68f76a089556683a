"""What Entra ID itself did not send, or in another shape, is an outage: no sign-in is lost because of it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from defender_devops.signin.oauth.authority import Authority
from defender_devops.signin.oauth.errors import TokenServiceUnavailable

TOKEN = {"access_token": "token", "expires_in": 3600, "refresh_token": "r", "id_token": "i"}
DEVICE = {"device_code": "d", "user_code": "u", "verification_uri": "https://example.com", "expires_in": 900}
CALLS: dict[str, tuple[Callable[[Authority], Awaitable[Any]], dict[str, Any]]] = {
    "token": (lambda authority: authority.token({}), TOKEN),
    "device_code": (lambda authority: authority.device_code("client"), DEVICE),
    "signing_keys": (lambda authority: authority.signing_keys(), {"keys": []}),
}
HTML = {"Content-Type": "text/html"}


def responses(valid: dict[str, Any]) -> Iterator[tuple[str, httpx.Response]]:
    whole = json.dumps(valid).encode()
    yield "truncated", httpx.Response(200, content=whole[: len(whole) // 2])
    yield "204", httpx.Response(204)
    for content in (b"", b"[]", b"null", b"7", b'"x"', b"\xff", b"<html>Sign in</html>"):
        yield f"200 {content!r}", httpx.Response(200, content=content)
    for status in (301, 302, 303, 307, 308):
        yield f"redirect {status}", httpx.Response(status, headers={"Location": "https://elsewhere.example/"})
    for status in (400, 401, 403, 404, 410, 502):
        for content in (b"", b"<html>No</html>", b"[]", b'{"error": {"code": "x"}}', b'{"error": "Access Denied"}'):
            yield f"{status} {content!r}", httpx.Response(status, headers=HTML, content=content)
    if "expires_in" in valid:
        yield "200 {}", httpx.Response(200, json={})
        for key in ("access_token", "device_code", "user_code", "expires_in"):
            for value in (None, "", [], {}, -1, "soon"):
                if key in valid and not (isinstance(value, str) and value and key != "expires_in"):
                    yield f"{key}: {value!r}", httpx.Response(200, json={**valid, key: value})
        yield "endless", httpx.Response(200, content=json.dumps({**valid, "expires_in": 1e300}).encode())
        yield "not a number", httpx.Response(200, content=json.dumps({**valid, "expires_in": float("nan")}).encode())


def test_every_request_has_a_case() -> None:
    methods = inspect.getmembers(Authority, inspect.iscoroutinefunction)
    assert CALLS.keys() == {name for name, _ in methods if not name.startswith("_")}


@pytest.mark.parametrize("name", CALLS)
async def test_garbage_is_an_outage(name: str) -> None:
    call, valid = CALLS[name]
    believed, hosts = [], []
    for kind, response in responses(valid):

        def answer(request: httpx.Request, response: httpx.Response = response) -> httpx.Response:
            hosts.append(request.url.host)
            return httpx.Response(response.status_code, headers=response.headers, content=response.content)

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=False) as http:
            try:
                await call(Authority(http, "https://login.example", "tenant"))
                believed.append(kind)
            except TokenServiceUnavailable:
                pass
    assert believed == []
    assert set(hosts) == {"login.example"}


@pytest.mark.parametrize("name", CALLS)
async def test_the_valid_response_of_each_case_is_accepted(name: str) -> None:
    call, valid = CALLS[name]
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=valid))
    async with httpx.AsyncClient(transport=transport) as http:
        await call(Authority(http, "https://login.example", "tenant"))
