"""Entra's token endpoint: each class of error that a client has to distinguish, with its number and status."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import jwt
import pytest
import yaml

from sandbox.cloud.entra.catalogue import CATALOGUE
from sandbox.cloud.world.load import DEFAULT_WORLD
from sandbox.cloud.world.schema import WorldFile
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    APP_ID,
    DEVOPS_SCOPE,
    OTHER_TENANT,
    REDIRECT,
    SIGN_IN_APP_ID,
    TENANT,
    Answer,
    Direct,
)

TOKEN = f"/{TENANT}/oauth2/v2.0/token"
SECRET = {"client_id": SIGN_IN_APP_ID, "client_secret": "sandbox-sign-in-secret"}
OWN = {
    "grant_type": "client_credentials",
    "client_id": APP_ID,
    "client_secret": "sandbox-secret",
    "scope": "https://management.azure.com/.default",
}
VERIFIER = "a" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DAY = 86400.0


def failed(answer: Answer) -> tuple[int, str, int]:
    """Return status, error and AADSTS number of an error; its description must have the number."""
    body = answer.json
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    assert {"timestamp", "trace_id", "correlation_id", "error_uri"} <= set(body)
    return answer.status, body["error"], body["error_codes"][0]


class Browser:
    """A browser on the pages."""

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self.cookie = ""

    async def open(self, **changes: str) -> Answer:
        """Open the authorize endpoint, with parameters changed or (if empty) removed."""
        parameters = {
            "client_id": SIGN_IN_APP_ID,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": DEVOPS_SCOPE,
            "state": "state-1",
            "nonce": "nonce-1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        tenant = changes.pop("tenant", TENANT)
        parameters = {name: value for name, value in {**parameters, **changes}.items() if value}
        return await self._send("GET", f"/{tenant}/oauth2/v2.0/authorize?{urlencode(parameters)}")

    async def submit(self, page: Answer, **fields: str) -> Answer:
        """Send the form of a page."""
        action = re.search(r'action="([^"]+)"', page.text)
        context = re.search(r'name="ctx" value="([^"]+)"', page.text)
        assert action is not None, page.text
        hidden = {} if context is None else {"ctx": context.group(1)}
        return await self._send("POST", action.group(1), {**hidden, **fields})

    async def sign_in(self, page: Answer, name: str = ACCOUNT, password: str = "sandbox-password") -> Answer:  # noqa: S107 - of the default world
        return await self.submit(page, loginfmt=name, passwd=password)

    async def code(self, **changes: str) -> str:
        """Sign in and consent, up to the code."""
        page = await self.sign_in(await self.open(**{"prompt": "login", **changes}))
        if "Permissions requested" in page.text:
            page = await self.submit(page, decision="accept")
        return back(page)["code"]

    async def _send(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        body = urlencode(form or {}).encode()
        answer = await self._direct.send("authority", method, path, body, {"Cookie": self.cookie})
        assert answer is not None
        self.cookie = answer.headers.get("Set-Cookie", self.cookie).partition(";")[0]
        return answer


def back(answer: Answer) -> dict[str, str]:
    """Return the parameters of the redirect to the application."""
    assert answer.status == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    return {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}


@pytest.fixture
def browser(direct: Direct) -> Browser:
    return Browser(direct)


async def redeem(direct: Direct, code: str, /, **changes: str) -> Answer:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **SECRET,
        **changes,
    }
    tenant = form.pop("tenant", TENANT)
    return await direct.entra(f"/{tenant}/oauth2/v2.0/token", {name: value for name, value in form.items() if value})


async def refresh(direct: Direct, token: str, **changes: str) -> Answer:
    form = {"grant_type": "refresh_token", "refresh_token": token, "scope": DEVOPS_SCOPE, **SECRET, **changes}
    return await direct.entra(TOKEN, {name: value for name, value in form.items() if value})


# --- client credentials


@dataclass(frozen=True)
class Refusal:
    """A change of a valid request, and the resulting error."""

    changes: dict[str, str]
    expected: tuple[int, str, int]
    tenant: str = TENANT
    headers: dict[str, str] = field(default_factory=dict)


REFUSALS = {
    "a wrong secret": Refusal({"client_secret": "x"}, (401, "invalid_client", 7000215)),
    "no proof at all": Refusal({"client_secret": ""}, (401, "invalid_client", 7000218)),
    "an unknown application": Refusal({"client_id": "0" * 8}, (400, "unauthorized_client", 700016)),
    "an application of another tenant": Refusal({}, (400, "unauthorized_client", 700016), OTHER_TENANT),
    "an unknown tenant": Refusal({}, (400, "invalid_request", 90002), "nowhere.com"),
    "no client id": Refusal({"client_id": ""}, (400, "invalid_request", 900144)),
    "no grant type": Refusal({"grant_type": ""}, (400, "invalid_request", 900144)),
    "an unknown grant type": Refusal({"grant_type": "password2"}, (400, "unsupported_grant_type", 70003)),
    "a scope without .default": Refusal({"scope": "https://management.azure.com/x"}, (400, "invalid_scope", 1002012)),
    "no scope": Refusal({"scope": ""}, (400, "invalid_scope", 1002012)),
    "an unknown resource": Refusal({"scope": "https://nowhere.test/.default"}, (400, "invalid_resource", 500011)),
    "an assertion that is none": Refusal(
        {
            "client_secret": "",
            "client_assertion": "x",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        (400, "invalid_request", 50027),
    ),
    "an assertion of an unknown type": Refusal(
        {"client_assertion": "x", "client_assertion_type": "saml"}, (400, "invalid_request", 50027)
    ),
    "a broken Basic header": Refusal({}, (401, "invalid_client", 7000215), headers={"Authorization": "Basic ???"}),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
async def test_an_application_is_refused_with_its_number(direct: Direct, case: Refusal) -> None:
    form = {name: value for name, value in {**OWN, **case.changes}.items() if value}
    answer = await direct.entra(f"/{case.tenant}/oauth2/v2.0/token", form, **case.headers)
    assert failed(answer) == case.expected


async def test_an_application_can_authenticate_by_basic_too(direct: Direct) -> None:
    encoded = base64.b64encode(f"{APP_ID}:sandbox-secret".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": OWN["scope"]}
    answer = await direct.entra(TOKEN, form, Authorization=f"Basic {encoded}")
    assert answer.status == 200
    assert set(answer.json) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "scope",
    [
        "https://management.azure.com/.default openid offline_access profile",
        "openid profile offline_access https://management.azure.com/.default",
        "https://management.azure.com//.default email",
    ],
)
async def test_client_credentials_ignore_the_scopes_of_openid_connect(direct: Direct, scope: str) -> None:
    answer = await direct.entra(TOKEN, {**OWN, "scope": scope})
    assert answer.status == 200, answer.json
    assert set(answer.json) == {"token_type", "expires_in", "ext_expires_in", "access_token"}


@pytest.mark.parametrize("scope", ["openid profile", f"{OWN['scope']} {DEVOPS_SCOPE.split()[0]}"])
async def test_client_credentials_need_exactly_one_resource(direct: Direct, scope: str) -> None:
    assert failed(await direct.entra(TOKEN, {**OWN, "scope": scope})) == (400, "invalid_scope", 1002012)


UNUSUAL = ("pässwörd", "\ufeffsandbox-secret", "sandbox\u200b-secret", "🔑")
"""Non-ASCII text, a BOM, a zero-width space: what copies of secrets contain."""


@pytest.mark.parametrize("value", UNUSUAL)
async def test_a_secret_that_is_not_ascii_is_a_wrong_secret(direct: Direct, value: str) -> None:
    expected = (401, "invalid_client", 7000215)
    assert failed(await direct.entra(TOKEN, {**OWN, "client_secret": value})) == expected
    encoded = base64.b64encode(f"{APP_ID}:{quote(value)}".encode()).decode()
    form = {"grant_type": "client_credentials", "scope": OWN["scope"]}
    assert failed(await direct.entra(TOKEN, form, Authorization=f"Basic {encoded}")) == expected
    direct.world.directory.applications[APP_ID].secrets[0].value = value
    assert (await direct.entra(TOKEN, {**OWN, "client_secret": value})).status == 200


@pytest.mark.parametrize("value", UNUSUAL)
@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code", "refresh_token", DEVICE_GRANT])
async def test_no_field_of_a_token_request_has_to_be_ascii(
    direct: Direct, browser: Browser, grant: str, value: str
) -> None:
    form = {"grant_type": grant, **SECRET, "redirect_uri": REDIRECT, "scope": DEVOPS_SCOPE}
    form["code"] = await browser.code()
    fields = (*form, "code_verifier", "refresh_token", "device_code", "client_assertion", "client_assertion_type")
    for name in fields:
        answer = await direct.entra(TOKEN, {**form, name: value})
        assert answer.status < 500, (name, answer.text)


async def test_a_secret_expires_and_an_application_can_be_disabled(direct: Direct) -> None:
    application = direct.world.directory.applications[APP_ID]
    application.secrets[0].expires = direct.clock.wall() + 10
    assert (await direct.entra(TOKEN, OWN)).status == 200
    direct.move(0, wall=11)
    assert failed(await direct.entra(TOKEN, OWN)) == (401, "invalid_client", 7000222)
    application.disabled = True
    assert failed(await direct.entra(TOKEN, OWN)) == (400, "unauthorized_client", 7000112)


# --- authorization code


async def test_a_code_gives_all_three_tokens(direct: Direct, browser: Browser) -> None:
    tokens = (await redeem(direct, await browser.code())).json
    assert {"access_token", "refresh_token", "id_token", "scope", "expires_in"} <= set(tokens)
    assert "user_impersonation" in tokens["scope"]
    assert (await direct.devops("profile", "/_apis/profile/profiles/me", token=tokens["access_token"])).status == 200


async def test_the_default_scope_is_what_the_registration_has(direct: Direct, browser: Browser) -> None:
    permissions = ["vso.profile", "vso.project", "vso.code"]
    await direct.control("PATCH", "/applications/defender-devops-sign-in", permissions=permissions)
    consent = await browser.sign_in(await browser.open())
    assert "Code (read)" in consent.text
    assert "Have full access" not in consent.text
    tokens = (await redeem(direct, back(await browser.submit(consent, decision="accept"))["code"])).json
    assert "vso.code" in tokens["scope"]
    builds = "/contoso/webshop/_apis/build/definitions?api-version=7.1"
    refused = await direct.devops("devAzure", builds, token=tokens["access_token"])
    assert refused.status == 403
    assert "vso.build" in refused.json["message"]
    more = [*permissions, "vso.build"]
    form = {**SECRET, "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "scope": DEVOPS_SCOPE}
    for consent in (False, True):
        await direct.control("PATCH", "/applications/defender-devops-sign-in", permissions=more, consent=consent)
        token = (await direct.entra(TOKEN, form)).json["access_token"]
        assert (await direct.devops("devAzure", builds, token=token)).status == (200 if consent else 403)


async def test_a_new_permission_needs_a_new_consent(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", "/applications/defender-devops-sign-in", permissions=["vso.code"])
    assert "vso.code" in (await redeem(direct, await browser.code())).json["scope"]
    await direct.control("PATCH", "/applications/defender-devops-sign-in", permissions=["vso.code", "vso.build"])
    assert "vso.build" not in (await redeem(direct, await browser.code())).json["scope"]
    other = Browser(direct)
    consent = await other.sign_in(await other.open(prompt="consent"))
    assert "Build (read)" in consent.text
    answer = back(await other.submit(consent, decision="accept"))
    assert "vso.build" in (await redeem(direct, answer["code"])).json["scope"]


CODE_REFUSALS: dict[str, tuple[dict[str, str], tuple[int, str, int]]] = {
    "another verifier": ({"code_verifier": "b" * 64}, (400, "invalid_grant", 501481)),
    "no verifier": ({"code_verifier": ""}, (400, "invalid_grant", 501481)),
    "another redirect address": ({"redirect_uri": "http://localhost/x"}, (400, "invalid_client", 500112)),
    "a code that is none": ({"code": "x"}, (400, "invalid_grant", 9002313)),
    "no code": ({"code": ""}, (400, "invalid_request", 900144)),
    "another application": ({"client_id": APP_ID, "client_secret": "sandbox-secret"}, (400, "invalid_grant", 70000)),
}


@pytest.mark.parametrize("case", CODE_REFUSALS.values(), ids=CODE_REFUSALS.keys())
async def test_a_code_is_refused_with_its_number(
    direct: Direct, browser: Browser, case: tuple[dict[str, str], tuple[int, str, int]]
) -> None:
    changes, expected = case
    assert failed(await redeem(direct, await browser.code(), **changes)) == expected


async def test_a_code_works_once_and_for_ten_minutes(direct: Direct, browser: Browser) -> None:
    code = await browser.code()
    assert (await redeem(direct, code)).status == 200
    assert failed(await redeem(direct, code)) == (400, "invalid_grant", 54005)
    late = await browser.code()
    direct.move(0, wall=601)
    assert failed(await redeem(direct, late)) == (400, "invalid_grant", 70008)


# --- refresh token


async def signed_in(direct: Direct, browser: Browser, **changes: str) -> str:
    """A refresh token."""
    return str((await redeem(direct, await browser.code(), **changes)).json["refresh_token"])


@dataclass(frozen=True)
class End:
    """A change of an account, and the resulting error of a refresh."""

    change: dict[str, object]
    expected: tuple[int, str, int]
    suberror: str | None = None
    claims: bool = False


ENDS = {
    "sessions revoked": End({"revokeSessions": True}, (400, "invalid_grant", 50173), "bad_token"),
    "disabled": End({"blocked": True}, (400, "invalid_grant", 50057)),
    "locked": End({"locked": True}, (400, "invalid_grant", 50053)),
    "deleted": End({"deleted": True}, (400, "invalid_grant", 50034)),
    "consent withdrawn": End({"withdrawConsent": True}, (400, "invalid_grant", 65001), "consent_required"),
    "blocked by policy": End(
        {"conditionalAccess": "Block"}, (400, "invalid_grant", 53003), "message_only", claims=True
    ),
    "a compliant device wanted": End(
        {"conditionalAccess": "RequireCompliantDevice"}, (400, "invalid_grant", 53000), "message_only", claims=True
    ),
    "a second factor wanted": End(
        {"conditionalAccess": "RequireMfa"}, (400, "interaction_required", 50076), "basic_action", claims=True
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
async def test_changes_of_an_account_invalidate_its_refresh_token(direct: Direct, browser: Browser, end: End) -> None:
    token = await signed_in(direct, browser)
    assert (await refresh(direct, token)).status == 200
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", **end.change)
    answer = await refresh(direct, token)
    assert failed(answer) == end.expected
    assert answer.json.get("suberror") == end.suberror
    assert ("claims" in answer.json) == end.claims


async def test_a_refresh_token_expires_after_ninety_days_without_use(direct: Direct, browser: Browser) -> None:
    token = await signed_in(direct, browser)
    direct.move(0, wall=89 * DAY)
    newer = (await refresh(direct, token)).json["refresh_token"]
    direct.move(0, wall=2 * DAY)
    assert failed(await refresh(direct, token)) == (400, "invalid_grant", 700082)
    assert (await refresh(direct, newer)).status == 200


async def test_a_policy_can_require_a_new_sign_in_periodically(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", signInFrequency=3600)
    token = await signed_in(direct, browser)
    direct.move(0, wall=3599)
    newer = (await refresh(direct, token)).json["refresh_token"]
    direct.move(0, wall=2)
    assert failed(await refresh(direct, newer)) == (400, "invalid_grant", 70043)


@pytest.mark.parametrize(("secret", "survives"), [("sandbox-sign-in-secret", True), ("", False)])
async def test_a_new_password_invalidates_the_tokens_of_public_clients_only(
    direct: Direct, browser: Browser, secret: str, survives: bool
) -> None:
    token = await signed_in(direct, browser, client_secret=secret)
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", password="new")
    answer = await refresh(direct, token, client_secret=secret)
    assert (answer.status == 200) == survives
    if not survives:
        assert failed(answer) == (400, "invalid_grant", 50173)


async def test_a_refresh_token_is_valid_for_its_application_only(direct: Direct, browser: Browser) -> None:
    token = await signed_in(direct, browser)
    stolen = await refresh(direct, token, client_id=APP_ID, client_secret="sandbox-secret")
    assert failed(stolen) == (400, "invalid_grant", 70000)
    assert failed(await refresh(direct, "x")) == (400, "invalid_grant", 9002313)


async def test_the_journal_identifies_tokens_by_hash_and_only_the_control_interface_has_them(
    direct: Direct, browser: Browser
) -> None:
    first = await signed_in(direct, browser)
    second = (await refresh(direct, first)).json["refresh_token"]
    await refresh(direct, first)
    entries = (await direct.control("GET", "/journal", operation="Token refresh_token"))["entries"]
    assert [entry["codes"] for entry in entries] == [[hashlib.sha256(first.encode()).hexdigest()]] * 2
    out = (await direct.control("GET", "/secrets"))["secrets"]
    assert {first, second} <= set(out)
    assert first not in str(await direct.control("GET", "/journal"))
    await direct.control("POST", "/reset")
    assert (await direct.control("GET", "/secrets"))["secrets"] == []


async def test_a_code_is_not_redeemed_at_the_url_of_another_tenant(direct: Direct, browser: Browser) -> None:
    code = await browser.code()
    for application in direct.world.directory.applications.values():
        application.tenant_id = OTHER_TENANT
    answer = await redeem(direct, code, tenant=OTHER_TENANT)
    assert failed(answer) == (400, "invalid_grant", 700005)


# --- pages


async def test_the_pages_ask_for_name_password_and_consent(direct: Direct, browser: Browser) -> None:
    page = await browser.open()
    assert page.status == 200
    assert "Sign in" in page.text
    wrong = await browser.sign_in(page, password="wrong")
    assert "AADSTS50126" in wrong.text
    consent = await browser.sign_in(wrong)
    assert "Permissions requested" in consent.text
    assert "Have full access to Azure DevOps Services REST APIs" in consent.text
    answer = back(await browser.submit(consent, decision="accept"))
    assert answer["state"] == "state-1"
    assert (await direct.control("GET", "/journal", operation="Consent"))["entries"][0]["effects"][0][
        "kind"
    ] == "consent.grant"


PAGE_ERRORS: dict[str, tuple[dict[str, str], str]] = {
    "another redirect address": ({"redirect_uri": "https://stranger.test/callback"}, "AADSTS50011"),
    "an unknown application": ({"client_id": "nobody"}, "AADSTS700016"),
    "no application": ({"client_id": ""}, "AADSTS900144"),
    "an unknown tenant": ({"tenant": "nowhere.com"}, "AADSTS90002"),
}


@pytest.mark.parametrize("case", PAGE_ERRORS.values(), ids=PAGE_ERRORS.keys())
async def test_no_redirect_goes_to_a_uri_that_is_not_registered(
    browser: Browser, case: tuple[dict[str, str], str]
) -> None:
    page = await browser.open(**case[0])
    assert page.status == 400
    assert case[1] in page.text


REDIRECTED: dict[str, tuple[dict[str, str], str, str]] = {
    "another response type": ({"response_type": "token"}, "unsupported_response_type", "AADSTS700054"),
    "an unknown response mode": ({"response_mode": "carrier-pigeon"}, "invalid_request", "AADSTS70007"),
    "an unknown challenge method": ({"code_challenge_method": "MD5"}, "invalid_request", "AADSTS501491"),
    "no scope": ({"scope": ""}, "invalid_request", "AADSTS900144"),
    "two resources": (
        {"scope": "https://management.azure.com/.default 499b84ac-1321-427f-aa17-267ca6975798/.default"},
        "invalid_request",
        "AADSTS28000",
    ),
    "a permission that is not there": (
        {"scope": "499b84ac-1321-427f-aa17-267ca6975798/vso.unheard"},
        "invalid_client",
        "AADSTS650053",
    ),
    "nobody signed in, and nobody may be asked": ({"prompt": "none"}, "login_required", "AADSTS50058"),
}


@pytest.mark.parametrize("case", REDIRECTED.values(), ids=REDIRECTED.keys())
async def test_the_application_receives_errors_of_its_request(
    browser: Browser, case: tuple[dict[str, str], str, str]
) -> None:
    changes, error, number = case
    answer = back(await browser.open(**changes))
    assert answer["error"] == error
    assert answer["error_description"].startswith(number)
    assert answer["state"] == "state-1"


@pytest.mark.parametrize(("mode", "mark"), [("query", "?"), ("fragment", "#")])
async def test_the_response_uses_the_requested_mode(browser: Browser, mode: str, mark: str) -> None:
    page = await browser.sign_in(await browser.open(response_mode=mode))
    answer = await browser.submit(page, decision="accept")
    assert answer.headers["Location"].startswith(f"{REDIRECT}{mark}code=")


async def test_form_post_answers_with_a_form(browser: Browser) -> None:
    page = await browser.sign_in(await browser.open(response_mode="form_post"))
    answer = await browser.submit(page, decision="accept")
    assert answer.status == 200
    assert f'action="{REDIRECT}"' in answer.text
    assert 'name="code"' in answer.text


STUCK: dict[str, tuple[dict[str, object], str]] = {
    "disabled": ({"blocked": True}, "AADSTS50057"),
    "locked": ({"locked": True}, "AADSTS50053"),
    "an old password": ({"passwordExpired": True}, "AADSTS50055"),
    "blocked by policy": ({"conditionalAccess": "Block"}, "AADSTS53003"),
    "a compliant device wanted": ({"conditionalAccess": "RequireCompliantDevice"}, "AADSTS53000"),
}


@pytest.mark.parametrize("case", STUCK.values(), ids=STUCK.keys())
async def test_an_error_for_the_administrator_is_shown_with_a_button_back(
    direct: Direct, browser: Browser, case: tuple[dict[str, object], str]
) -> None:
    change, number = case
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", **change)
    page = await browser.sign_in(await browser.open())
    assert number in page.text
    answer = back(await browser.submit(page, action="cancel"))
    assert answer["error"] == "access_denied"
    assert answer["error_description"].startswith(number)


@pytest.mark.parametrize(
    ("name", "number"), [("nobody@contoso.com", "AADSTS50034"), ("megan@litware.com", "AADSTS50020")]
)
async def test_an_account_that_is_not_of_the_tenant_may_try_another_name(
    browser: Browser, name: str, number: str
) -> None:
    page = await browser.sign_in(await browser.open(), name)
    assert number in page.text
    assert "Permissions requested" in (await browser.sign_in(page)).text


async def test_any_tenant_means_the_accounts_own(direct: Direct, browser: Browser) -> None:
    page = await browser.sign_in(await browser.open(tenant="organizations"), "megan@litware.com")
    code = back(await browser.submit(page, decision="accept"))["code"]
    assert (await redeem(direct, code, tenant="organizations")).status == 200


async def test_a_second_factor_is_asked_for_and_can_be_denied(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", conditionalAccess="RequireMfa")
    page = await browser.sign_in(await browser.open())
    assert "Approve sign in request" in page.text
    denied = await browser.submit(page, decision="deny")
    assert "AADSTS500121" in denied.text
    page = await browser.sign_in(await browser.open(prompt="login"))
    consent = await browser.submit(page, decision="approve")
    code = back(await browser.submit(consent, decision="accept"))["code"]
    tokens = (await redeem(direct, code)).json
    assert (await refresh(direct, tokens["refresh_token"])).status == 200


async def test_admin_consent_can_be_required(direct: Direct, browser: Browser) -> None:
    direct.world.directory.applications[SIGN_IN_APP_ID].admin_consent_required = True
    page = await browser.sign_in(await browser.open())
    assert "AADSTS90094" in page.text
    direct.world.directory.applications[SIGN_IN_APP_ID].consents.add("*")
    assert "code" in back(await browser.open(login_hint=ACCOUNT))


async def test_silent_sign_in_requires_a_session_and_consent(browser: Browser) -> None:
    consent = await browser.sign_in(await browser.open())
    waiting = back(await browser.open(prompt="none"))
    assert waiting["error"] == "interaction_required"
    assert waiting["error_description"].startswith("AADSTS65001")
    await browser.submit(consent, decision="accept")
    assert "code" in back(await browser.open(prompt="none"))
    assert "Permissions requested" in (await browser.open(prompt="consent", login_hint=ACCOUNT)).text


async def test_a_page_that_was_open_too_long_has_to_be_restarted(direct: Direct, browser: Browser) -> None:
    page = await browser.open()
    await direct.control("POST", "/reset")
    again = await browser.sign_in(page)
    assert "AADSTS165000" in again.text


# --- device code


async def device(direct: Direct) -> dict[str, str]:
    form = {"client_id": SIGN_IN_APP_ID, "scope": DEVOPS_SCOPE}
    answer = await direct.entra(f"/{TENANT}/oauth2/v2.0/devicecode", form)
    assert answer.json["interval"] == 5
    return dict(answer.json)


async def poll(direct: Direct, code: str) -> Answer:
    form = {
        "grant_type": DEVICE_GRANT,
        "client_id": SIGN_IN_APP_ID,
        "device_code": code,
    }
    return await direct.entra(TOKEN, form)


async def enter(direct: Direct, browser: Browser, user_code: str) -> Answer:
    page = await direct.send("authority", "GET", f"/{TENANT}/oauth2/deviceauth")
    assert page is not None
    return await browser.submit(page, otc=user_code)


async def test_a_device_gets_pending_and_slow_down(direct: Direct) -> None:
    code = (await device(direct))["device_code"]
    assert failed(await poll(direct, code)) == (400, "authorization_pending", 70016)
    assert failed(await poll(direct, code)) == (400, "slow_down", 70016)
    direct.move(0, wall=5)
    assert failed(await poll(direct, code)) == (400, "authorization_pending", 70016)
    direct.move(0, wall=900)
    assert failed(await poll(direct, code)) == (400, "expired_token", 70020)
    assert failed(await poll(direct, "nonsense")) == (400, "bad_verification_code", 70018)


async def test_a_device_gets_declined(direct: Direct, browser: Browser) -> None:
    device_response = await device(direct)
    consent = await browser.sign_in(await enter(direct, browser, device_response["user_code"]))
    await browser.submit(consent, decision="cancel")
    assert failed(await poll(direct, device_response["device_code"])) == (400, "authorization_declined", 65004)


async def test_a_device_gets_its_tokens_once(direct: Direct, browser: Browser) -> None:
    device_response = await device(direct)
    consent = await browser.sign_in(await enter(direct, browser, device_response["user_code"].lower()))
    await browser.submit(consent, decision="accept")
    assert "refresh_token" in (await poll(direct, device_response["device_code"])).json
    assert failed(await poll(direct, device_response["device_code"])) == (400, "expired_token", 70020)
    again = await enter(direct, browser, device_response["user_code"])
    assert "That code didn" in again.text


async def test_a_policy_may_block_device_codes_alone(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", conditionalAccess="BlockDeviceCode")
    device_response = await device(direct)
    page = await browser.sign_in(await enter(direct, browser, device_response["user_code"]))
    assert "AADSTS53003" in page.text
    assert failed(await poll(direct, device_response["device_code"])) == (400, "authorization_pending", 70016)
    assert await browser.code()


async def test_keys_and_configuration_are_published_for_each_tenant(direct: Direct) -> None:
    for tenant in (TENANT, "contoso.com", "organizations"):
        answer = await direct.send("authority", "GET", f"/{tenant}/v2.0/.well-known/openid-configuration")
        assert answer is not None
        assert answer.json["token_endpoint"].endswith("/oauth2/v2.0/token")
        keys = await direct.send("authority", "GET", urlsplit(answer.json["jwks_uri"]).path)
        assert keys is not None
        assert keys.json["keys"][0]["kty"] == "RSA"
    nothing = await direct.send("authority", "GET", f"/{TENANT}/nothing")
    assert nothing is not None
    assert nothing.status == 404


# --- errors by faults


@pytest.mark.parametrize("number", CATALOGUE)
async def test_a_fault_gives_any_error_of_the_catalogue_in_entras_shape(direct: Direct, number: int) -> None:
    error, status, _, suberror = CATALOGUE[number]
    await direct.control("POST", "/faults", service="authority", aadsts=number, headers={"Retry-After": "3"})
    refused = await direct.entra(TOKEN, OWN)
    assert failed(refused) == (status, error, number)
    assert refused.json.get("suberror") == suberror
    assert refused.headers["Retry-After"] == "3"
    assert (await direct.entra(TOKEN, OWN)).status == 200


async def test_a_number_outside_the_catalogue_is_refused(direct: Direct) -> None:
    assert (await direct.try_control("POST", "/faults", aadsts=1)).status == 400


async def test_a_guest_has_the_home_tenant_as_identity_provider(direct: Direct, browser: Browser) -> None:
    spec = yaml.safe_load(DEFAULT_WORLD.read_text())
    guest = {"userPrincipalName": "megan@litware.com", "tenant": "contoso.com", "guest": True}
    spec["accounts"] = [*spec["accounts"][:2], {**guest, "password": "sandbox-password"}]
    spec["organizations"] = spec["organizations"][:-1]
    second_cloud = Direct(WorldFile.parse(spec))
    visitor = Browser(second_cloud)
    page = await visitor.sign_in(await visitor.open(), "megan@litware.com")
    code = back(await visitor.submit(page, decision="accept"))["code"]
    claims = jwt.decode((await redeem(second_cloud, code)).json["id_token"], options={"verify_signature": False})
    assert claims["tid"] == TENANT
    assert claims["idp"] == f"https://sts.windows.net/{OTHER_TENANT}/"
    ordinary = jwt.decode(
        (await redeem(direct, await browser.code())).json["id_token"], options={"verify_signature": False}
    )
    assert "idp" not in ordinary


# --- variants


async def test_a_secret_outside_of_ascii_may_be_a_malformed_request(direct: Direct) -> None:
    await direct.control("PATCH", "/variants", secretOutsideAscii="invalidRequest")
    assert failed(await direct.entra(TOKEN, {**OWN, "client_secret": UNUSUAL[0]})) == (400, "invalid_request", 9002313)
    assert failed(await direct.entra(TOKEN, {**OWN, "client_secret": "plain"})) == (401, "invalid_client", 7000215)


async def test_a_missing_verifier_may_be_a_missing_parameter(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", "/variants", missingVerifier="missingParameter")
    refused = await redeem(direct, await browser.code(), code_verifier="")
    assert failed(refused) == (400, "invalid_request", 900144)
    refused = await redeem(direct, await browser.code(), code_verifier="b" * 64)
    assert failed(refused) == (400, "invalid_grant", 501481)


async def test_an_error_for_the_administrator_may_return_as_a_server_error(direct: Direct, browser: Browser) -> None:
    await direct.control("PATCH", "/variants", administratorErrors="serverError")
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    page = await browser.sign_in(await browser.open())
    assert back(await browser.submit(page, action="cancel"))["error"] == "server_error"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(50087, (400, "invalid_request", 50087)), (50173, (400, "invalid_grant", 50173))],
)
async def test_rare_errors_may_be_invalid_requests(direct: Direct, number: int, expected: tuple[int, str, int]) -> None:
    await direct.control("PATCH", "/variants", rareErrors="generic")
    await direct.control("POST", "/faults", service="authority", aadsts=number)
    assert failed(await direct.entra(TOKEN, OWN)) == expected
