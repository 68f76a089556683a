from __future__ import annotations

import asyncio
import base64
import logging
import re
import uuid
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from yarl import URL

from defender_devops.azure.arm.client import ArmRequest, RetryPolicy, arm_path
from defender_devops.azure.arm.rate_limiter import OperationKind
from defender_devops.errors import (
    AzureUnavailable,
    CredentialsRejected,
    Forbidden,
    InvalidRequest,
    Throttled,
    WrongTenant,
)
from defender_devops.telemetry.context import begin_reconcile
from tests.unit.azure.fakes import (
    ENDPOINT,
    SUBSCRIPTION,
    FakeAzure,
    FakeCredential,
    answer,
    arm_error,
    azure_with,
    page,
)

GET = ArmRequest("read connector", "GET", path="/subscriptions/s", api_version="2025-03-01", subscription=SUBSCRIPTION)
PUT = ArmRequest("create connector", "PUT", path="/x", api_version="1", subscription=SUBSCRIPTION, body={"a": 1})
PATCH = ArmRequest(
    "update DevOps configuration", "PATCH", path="/x", api_version="1", subscription=SUBSCRIPTION, body={}
)
POST = ArmRequest("list available organizations", "POST", path="/x", api_version="1", subscription=SUBSCRIPTION)
ONCE = ArmRequest(
    "create DevOps configuration",
    "PUT",
    path="/x",
    api_version="1",
    subscription=SUBSCRIPTION,
    body={},
    retry=RetryPolicy.NEVER,
)
FAILURES = [
    answer(502),
    answer(500),
    answer(503),
    answer(504),
    answer(408),
    httpx.ConnectError("refused"),
    httpx.ReadTimeout("slow"),
    httpx.RemoteProtocolError("cut"),
]


async def test_a_request_has_token_api_version_and_reconcile_id() -> None:
    azure = azure_with(answer(200, {"name": "contoso"}))
    reconcile = begin_reconcile()
    reply = await azure.arm.send(GET)
    assert reply.content == {"name": "contoso"}
    (request,) = azure.requests
    assert str(request.url) == f"{ENDPOINT}/subscriptions/s?api-version=2025-03-01"
    assert request.headers["authorization"] == "Bearer token-1"
    assert request.headers["x-ms-client-request-id"] == reconcile
    assert azure.observed == [("read connector", 200)]


async def test_outside_of_a_reconcile_each_request_has_an_id_of_its_own() -> None:
    azure = azure_with(answer(200, {}))

    async def in_a_context_without_reconcile() -> None:
        structlog.contextvars.clear_contextvars()
        await azure.arm.send(GET)
        await azure.arm.send(GET)

    await asyncio.create_task(in_a_context_without_reconcile())
    first, second = (uuid.UUID(request.headers["x-ms-client-request-id"]) for request in azure.requests)
    assert first != second


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize(
    "call", [GET, PUT, ArmRequest("d", "DELETE", path="/x", subscription="s")], ids=lambda c: c.method
)
async def test_an_idempotent_request_is_retried_after_a_transient_failure(
    failure: httpx.Response | Exception, call: ArmRequest
) -> None:
    azure = azure_with(failure, failure, answer(200, {"done": True}))
    assert (await azure.arm.send(call)).content == {"done": True}
    assert len(azure.requests) == 3
    first, second = azure.time.slept
    assert 0.15 <= first <= 0.3
    assert 0.3 <= second <= 0.6


@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_after_three_attempts_the_failure_is_raised(failure: httpx.Response | Exception) -> None:
    azure = azure_with(failure)
    with pytest.raises(AzureUnavailable):
        await azure.arm.send(GET)
    assert len(azure.requests) == 3


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("call", [ONCE, PATCH, POST], ids=["once", "PATCH", "POST"])
async def test_a_request_that_may_have_been_processed_is_not_retried(
    failure: httpx.Response | Exception, call: ArmRequest
) -> None:
    azure = azure_with(failure, answer(200, {}))
    with pytest.raises(AzureUnavailable):
        await azure.arm.send(call)
    assert len(azure.requests) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        arm_error(401, "ExpiredAuthenticationToken"),
        arm_error(429, "SubscriptionRequestsThrottled"),
        answer(502),
    ],
)
async def test_a_request_that_must_not_be_retried_is_sent_once(refusal: httpx.Response) -> None:
    azure = azure_with(refusal, answer(200, {}))
    with pytest.raises((AzureUnavailable, Throttled)):
        await azure.arm.send(ONCE)
    assert len(azure.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    azure = azure_with(answer(status, headers={"location": "https://evil.example/"}))
    with pytest.raises(AzureUnavailable):
        await azure.arm.send(GET)
    assert [request.url.host for request in azure.requests] == ["management.example"]


@pytest.mark.parametrize("call", [GET, PATCH, POST], ids=lambda c: c.method)
async def test_an_expired_token_is_replaced_once(call: ArmRequest) -> None:
    azure = azure_with(arm_error(401, "ExpiredAuthenticationToken", "It is old."), answer(200, {"done": True}))
    assert (await azure.arm.send(call)).content == {"done": True}
    assert [request.headers["authorization"] for request in azure.requests] == ["Bearer token-1", "Bearer token-2"]
    assert azure.credential.asked == [(None, False), (None, True)]


async def test_a_token_that_is_rejected_twice_is_an_error() -> None:
    azure = azure_with(arm_error(401, "InvalidAuthenticationToken", "No."))
    with pytest.raises(Forbidden):
        await azure.arm.send(GET)
    assert len(azure.requests) == 2


async def test_a_claims_challenge_requests_a_token_with_its_claims() -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}'
    challenge = (
        'Bearer authorization_uri="https://login.windows.net/", error="insufficient_claims", '
        f'claims="{base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")}"'
    )
    azure = azure_with(
        answer(401, {"error": {"code": "InvalidAuthenticationToken"}}, {"www-authenticate": challenge}), answer(200, {})
    )
    await azure.arm.send(GET)
    assert azure.credential.asked == [(None, False), (claims, True)]


async def test_an_invalid_challenge_requests_a_new_token_without_claims() -> None:
    azure = azure_with(answer(401, {}, {"www-authenticate": 'Bearer claims="/w"'}), answer(200, {}))
    await azure.arm.send(GET)
    assert azure.credential.asked == [(None, False), (None, True)]


async def test_a_token_of_the_wrong_tenant_is_not_replaced() -> None:
    azure = azure_with(arm_error(401, "InvalidAuthenticationTokenTenant", "wrong issuer"))
    with pytest.raises(WrongTenant):
        await azure.arm.send(GET)
    assert len(azure.requests) == 1


async def test_many_requests_with_an_expired_token_request_one_new_token() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        fresh = request.headers["authorization"] == "Bearer token-2"
        return answer(200, {}) if fresh else arm_error(401, "ExpiredAuthenticationToken")

    azure = azure_with(handler)
    await asyncio.gather(*(azure.arm.send(GET) for _ in range(20)))
    assert len(azure.credential.asked) == 2


async def test_without_a_token_nothing_is_sent() -> None:
    azure = FakeAzure([answer(200, {})], credential=FakeCredential(CredentialsRejected("no")))
    with pytest.raises(CredentialsRejected):
        await azure.arm.send(GET)
    assert azure.requests == []


async def test_a_short_retry_after_is_waited_for() -> None:
    azure = azure_with(arm_error(429, "SubscriptionRequestsThrottled"), answer(200, {}))
    azure.answers[0].headers["retry-after"] = "4"  # type: ignore[union-attr]
    await azure.arm.send(PATCH)
    assert azure.time.seconds == pytest.approx(4)
    assert azure.observed == [("update DevOps configuration", 429), ("update DevOps configuration", 200)]


async def test_a_long_retry_after_is_raised_and_blocks_further_requests() -> None:
    azure = azure_with(answer(429, headers={"retry-after": "60"}))
    with pytest.raises(Throttled) as refused:
        await azure.arm.send(GET)
    assert refused.value.retry_after == pytest.approx(60)
    assert len(azure.requests) == 1
    with pytest.raises(Throttled) as second_refusal:  # and the next one is not even sent
        await azure.arm.send(GET)
    assert second_refusal.value.retry_after == pytest.approx(60)
    assert len(azure.requests) == 1


async def test_throttled_reads_do_not_delay_writes() -> None:
    azure = azure_with(answer(429, headers={"retry-after": "60"}), answer(200, {}))
    with pytest.raises(Throttled):
        await azure.arm.send(GET)
    await azure.arm.send(PUT)


async def test_a_failure_with_a_long_retry_after_is_raised() -> None:
    azure = azure_with(answer(503, headers={"retry-after": "120"}))
    with pytest.raises(AzureUnavailable) as failed:
        await azure.arm.send(GET)
    assert failed.value.retry_after == 120
    assert len(azure.requests) == 1


@pytest.mark.parametrize(
    ("call", "header", "kind"),
    [
        (GET, "x-ms-ratelimit-remaining-subscription-reads", OperationKind.READS),
        (PUT, "x-ms-ratelimit-remaining-subscription-writes", OperationKind.WRITES),
        (POST, "x-ms-ratelimit-remaining-subscription-writes", OperationKind.WRITES),
        (ArmRequest("d", "DELETE", path="/x"), "x-ms-ratelimit-remaining-subscription-deletes", OperationKind.DELETES),
        (
            ArmRequest("q", "POST", path="/x", kind=OperationKind.RESOURCE_GRAPH),
            "x-ms-user-quota-remaining",
            OperationKind.RESOURCE_GRAPH,
        ),
    ],
)
async def test_the_rate_limiter_applies_the_headers_of_every_response(
    call: ArmRequest, header: str, kind: OperationKind
) -> None:
    azure = azure_with(answer(200, {}, {header: "7"}))
    await azure.arm.send(call)
    (state,) = azure.rate_limiter.states()
    assert state.key.kind is kind
    assert state.available == 7


async def test_an_exhausted_window_of_resource_graph_is_waited_for() -> None:
    azure = azure_with(
        answer(200, {}, {"x-ms-user-quota-remaining": "0", "x-ms-user-quota-resets-after": "00:00:03"}), answer(200, {})
    )
    call = ArmRequest("q", "POST", path="/x", kind=OperationKind.RESOURCE_GRAPH)
    await azure.arm.send(call)
    await azure.arm.send(call)
    assert azure.time.seconds == pytest.approx(3)


async def test_the_number_of_concurrent_requests_is_limited() -> None:
    under_way, release = 0, asyncio.Event()

    async def handler(_request: httpx.Request) -> httpx.Response:
        nonlocal under_way
        under_way += 1
        await release.wait()
        return answer(200, {})

    azure = azure_with(handler)
    requests = [asyncio.create_task(azure.arm.send(GET)) for _ in range(100)]
    for _ in range(2000):  # as many steps as it takes until nobody gets any further
        await asyncio.sleep(0)
    assert under_way == 32
    release.set()
    await asyncio.gather(*requests)
    assert under_way == 100


async def test_a_response_that_is_not_json_is_an_outage() -> None:
    azure = azure_with(httpx.Response(200, content=b"<html>hello</html>"))
    with pytest.raises(AzureUnavailable, match="proxies"):
        await azure.arm.send(GET)
    assert len(azure.requests) == 1


async def test_an_endless_response_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defender_devops.azure.arm.client._BODY_MAX", 1000)
    azure = azure_with(httpx.Response(200, content=b"[" * 2000))
    with pytest.raises(AzureUnavailable, match="larger"):
        await azure.arm.send(GET)


async def test_a_secret_in_a_body_is_sent_and_never_represented() -> None:
    call = ArmRequest("c", "PUT", path="/x", body={"properties": {"authorization": {"code": SecretStr("the-code")}}})
    azure = azure_with(answer(200, {}))
    await azure.arm.send(call)
    assert azure.body() == {"properties": {"authorization": {"code": "the-code"}}}
    assert "the-code" not in repr(call)


async def test_a_list_is_read_to_its_last_page() -> None:
    azure = azure_with(
        page([{"n": 1}], f"{ENDPOINT}/next?token=a%2Fb"), page([{"n": 2}], f"{ENDPOINT}/next?token=c"), page([{"n": 3}])
    )
    assert [entry["n"] for entry in await azure.arm.values(GET)] == [1, 2, 3]
    assert azure.requests[1].url.raw_path == b"/next?token=a%2Fb"


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/next",
        "http://management.example/next",
        "https://management.example:444/next",
        "https://management.example.evil.example/next",
        "https://management.example@evil.example/next",
        "https://management.example:443@evil.example/next",
        "https://user:password@management.example/next",
        r"https://management.example\@evil.example/next",
        r"https://evil.example\@management.example/next",
        "https://evil.example#@management.example/next",
        "https://evil.example?@management.example/next",
        "https://management.example\n.evil.example/next",
        "https://management%2eexample/next",
        "https://management.example%00.evil.example/next",
        "https://management.example./next",
        "https://m\u0430nagement.example/next",
        "https://[management.example]/next",
        "https://[::1]/next",
        "https://management.example:99999/next",
        f"https://{'a' * 64}.example/next",
        "//management.example/next",
        "///management.example/next",
        "https:///management.example/next",
        "https:management.example/next",
        "/next",
        "https://[",
        "x" * 70000,
    ],
)
async def test_a_link_to_another_host_is_not_followed(link: str) -> None:
    azure = azure_with(page([], link))
    with pytest.raises(AzureUnavailable, match="not followed"):
        await azure.arm.values(GET)
    assert len(azure.requests) == 1


@pytest.mark.parametrize(
    ("link", "path"),
    [
        ("https://MANAGEMENT.example/next?s=%2F", "/next?s=%2F"),
        ("HTTPS://management.example:443/next?s=%2F", "/next?s=%2F"),
        ("https://management.example:/next", "/next"),
        ("https://management.example?s=1", "/?s=1"),
        ("https://management.example//evil.example/next", "//evil.example/next"),
        ("https://management.example/next#fragment", "/next"),
        ("https://management.example/a b\r\nX: y?s=%2F", "/a%20bX:%20y?s=/"),
        ("https://management.example/?next=https://evil.example/@x", "/?next=https://evil.example/@x"),
    ],
)
async def test_a_link_to_the_endpoint_in_another_spelling_is_followed(link: str, path: str) -> None:
    azure = azure_with(page([], link), page([{"n": 1}]))
    assert await azure.arm.values(GET) == [{"n": 1}]
    assert str(azure.requests[1].url) == f"{ENDPOINT}{path}"


PARTS_OF_LINKS = (
    *("https:", "//", "/", "\\", "@", ":", "443", "?", "#", "[", "]", "%40", "%2f", "\t", "\x00", " "),
    *("management.example", "MANAGEMENT.example", "evil.example", "::1", "。", ".", "é", "\ud800"),
)


@given(
    st.text("https://management.example", max_size=30)
    | st.lists(st.sampled_from(PARTS_OF_LINKS), max_size=10).map("".join)
    | st.lists(st.sampled_from(PARTS_OF_LINKS), max_size=6).map(lambda parts: "https://" + "".join(parts))
    | st.text(max_size=20).map("https://management.example{}".format)
)
def test_no_link_leaves_the_endpoint(link: str) -> None:
    azure = azure_with()
    try:
        url = azure.arm._url(GET.for_page(link))
    except AzureUnavailable:
        return
    assert urlsplit(url).netloc == httpx.URL(url).netloc.decode() == "management.example"
    assert URL(url).raw_authority == URL(url, encoded=True).raw_authority == "management.example"
    assert re.fullmatch(r"https://management\.example/[!-~]*", url)


async def test_pages_that_link_in_a_circle_are_an_error() -> None:
    azure = azure_with(page([], f"{ENDPOINT}/next"))
    with pytest.raises(AzureUnavailable, match="do not end"):
        await azure.arm.values(GET)


async def test_pages_that_never_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defender_devops.azure.arm.client._PAGES_MAX", 20)
    azure = FakeAzure([lambda _request: page([], f"{ENDPOINT}/{len(azure.requests)}")])
    with pytest.raises(AzureUnavailable, match="do not end"):
        await azure.arm.values(GET)


@pytest.mark.parametrize("segments", [("a", ""), ("..", "b"), (".",)])
def test_a_path_cannot_contain_relative_segments(segments: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        arm_path(*segments)


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..") and text.isprintable()))
def test_a_name_stays_one_segment(name: str) -> None:
    url = httpx.URL(f"{ENDPOINT}{arm_path('a', name, 'b')}?api-version=1")
    assert url.raw_path.count(b"/") == 3
    assert url.path == f"/a/{name}/b"


async def test_no_library_logs_a_signed_url(caplog: pytest.LogCaptureFixture) -> None:
    azure = azure_with(page([]))
    with caplog.at_level(logging.DEBUG):
        await azure.arm.values(GET.for_page(f"{ENDPOINT}/operationResults/1?s=signature"))
    assert azure.requests[0].url.params["s"] == "signature"
    assert "signature" not in caplog.text
