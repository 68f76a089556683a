"""Attacks on the sign-in, cookie rejected: on the pages, on the authorization response, and through manifests."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import httpx
import pytest

from sandbox.cluster.client import condition
from sandbox.demo.browser import Browser
from tests.support.scenarios.scenario import ACCOUNT, KIND
from tests.support.scenarios.sign_in_scenario import APP, PASSWORD, TOKENS, SignInScenario
from tests.system.signin.conftest import Stage

APP_SECRET = "sandbox-sign-in-secret"


@pytest.fixture
def victim() -> Iterator[httpx.Client]:
    """A browser that keeps cookies and follows no redirects."""
    with httpx.Client(follow_redirects=False, trust_env=False, timeout=30) as client:
        yield client


def begin(client: httpx.Client, scenario: SignInScenario, name: str = "contoso") -> dict[str, str]:
    """Press the button and return the parameters of the authorization request."""
    response = client.post(f"{scenario.address(name)}/sign-in")
    assert response.status_code == 303
    return {key: values[0] for key, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def callback(scenario: SignInScenario) -> str:
    return scenario.address().split("/connectors/")[0] + "/callback"


def respond(client: httpx.Client, scenario: SignInScenario, **fields: str) -> httpx.Response:
    """Post an authorization response to the callback as Entra ID's form does, and follow the redirect."""
    posted = client.post(callback(scenario), data=fields)
    if posted.status_code != 303:
        return posted
    return client.get(posted.headers["Location"])


def code_for(scenario: SignInScenario, params: dict[str, str], account: str = ACCOUNT) -> str:
    """Return the code that Entra ID issues to a person who signs in with exactly that request."""
    with Browser(scenario.ca) as browser:
        authority = re.search(r"https://[^ ]+authorize", params["_address"])
        assert authority
        query = "&".join(f"{key}={quote(value)}" for key, value in params.items() if key != "_address")
        browser.open(f"{authority.group()}?{query}")
        browser.press("Sign in", loginfmt=account, passwd=PASSWORD)
        browser.press("Accept")
        assert browser._page
        return browser._page.forms[-1].values["code"]


def begin_for_real(client: httpx.Client, scenario: SignInScenario) -> dict[str, str]:
    response = client.post(f"{scenario.address()}/sign-in")
    query = urlsplit(response.headers["Location"]).query
    params = {key: values[0] for key, values in parse_qs(query).items()}
    return params | {"_address": response.headers["Location"].split("?")[0]}


def assert_rejected(response: httpx.Response, message: str) -> None:
    assert response.status_code == 403
    assert message in response.text.replace("&#39;", "'")


def assert_nobody_signed_in(scenario: SignInScenario) -> None:
    assert "refresh-token" not in scenario.tokens()


def test_the_parameters_of_the_authorization_request(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    params = begin(victim, scenario)
    assert (params["code_challenge_method"], params["response_mode"]) == ("S256", "form_post")
    assert params["login_hint"] == ACCOUNT
    assert len(params["state"]) >= 43
    assert len(params["nonce"]) >= 43
    (cookie,) = [cookie for cookie in victim.cookies.jar if cookie.name.startswith("sign-in-")]
    assert cookie.path == "/signin/callback"
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite") == "Lax"
    assert params["state"] not in str(cookie.value)


def test_a_response_works_once_and_a_replay_is_rejected(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    params = begin_for_real(victim, scenario)
    stored = dict(victim.cookies)
    code = code_for(scenario, params)
    first = respond(victim, scenario, state=params["state"], code=code)
    assert (first.status_code, first.headers["Location"]) == (303, f"{scenario.address()}/result")
    assert not [cookie for cookie in victim.cookies.jar if cookie.name.startswith("sign-in-")], "the cookie is deleted"
    for name, value in stored.items():
        victim.cookies.set(name, value, path="/signin/callback")
    assert_rejected(respond(victim, scenario, state=params["state"], code=code), "used before")


def test_a_forged_state_is_rejected(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    begin(victim, scenario)
    assert_rejected(respond(victim, scenario, state="forged", code="1.Acode"), "does not belong to a sign-in")
    assert_rejected(respond(victim, scenario, code="1.Acode"), "not the response to a sign-in")
    assert_nobody_signed_in(scenario)


def test_a_forged_cookie_is_rejected(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    params = begin(victim, scenario)
    name = next(cookie.name for cookie in victim.cookies.jar if cookie.name.startswith("sign-in-"))
    payload = base64.urlsafe_b64encode(b'{"uid":"x","state":"y"}').decode().rstrip("=")
    victim.cookies.clear()
    victim.cookies.set(name, payload, path="/signin/callback")
    assert_rejected(respond(victim, scenario, state=params["state"], code="1.Acode"), "does not belong to a sign-in")


def test_another_browser_cannot_finish_a_sign_in(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    with httpx.Client(trust_env=False, timeout=30) as attacker:
        params = begin_for_real(attacker, scenario)
        code = code_for(scenario, params)
    assert_rejected(respond(victim, scenario, state=params["state"], code=code), "does not belong to a sign-in")
    assert_nobody_signed_in(scenario)


def test_the_state_of_another_connector_is_rejected(scenario: SignInScenario, victim: httpx.Client) -> None:
    """Exchanged cookies are rejected: cookie belongs to one connector."""
    scenario.connect()
    scenario.only_sign_in("another", scenario.connector()["spec"]["signIn"])
    first, second = begin(victim, scenario), begin(victim, scenario, "another")
    cookies = {cookie.name: str(cookie.value) for cookie in victim.cookies.jar if cookie.name.startswith("sign-in-")}
    assert len(cookies) == 2
    one, two = cookies
    victim.cookies.clear()
    victim.cookies.set(one, cookies[two], path="/signin/callback")
    victim.cookies.set(two, cookies[one], path="/signin/callback")
    assert_rejected(respond(victim, scenario, state=first["state"], code="1.Acode"), "belongs to another sign-in")
    assert_rejected(respond(victim, scenario, state=second["state"], code="1.Acode"), "belongs to another sign-in")


def test_a_response_of_another_issuer_is_rejected(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    params = begin(victim, scenario)
    response = respond(victim, scenario, state=params["state"], code="1.Acode", iss="https://evil.example/v2.0")
    assert_rejected(response, "another service than Entra ID")
    assert_nobody_signed_in(scenario)


def test_a_code_of_another_sign_in_cannot_be_injected(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    with httpx.Client(trust_env=False, timeout=30) as attacker:
        stolen = code_for(scenario, begin_for_real(attacker, scenario))
    params = begin(victim, scenario)
    assert_rejected(respond(victim, scenario, state=params["state"], code=stolen), "PKCE")
    assert_nobody_signed_in(scenario)


@pytest.mark.parametrize(
    "query",
    [
        "state=a&state=b&code=c",
        "code=c&code=d&state=a",
        f"state={'x' * 9000}",
        "answer=AAAA",
        "answer=",
        "",
        "state=%00&code=%0d%0aSet-Cookie:a=b",
    ],
)
def test_every_request_to_the_callback_gets_a_page(scenario: SignInScenario, victim: httpx.Client, query: str) -> None:
    scenario.connect()
    response = victim.get(f"{callback(scenario)}?{query}")
    assert response.status_code in {400, 403}
    assert "Set-Cookie" not in response.headers or "a=b" not in response.headers["Set-Cookie"]


def test_an_error_is_not_repeated_on_the_page(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    params = begin(victim, scenario)
    html = "<script>alert(1)</script>"
    response = respond(victim, scenario, state=params["state"], error=html, error_description=f"AADSTS99999 {html}")
    assert "<script" not in response.text
    assert "alert(1)" not in response.text


def test_no_page_redirects_elsewhere_than_to_entra(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    for path in ("?next=https://evil.example", "/result?return=https://evil.example", "//evil.example"):
        response = victim.get(f"{scenario.address()}{path}")
        assert "evil.example" not in response.headers.get("Location", "")
    assert "evil.example" not in victim.get(f"{callback(scenario)}?redirect_uri=https://evil.example").text


@pytest.mark.parametrize("path", ["", "/result", "/device", "/nothing"])
def test_every_response_has_the_security_headers(scenario: SignInScenario, victim: httpx.Client, path: str) -> None:
    scenario.connect()
    headers = victim.get(f"{scenario.address()}{path}").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


def test_another_site_cannot_press_the_button(scenario: SignInScenario, victim: httpx.Client) -> None:
    scenario.connect()
    response = victim.post(f"{scenario.address()}/sign-in", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert "Location" not in response.headers


@pytest.mark.parametrize("target", ["a person's", "another connector's"])
def test_a_token_secret_of_another_owner_is_not_used(scenario: SignInScenario, target: str) -> None:
    kind = {"a person's": "Opaque", "another connector's": "defender-devops.io/azure-devops-token"}[target]
    scenario.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": kind,
            "metadata": {"name": "somebody-elses", "namespace": scenario.namespace},
            "data": {"refresh-token": base64.b64encode(b"stolen").decode()},
        }
    )
    secret = scenario.kube.get("Secret", "somebody-elses", scenario.namespace)
    scenario.connect({"tokenSecretName": "somebody-elses"})
    body = scenario.wait("SignedIn", "False", "OAuthAppMisconfigured", timeout=30)
    assert "neither read nor changed" in condition(body, "SignedIn")["message"]
    assert scenario.kube.get("Secret", "somebody-elses", scenario.namespace) == secret


def test_a_secret_of_another_namespace_cannot_be_named(scenario: SignInScenario) -> None:
    """A reference has a name only: a namespace beside it is dropped, and a path in it is rejected."""
    scenario.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "only-there", "namespace": "defender-devops"},
            "data": {"client-secret": base64.b64encode(b"sandbox-sign-in-secret").decode()},
        }
    )
    reference = {"name": "only-there", "key": "client-secret"}
    scenario.connect({"client": {"id": APP, "type": "Secret", "secretRef": reference}}, signIn=None)
    scenario.connect({"client": {"id": APP, "type": "Secret", "secretRef": reference}, "method": "ServicePrincipal"})
    body = scenario.wait("SignedIn", "False", "CredentialsMissing", timeout=30)
    assert "only-there" in condition(body, "SignedIn")["message"]


def test_a_federated_client_without_a_grant_is_rejected(scenario: SignInScenario) -> None:
    scenario.connect({"method": "ServicePrincipal", "account": None, "client": {"id": APP, "type": "Federated"}})
    body = scenario.wait("SignedIn", "False", "CredentialsMissing", timeout=30)
    assert "not granted" in condition(body, "SignedIn")["message"]


WITH_CODE: dict[str, object] = {
    "authorization": {"method": "Code", "codeSecretRef": {"name": "code", "key": "code"}, "account": ACCOUNT},
}


def test_a_reader_of_the_connector_cannot_authorize_defender(scenario: SignInScenario, victim: httpx.Client) -> None:
    """Whoever may `get` the connector knows the page's address, and can get a code of an account of their own."""
    scenario.connect(**WITH_CODE, azure={"connectorName": f"reader-{scenario.namespace}"})
    scenario.wait("Authorized", "False", "AwaitingAuthorization")
    code = scenario.control.issue_code("alex@contoso.com")
    page = scenario.address()
    assert "<textarea" not in victim.get(page).text
    rejected = victim.post(f"{page}/code", data={"code": code})
    assert rejected.status_code == 403
    assert "Sign in on this page first" in rejected.text
    scenario.sign_in()  # in another browser
    scenario.wait("SignedIn", "True", timeout=30)
    assert victim.post(f"{page}/code", data={"code": code}).status_code == 403
    scenario.sign_in("alex@contoso.com")
    assert victim.post(f"{page}/code", data={"code": code}).status_code == 403
    assert "defender-code" not in scenario.tokens()
    assert "codeHash" not in scenario.status().get("authorization", {})


@pytest.mark.parametrize(
    "sign_in",
    [{"method": "ServicePrincipal", "account": None}, {"method": "DeviceCode", "client": {"id": APP}}],
    ids=lambda sign_in: str(sign_in["method"]),
)
def test_without_a_sign_in_with_a_browser_no_code_is_accepted(
    scenario: SignInScenario, victim: httpx.Client, sign_in: dict[str, object]
) -> None:
    name = f"{sign_in['method']}-{scenario.namespace}"
    scenario.connect(sign_in, **WITH_CODE, azure={"connectorName": name})
    scenario.wait("Authorized", "False", "AwaitingAuthorization")
    page = scenario.address()
    assert "<textarea" not in victim.get(page).text
    code = scenario.control.issue_code(ACCOUNT)
    assert victim.post(f"{page}/code", data={"code": code}).status_code == 403
    scenario.secret("code", code=code)
    scenario.wait("Authorized", "True", timeout=30)


def test_the_address_of_the_page_is_in_no_message_event_or_log(scenario: SignInScenario) -> None:
    scenario.connect()
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=30)
    scenario.control.change_account(ACCOUNT, revoke_sessions=True)
    body = scenario.wait("ReauthRequired", "True", timeout=30)
    _, uid, signature = scenario.address().rsplit("/", 2)
    assert signature in body["status"]["signIn"]["url"]
    events = scenario.kube.list_all("Event", scenario.namespace)
    assert any(event["reason"] == "SignInRequired" for event in events)
    for text in (str(body["status"]["conditions"]), str(events), scenario.log.read_text()):
        assert signature not in text
        assert f"/connectors/{uid}" not in text


def test_the_address_of_a_deleted_connector_is_not_found_at_once(
    scenario: SignInScenario, stage: Stage, victim: httpx.Client
) -> None:
    scenario.connect()
    sign_in = scenario.connector()["spec"]["signIn"]
    names = [f"deleted-{number}" for number in range(6)]
    for name in names:
        scenario.only_sign_in(name, sign_in)
    pages = [scenario.address(name) for name in names]

    def statuses() -> set[int]:
        return {victim.get(page).status_code for page in pages}

    assert statuses() == {200}
    for name in names:
        scenario.kube.delete(KIND, name, scenario.namespace)
    for name in names:
        scenario.kube.wait_deleted(KIND, name, scenario.namespace)
    # One after the other: the pages' rate limit would respond to more. Finalizers are removed in any order, so that
    # no page stands for the others.
    for page in pages:
        stage.operator.process.wait_until(lambda page=page: victim.get(page).status_code == 404 or None, timeout=10)
    assert statuses() == {404}
    scenario.wait("Ready", "True", timeout=30)
    assert statuses() == {404}, "later reconciles do not bring them back"


async def flood(address: str, requests: int, at_once: int) -> dict[int, int]:
    """Request a page many times and return the number of responses by status."""
    statuses: dict[int, int] = {}
    numbers = iter(range(requests))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as client:

        async def send_requests() -> None:
            for _ in numbers:
                async with client.get(address) as response:
                    await response.read()
                    statuses[response.status] = statuses.get(response.status, 0) + 1

        await asyncio.gather(*(send_requests() for _ in range(at_once)))
    return statuses


async def test_ten_thousand_requests_do_not_delay_reconciles(scenario: SignInScenario) -> None:
    scenario.connect()
    address = scenario.address()
    start = time.monotonic()
    flooding = asyncio.create_task(flood(address, requests=10_000, at_once=16))
    await asyncio.sleep(0.2)

    def edit_and_wait() -> None:
        scenario.kube.patch(KIND, "contoso", {"spec": {"azure": {"tags": {"edited": "yes"}}}}, scenario.namespace)
        generation = scenario.connector()["metadata"]["generation"]
        scenario.kube.wait(
            KIND,
            "contoso",
            scenario.namespace,
            until=lambda body: body["status"].get("observedGeneration") == generation,
            timeout=20,
        )

    await asyncio.to_thread(edit_and_wait)
    assert not flooding.done(), "the reconcile ran during the flood"
    statuses = await flooding
    assert sum(statuses.values()) == 10_000
    assert set(statuses) == {200, 429}
    assert statuses[200] <= 60 + 10 * (time.monotonic() - start) + 1, "the burst, and the rate"


def test_no_secret_is_in_the_log(scenario: SignInScenario, victim: httpx.Client) -> None:
    """The operator logs at debug level; all tests of this folder share the log."""
    scenario.connect()
    params = begin_for_real(victim, scenario)
    code = code_for(scenario, params)
    respond(victim, scenario, state=params["state"], code=code)
    scenario.wait("SignedIn", "True", timeout=30)
    tokens = scenario.tokens()
    log = scenario.log.read_text()
    body = str(scenario.connector())
    events = str(scenario.kube.list_all("Event", scenario.namespace))
    secrets = [
        code,
        params["state"],
        tokens["refresh-token"],
        tokens["access-token"],
        "sandbox-sign-in-secret",
        PASSWORD,
    ]
    for secret in secrets:
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
            assert form not in log
            assert form not in body
            assert form not in events
    assert TOKENS in str(scenario.kube.list_all("Secret", scenario.namespace))
