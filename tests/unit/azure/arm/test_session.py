from __future__ import annotations

import asyncio
import base64
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from defender_devops.azure.arm.client import ArmClient, ArmRequest, RetryPolicy
from defender_devops.azure.arm.rate_limiter import RateLimiter
from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.token_source import TokenSource
from defender_devops.errors import AzureUnavailable
from tests.unit.azure.fakes import FakeCredential, FakeTime

Respond = Callable[[int], bytes]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(respond: Respond) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers the n-th request with `respond(n)`, and cuts the connection where that is empty."""
    requests: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                length = next(
                    (int(line[15:]) for line in text.split("\r\n") if line.lower().startswith("content-length")), 0
                )
                await reader.readexactly(length)
                requests.append(text)
                answer = respond(len(requests))
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    started = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{started.sockets[0].getsockname()[1]}", requests
    finally:
        started.close()
        await started.wait_closed()


async def asking(
    respond: Respond, ask: Callable[[ArmClient], Awaitable[None]], endpoint_of: Callable[[str], str] = str
) -> list[str]:
    """What a server was asked."""
    async with server(respond) as (address, requests):
        endpoint = endpoint_of(address)
        session = ArmSession.open(endpoint, rate_limiter=RateLimiter(), clock=FakeTime().clock)
        try:
            tokens = TokenSource(FakeCredential(), session.clock)
            await ask(ArmClient(session, tokens, principal="p", identity_name="w"))
        finally:
            await session.close()
        return requests


GET = ArmRequest("read", "GET", path="/a", api_version="1")


@pytest.mark.parametrize("requests_before", [0, 1, 2])
async def test_a_cut_connection_never_repeats_a_request_that_must_not_be_retried(requests_before: int) -> None:
    once = ArmRequest("authorize", "PUT", path="/a", body={"code": SecretStr("c")}, retry=RetryPolicy.NEVER)

    async def ask(arm: ArmClient) -> None:
        for _ in range(requests_before):  # so that the connection is one that was kept
            await arm.send(GET)
        with pytest.raises(AzureUnavailable):
            await arm.send(once)

    requests = await asking(lambda number: OK if number <= requests_before else b"", ask)
    assert [request.partition(" ")[0] for request in requests] == ["GET"] * requests_before + ["PUT"]


async def test_a_cut_idle_connection_is_replaced_for_an_idempotent_request() -> None:
    async def ask(arm: ArmClient) -> None:
        await arm.send(GET)
        await arm.send(GET)

    assert len(await asking(lambda number: b"" if number == 2 else OK, ask)) == 3


async def test_cookies_are_neither_stored_nor_sent() -> None:
    cookie = OK.replace(b"Content-Type", b"Set-Cookie: session=1\r\nContent-Type")

    async def ask(arm: ArmClient) -> None:
        await arm.send(GET)
        await arm.send(GET)

    first, second = await asking(lambda _number: cookie, ask)
    assert "cookie" not in (first + second).lower()


async def test_a_response_that_is_not_http_is_an_outage() -> None:
    async def ask(arm: ArmClient) -> None:
        with pytest.raises(AzureUnavailable) as failed:
            await arm.send(ArmRequest("read", "GET", path="/a", retry=RetryPolicy.NEVER))
        assert failed.value.__cause__ is None

    await asking(lambda _number: b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ask)


async def test_a_redirect_is_not_followed_by_the_real_transport_either() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"

    async def ask(arm: ArmClient) -> None:
        with pytest.raises(AzureUnavailable, match="302"):
            await arm.send(GET)

    assert len(await asking(lambda _number: redirect, ask)) == 1


async def test_the_query_of_a_signed_url_is_sent_unchanged() -> None:
    query = "api-version=2025-03-01&t=638&c=MII-_abc%2Bd&s=a%20b&x=%3D%26"

    async def ask(arm: ArmClient) -> None:
        endpoint = arm._session.endpoint
        await arm.send(ArmRequest("look", "GET", link=SecretStr(f"{endpoint}/operationResults/1?{query}")))

    (request,) = await asking(lambda _number: OK, ask)
    received_url = httpx.URL(f"http://x{request.split()[1]}")
    assert dict(received_url.params) == dict(httpx.URL(f"http://x/?{query}").params)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_request_without_a_body_has_no_content_type(method: str) -> None:
    async def ask(arm: ArmClient) -> None:
        await arm.send(replace(GET, method=method))

    (request,) = await asking(lambda _number: OK, ask)
    assert "content-type" not in request.lower()
    assert ("content-length: 0" in request.lower()) == (method != "GET")


async def test_a_claims_challenge_in_the_first_of_two_headers_is_answered() -> None:
    claims = base64.b64encode(b'{"a":1}').decode()
    challenge = f'WWW-Authenticate: Bearer claims="{claims}"\r\nWWW-Authenticate: Bearer realm="x"\r\n'
    refusal = f"HTTP/1.1 401 No\r\n{challenge}Content-Length: 0\r\n\r\n".encode()
    credential = FakeCredential()

    async def ask(arm: ArmClient) -> None:
        await ArmClient(
            arm._session, TokenSource(credential, arm._session.clock), principal="p", identity_name="w"
        ).send(GET)

    await asking(lambda number: refusal if number == 1 else OK, ask)
    assert credential.asked == [(None, False), ('{"a":1}', True)]


def encoded(body: bytes, encoding: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "response",
    [
        encoded(gzip.compress(b"{}"), "gzip"),
        encoded(gzip.compress(b"{}"), "GZIP"),
        encoded(zlib.compress(b"{}"), "deflate"),
        encoded(b"{}", "identity"),
        encoded(b"", "gzip"),
        b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n",
        OK.replace(b"Content-Type", b"X-Name: \xe9\xff\r\nContent-Type"),
        OK.replace(b"Content-Type", b'Set-Cookie: =;;="\\;a\r\nLink: <http://[::1>; rel=next\r\nContent-Type'),
    ],
)
async def test_a_response_in_any_encoding_that_is_accepted_is_read(response: bytes) -> None:
    async def ask(arm: ArmClient) -> None:
        assert (await arm.send(replace(GET, retry=RetryPolicy.NEVER))).content == {}

    await asking(lambda _number: response, ask)


@pytest.mark.parametrize(
    "response",
    [
        encoded(b"{}", "br"),
        encoded(b"{}", "zstd"),
        encoded(b"no gzip at all", "gzip"),
        encoded(gzip.compress(b"{}" * 100)[:20], "gzip"),
        encoded(gzip.compress(gzip.compress(b"{}")), "gzip, gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        OK.replace(b"Content-Type", b"X-Name: \0\r\nContent-Type"),
        OK.replace(b"Content-Type", b"X-Name: " + b"a" * 20_000 + b"\r\nContent-Type"),
    ],
)
async def test_a_response_that_cannot_be_read_is_an_outage(response: bytes) -> None:
    async def ask(arm: ArmClient) -> None:
        with pytest.raises(AzureUnavailable) as failed:
            await arm.send(replace(GET, retry=RetryPolicy.NEVER))
        assert failed.value.__cause__ is None

    await asking(lambda _number: response, ask)


async def test_a_compressed_response_is_not_expanded_beyond_the_limit() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(bytes(1 << 24)) for _ in range(16)) + compressor.flush()

    async def ask(arm: ArmClient) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(AzureUnavailable, match="larger than 16 MiB"):
                await arm.send(GET)
            assert tracemalloc.get_traced_memory()[1] < 1 << 27
        finally:
            tracemalloc.stop()

    assert len(await asking(lambda _number: encoded(bomb, "gzip"), ask)) == 1


@pytest.mark.parametrize("token", ["secret\n", "secret\r\nX-Name: value", "secret\0"])
async def test_a_token_that_would_add_a_header_is_not_sent(token: str) -> None:
    class Tokens(TokenSource):
        async def current(self) -> SecretStr:
            return SecretStr(token)

    async def ask(arm: ArmClient) -> None:
        tokens = Tokens(FakeCredential(), arm._session.clock)
        with pytest.raises(AzureUnavailable, match="where the token") as failed:
            await ArmClient(arm._session, tokens, principal="p", identity_name="w").send(GET)
        assert "secret" not in str(failed.value)

    assert await asking(lambda _number: OK, ask) == []


async def test_an_endpoint_without_a_valid_host_is_an_outage() -> None:
    async def ask(arm: ArmClient) -> None:
        with pytest.raises(AzureUnavailable, match="DEFENDER_DEVOPS_ARM_ENDPOINT"):
            await arm.send(GET)

    assert await asking(lambda _number: OK, ask, lambda _address: f"http://{'a' * 64}.example") == []


@pytest.mark.parametrize(
    ("proxy", "message"),
    [("refuses", "HTTP 407.*user and password in HTTPS_PROXY"), ("is not there", "address in HTTPS_PROXY")],
)
async def test_a_failure_of_the_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    def with_proxy(address: str) -> str:
        host = address.removeprefix("http://") if proxy == "refuses" else "127.0.0.1:1"
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:hidden@{host}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        return "https://management.example"

    async def ask(arm: ArmClient) -> None:
        with pytest.raises(AzureUnavailable, match=message) as failed:
            await arm.send(GET)
        assert "hidden" not in str(failed.value)

    await asking(lambda _number: b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", ask, with_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "through_proxy"),
    [("", True), ("elsewhere.example", True), ("management.example", False), ("*", False)],
)
async def test_the_proxy_of_the_environment_is_used_unless_no_proxy_excludes_azure(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, through_proxy: bool
) -> None:
    async def ask(arm: ArmClient) -> None:
        if through_proxy:
            await arm.send(GET)
        else:
            with pytest.raises(AzureUnavailable):
                await arm.send(ArmRequest("read", "GET", path="/a", retry=RetryPolicy.NEVER))

    def with_proxy(address: str) -> str:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, address)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, no_proxy)
        return "http://management.example:9"

    requests = await asking(lambda _number: OK, ask, with_proxy)
    expected = ["http://management.example:9/a?api-version=1"] if through_proxy else []
    assert [request.split()[1] for request in requests] == expected
