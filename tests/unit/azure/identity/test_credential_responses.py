"""Responses to token requests through the real azure-identity, with a transport that needs no network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from pydantic import SecretBytes, SecretStr

from defender_devops.azure.identity import credentials
from defender_devops.azure.identity.credentials import (
    EntraCredential,
    certificate_credential,
    client_secret_credential,
    federated_credential,
)
from defender_devops.errors import CredentialsError, CredentialsRejected, CredentialsUnavailable
from tests.support.certificates import self_signed

TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "aaaaaaaa-0000-0000-0000-00000000000a"
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
PEM = b"".join(self_signed("operator"))


class Response(AsyncHttpResponse):  # type: ignore[misc]
    """A response whose body is read already."""

    def __init__(self, request: object, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(request, None)
        self.status_code, self.headers, self.reason = status, headers, "reason"
        self.content_type = headers.get("Content-Type")
        self._content = body

    def body(self) -> bytes:
        return self._content

    async def load_body(self) -> None:
        """The body is there."""


class Transport(AsyncHttpTransport):  # type: ignore[misc, type-arg]
    """Returns the same response to every request."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.response = (status, headers, body)
        self.requests = 0

    async def send(self, request: object, **_options: object) -> Response:
        self.requests += 1
        return Response(request, *self.response)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def assertion() -> SecretStr:
    return SecretStr("assertion")


CREDENTIALS: dict[str, Callable[[], EntraCredential]] = {
    "client secret": lambda: client_secret_credential(TENANT, CLIENT, SecretStr("canary")),
    "certificate": lambda: certificate_credential(TENANT, CLIENT, lambda: SecretBytes(PEM)),
    "federated": lambda: federated_credential(TENANT, CLIENT, "system:serviceaccount:a:b", assertion),
}

NOT_FROM_ENTRA: list[tuple[int, dict[str, str], bytes]] = [
    *((status, HTML, b"<html>(invalid_client) AADSTS7000215</html>") for status in (200, 403, 407, 500, 502, 503)),
    (302, {**HTML, "Location": "https://elsewhere.example/"}, b"<html>moved</html>"),
    (200, HTML, b""),
    (204, {}, b""),
    *((status, JSON, body) for status in (200, 403) for body in (b"", b"{}", b"null", b"[]", b"[null]", b"7", b'"x"')),
    (200, JSON, b'{"access_token": null}'),
    (200, JSON, b'{"access_token": "eyJ'),
    (200, JSON, b'{"access_token": "x"}'),
    (200, JSON, b'{"access_token": "x", "expires_in": "soon"}'),
    (200, JSON, b'{"access_token": "x", "expires_in": null}'),
    (200, JSON, b'{"access_token": "x", "expires_in": []}'),
    (200, JSON, b'{"access_token": "x", "expires_in": 3600, "refresh_in": "soon"}'),
    (200, JSON, b'{"access_token": "", "expires_in": 3600}'),
    (200, JSON, b'{"access_token": 7, "expires_in": 3600}'),
    (200, JSON, b'{"access_token": ["x"], "expires_in": 3600}'),
    (200, JSON, b'{"access_token": "x\\ny", "expires_in": 3600}'),
    *((status, {"Location": "https://elsewhere.example/"}, b"") for status in (301, 302, 303, 307, 308)),
    (400, JSON, b'{"message": "Bad Request"}'),
    (403, JSON, b'{"error": "Access Denied"}'),
    (403, JSON, b'{"error": {"code": "Forbidden"}}'),
    (403, JSON, b'{"error": null}'),
]


async def failure(
    monkeypatch: pytest.MonkeyPatch, kind: str, status: int, headers: dict[str, str], body: bytes
) -> tuple[CredentialsError, Transport]:
    transport = Transport(status, headers, body)
    monkeypatch.setitem(credentials._PIPELINE, "transport", transport)
    credential = CREDENTIALS[kind]()
    with pytest.raises(CredentialsError) as failed:
        await credential.token(claims=None, force_refresh=False)
    await credential.close()
    return failed.value, transport


@pytest.mark.looptime
@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize(("status", "headers", "body"), NOT_FROM_ENTRA)
async def test_a_response_without_an_oauth_error_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, kind: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    error, transport = await failure(monkeypatch, kind, status, headers, body)
    assert type(error) is CredentialsUnavailable
    assert "not from Entra ID" in error.message
    assert "canary" not in error.message
    assert transport.requests == 3
    assert asyncio.get_running_loop().time() <= 5


@pytest.mark.looptime
@pytest.mark.parametrize("kind", CREDENTIALS)
async def test_an_oauth_error_of_entra_id_is_a_rejection_at_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    body = b'{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret. Trace ID: 1"}'
    error, transport = await failure(monkeypatch, kind, 401, JSON, body)
    assert type(error) is CredentialsRejected
    assert "AADSTS7000215" in error.message
    assert transport.requests == 1


@pytest.mark.looptime
@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "temporarily_unavailable", "error_description": "AADSTS90055: Too many."}',
        b'{"error": "temporarily_unavailable"}',
        b"",
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_of_entra_id_is_reported_within_a_second(
    monkeypatch: pytest.MonkeyPatch, kind: str, body: bytes, status: int
) -> None:
    error, transport = await failure(monkeypatch, kind, status, {**JSON, "Retry-After": "30"}, body)
    assert type(error) is CredentialsUnavailable
    assert error.retry_after == 30
    assert transport.requests == 1
    assert asyncio.get_running_loop().time() <= 1


@pytest.mark.looptime
@pytest.mark.parametrize("kind", CREDENTIALS)
@pytest.mark.parametrize("error", [ConnectionResetError("cut"), aiohttp.ClientPayloadError("cut"), TimeoutError()])
async def test_a_connection_that_breaks_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception
) -> None:
    class Broken(Transport):
        async def send(self, request: object, **_options: object) -> Response:
            del request
            raise error

    monkeypatch.setitem(credentials._PIPELINE, "transport", Broken(200, {}, b""))
    credential = CREDENTIALS[kind]()
    with pytest.raises(CredentialsUnavailable):
        await credential.token(claims=None, force_refresh=False)
    await credential.close()


async def test_a_token_that_cannot_be_used_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [b'{"access_token": "x y", "expires_in": 3600}', b'{"access_token": "good", "expires_in": 3600}']

    class Recovering(Transport):
        async def send(self, request: object, **_options: object) -> Response:
            return Response(request, 200, JSON, bodies.pop(0))

    monkeypatch.setitem(credentials._PIPELINE, "transport", Recovering(200, {}, b""))
    monkeypatch.setattr(credentials, "_RETRY_DELAY", 0.0)
    credential = CREDENTIALS["client secret"]()
    assert (await credential.token(claims=None, force_refresh=False)).value.get_secret_value() == "good"
    await credential.close()
