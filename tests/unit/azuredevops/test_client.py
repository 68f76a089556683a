"""What answers of Azure DevOps mean, and how fast it is asked."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.azuredevops.client import AzureDevOpsClient, Endpoints, azure_devops_list, quote_path_segment
from defender_devops.azuredevops.errors import ClaimsRequired, raise_azure_devops_error
from defender_devops.azuredevops.rate_limiter import MAX_DELAY, RateLimiter
from defender_devops.errors import (
    AzureDevOpsDenied,
    AzureDevOpsError,
    AzureDevOpsNotFound,
    AzureDevOpsUnavailable,
    SignInExpired,
)
from defender_devops.settings import Settings
from tests.support.fakes.azure_devops import AzureDevOpsSetup, FakeMonotonicClock

HTML = {"Content-Type": "text/html; charset=utf-8"}
CLAIMS = 'Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'


def answer(status: int, body: str = "", **headers: str) -> httpx.Response:
    header_names = {key.replace("_", "-"): value for key, value in headers.items()}
    return httpx.Response(status, text=body, headers=header_names)


TABLE = [
    ("the sign-in page by 203", answer(203, "<html>", Content_Type="text/html"), SignInExpired, "sign-in page"),
    (
        "a redirect to it",
        answer(302, Location="https://spsprodeus1.vssps.visualstudio.com/_signin"),
        SignInExpired,
        "sign-in page",
    ),
    (
        "the page with 200",
        answer(200, "<html>", Content_Type="text/html; charset=utf-8"),
        SignInExpired,
        "sign-in page",
    ),
    ("401", answer(401), SignInExpired, "HTTP 401"),
    ("401 with claims", answer(401, WWW_Authenticate=CLAIMS), ClaimsRequired, "other claims"),
    (
        "not a member",
        answer(401, '{"message": "TF400813: The user \'aaa\' is not authorized to access this resource."}'),
        AzureDevOpsDenied,
        "not a member of the organization",
    ),
    (
        "never signed in there",
        answer(401, '{"message": "TF401444: Please sign-in at least once as tid\\\\oid\\\\upn in a web browser."}'),
        AzureDevOpsDenied,
        "once in a browser",
    ),
    (
        "no right",
        answer(403, '{"message": "VS403283: No.", "typeKey": "AccessDeniedException"}'),
        AzureDevOpsDenied,
        r"VS403283: No. \(AccessDeniedException\)",
    ),
    ("no organization", answer(404, '{"message": "x", "typeKey": "y"}'), AzureDevOpsNotFound, "no such organization"),
    ("no organization, as a page", answer(404, "<html>", X_VSS_E2EID="1"), AzureDevOpsNotFound, "no such organization"),
    ("gone", answer(410, '{"message": "x", "errorCode": 0}'), AzureDevOpsNotFound, "no such organization"),
    ("404 of a proxy", answer(404, "<html>"), AzureDevOpsUnavailable, "not its own"),
    (
        "blocked for usage",
        answer(429, '{"message": "TF400733: The request has been canceled: exceeded usage."}'),
        AzureDevOpsUnavailable,
        "dedicated account",
    ),
    ("throttled", answer(429), AzureDevOpsUnavailable, "HTTP 429"),
    ("broken", answer(500), AzureDevOpsUnavailable, "HTTP 500"),
    ("unavailable", answer(503, "<html>", Content_Type="text/html"), AzureDevOpsUnavailable, "HTTP 503"),
    ("anything else", answer(400, '{"message": "bad"}'), AzureDevOpsError, "HTTP 400"),
    ("a body that is no JSON", answer(400, "{"), AzureDevOpsError, "HTTP 400"),
    ("JSON that is no object", answer(409, "[1]"), AzureDevOpsError, "HTTP 409"),
]


def test_a_token_in_the_message_of_azure_devops_is_removed() -> None:
    token = "eyJ0" + "x" * 100 + ".payload.signature"
    repeating = answer(400, json.dumps({"message": f"The token {token} is bad", "typeKey": token}))
    with pytest.raises(AzureDevOpsError, match="The token") as caught:
        raise_azure_devops_error(repeating, None)
    assert "xxxx" not in caught.value.message


@pytest.mark.parametrize(("response", "kind", "phrases"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_response_has_its_error(response: httpx.Response, kind: type[AzureDevOpsError], phrases: str) -> None:
    with pytest.raises(kind, match=phrases) as caught:
        raise_azure_devops_error(response, None)
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_successful_response_raises_nothing(status: int) -> None:
    raise_azure_devops_error(answer(status, "{}", Content_Type="application/json"), None)


def test_the_error_has_the_claims_of_the_challenge() -> None:
    with pytest.raises(ClaimsRequired) as caught:
        raise_azure_devops_error(answer(401, WWW_Authenticate=CLAIMS), None)
    assert caught.value.claims == "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="


@given(st.integers(200, 599), st.text(max_size=200))
def test_every_response_is_a_success_or_an_azure_devops_error(status: int, body: str) -> None:
    if status in {200, 201, 202, 204}:
        raise_azure_devops_error(answer(status, body), 5.0)
        return
    with pytest.raises(AzureDevOpsError) as caught:
        raise_azure_devops_error(answer(status, body), 5.0)
    assert len(caught.value.message) < 500


async def test_requests_suppress_the_sign_in_page_and_accept_json(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = {"a": 1}
    assert await reach.client.get(f"{reach.service.url}/x") == {"a": 1}
    (request,) = reach.service.requests
    assert request.headers["X-TFS-FedAuthRedirect"] == "Suppress"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Authorization"] == "Bearer access-token-value"
    assert request.query["api-version"] == "7.1"


async def test_a_redirect_is_never_followed_with_the_token(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = web.Response(status=302, headers={"Location": f"{reach.service.url}/elsewhere"})
    with pytest.raises(SignInExpired):
        await reach.client.get(f"{reach.service.url}/x")
    assert [request.path for request in reach.service.requests] == ["/x"]


async def test_cookies_of_responses_are_never_sent(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = web.json_response({}, headers={"Set-Cookie": "VstsSession=account-1; Path=/"})
    await reach.client.get(f"{reach.service.url}/x")
    await reach.client.get(f"{reach.service.url}/x")
    assert "Cookie" not in reach.service.requests[1].headers


async def test_pages_are_followed_by_their_continuation_token(reach: AzureDevOpsSetup) -> None:
    def page(request: web.Request) -> web.Response:
        number = int(request.query.get("continuationToken", "0"))
        headers = {"x-ms-continuationtoken": str(number + 1)} if number < 2 else {}
        return web.json_response({"count": 1, "value": [{"number": number}]}, headers=headers)

    reach.service.responses["/list"] = page
    assert [page async for page in reach.client.pages(f"{reach.service.url}/list", {"$top": "1"})] == [
        [{"number": number}] for number in range(3)
    ]
    assert all(request.query["$top"] == "1" for request in reach.service.requests)


async def test_a_list_that_repeats_its_continuation_token_is_an_error(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/list"] = web.json_response({"value": []}, headers={"x-ms-continuationtoken": "same"})
    with pytest.raises(AzureDevOpsUnavailable, match="same continuation token"):
        [page async for page in reach.client.pages(f"{reach.service.url}/list", {})]


@pytest.mark.parametrize(
    "body", [{}, {"count": 0}, {"value": None}, {"value": "x"}, {"value": [None]}, {"value": [{}, 7]}, "text", 7, None]
)
def test_a_response_without_its_list_is_an_outage(body: object) -> None:
    with pytest.raises(AzureDevOpsUnavailable, match="does not have the requested list"):
        azure_devops_list(body)


async def test_a_gateway_error_is_retried(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = [web.Response(status=502), web.Response(status=503), web.json_response({"a": 1})]
    assert await reach.client.get(f"{reach.service.url}/x") == {"a": 1}
    assert len(reach.monotonic.sleeps) == 2


async def test_a_failing_service_gets_three_attempts(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = web.Response(status=503)
    with pytest.raises(AzureDevOpsUnavailable):
        await reach.client.get(f"{reach.service.url}/x")
    assert len(reach.service.requests) == 3


async def test_an_unreachable_service_is_reported_without_the_token(reach: AzureDevOpsSetup) -> None:
    client = AzureDevOpsClient(reach.http, Endpoints(), reach.client.token, reach.client.rate_limiter)
    with pytest.raises(AzureDevOpsUnavailable, match="cannot be reached") as caught:
        await client.get("http://127.0.0.1:1/x")
    assert caught.value.__cause__ is None
    assert "access-token-value" not in f"{caught.value!r} {client!r}"


async def test_every_request_is_observed_by_the_area_of_its_path(
    reach: AzureDevOpsSetup,
) -> None:
    observed: list[tuple[str, int | None]] = []
    client = replace(reach.client, observe=lambda area, status, _: observed.append((area, status)))
    path = "/contoso/_apis/userentitlements/11111111-0000-0000-0000-000000000001"
    reach.service.responses[path] = [web.Response(status=503), web.json_response({"a": 1})]
    await client.get(f"{reach.service.url}{path}")
    with pytest.raises(AzureDevOpsUnavailable):
        await client.get("http://127.0.0.1:1/contoso/Payments/_apis/git/repositories")
    assert observed == [("userentitlements", 503), ("userentitlements", 200), *[("git", None)] * 3]


async def test_retry_after_of_a_success_delays_the_next_request(
    reach: AzureDevOpsSetup,
) -> None:
    reach.service.responses["/x"] = web.json_response({"a": 1}, headers={"Retry-After": "7"})
    assert await reach.client.get(f"{reach.service.url}/x") == {"a": 1}
    assert (len(reach.service.requests), reach.monotonic.sleeps) == (1, [])
    await reach.client.get(f"{reach.service.url}/x")
    assert reach.monotonic.sleeps == [7.0]


async def test_a_delay_that_is_too_long_is_raised_with_its_length(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = web.json_response({}, headers={"Retry-After": str(MAX_DELAY + 100)})
    await reach.client.get(f"{reach.service.url}/x")
    with pytest.raises(AzureDevOpsUnavailable, match="slow down") as caught:
        await reach.client.get(f"{reach.service.url}/x")
    assert caught.value.retry_after == pytest.approx(MAX_DELAY + 100)
    assert len(reach.service.requests) == 1


async def test_a_429_is_not_retried_before_retry_after(reach: AzureDevOpsSetup) -> None:
    reach.service.responses["/x"] = web.Response(status=429, headers={"Retry-After": "60"})
    with pytest.raises(AzureDevOpsUnavailable) as caught:
        await reach.client.get(f"{reach.service.url}/x")
    assert (len(reach.service.requests), caught.value.retry_after) == (1, 60.0)


def headers(**values: str) -> dict[str, str]:
    return {f"X-RateLimit-{key}": value for key, value in values.items()}


def test_an_exhausted_window_delays_until_its_reset() -> None:
    monotonic = FakeMonotonicClock()
    rate_limiter = RateLimiter(monotonic=monotonic, wall=monotonic)
    rate_limiter.update(headers(Resource="AnalysisService", Delay="1.5", Limit="200", Remaining="0", Reset="1042"))
    assert rate_limiter.delay == 42.0
    assert rate_limiter.headers
    assert (rate_limiter.headers.resource, rate_limiter.headers.limit, rate_limiter.headers.delay) == (
        "AnalysisService",
        200.0,
        1.5,
    )


@pytest.mark.parametrize("value", ["", "soon", "-5", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT", "1e400"])
def test_a_header_that_is_not_a_number_is_ignored(value: str) -> None:
    rate_limiter = RateLimiter(monotonic=FakeMonotonicClock())
    rate_limiter.update({"Retry-After": value})
    assert rate_limiter.delay == 0.0


def test_a_shorter_delay_does_not_replace_a_longer_one() -> None:
    rate_limiter = RateLimiter(monotonic=FakeMonotonicClock())
    rate_limiter.update({"Retry-After": "10"})
    rate_limiter.update({"Retry-After": "1"})
    assert rate_limiter.delay == 10.0


@given(st.text(max_size=30))
def test_a_name_remains_one_segment_of_a_path(name: str) -> None:
    assert not set("/?#\\ ") & set(quote_path_segment(name))


def test_the_endpoints_are_those_of_the_settings() -> None:
    assert Endpoints.from_settings(Settings()) == Endpoints()
