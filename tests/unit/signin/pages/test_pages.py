"""The pages over HTTP: content, headers, and rejected requests."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from defender_devops.api.connector import AzureDevOpsConnector, parse_connector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.app.sign_in_organizations import SelectedOrganizations
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.resource_cache import ResourceCache
from defender_devops.settings import Settings
from defender_devops.signin.oauth.errors import SignInRequired
from defender_devops.signin.pages import result_pages
from defender_devops.signin.pages import server as server_module
from defender_devops.signin.pages.callback import CallbackPages
from defender_devops.signin.pages.connector_pages import ConnectorPages
from defender_devops.signin.pages.device_pages import DevicePages
from defender_devops.signin.pages.rendering import link_addresses
from defender_devops.signin.pages.result_pages import ResultPages
from defender_devops.signin.pages.server import sign_in_application
from defender_devops.text import printable
from tests.support.fakes.azure_devops import FakeMonotonicClock
from tests.support.fakes.entra import ACCOUNT, CLIENT_ID, FakeEntra, TokenError
from tests.support.fakes.sign_in import (
    NAMESPACE,
    SERVICE_PRINCIPAL,
    FakeClock,
    SignInSetup,
    assemble_sign_in,
    connector,
)
from tests.support.manifests import organization
from tests.unit.authorization_code.test_code import CODE

Client = TestClient  # type: ignore[type-arg]
BASE = "https://defender.example.com/pages"
CODE_METHOD = {"method": "Code", "codeSecretRef": {"name": "code", "key": "code"}}


@dataclass
class FakeReader:
    """An `AzureDevOpsReader` with fixed results.

    Attributes:
        names: the account's organizations.
        error: raised instead of listing them.
        list_is_slow: whether the list does not arrive while the page waits.
        unfinished: organizations whose checks do not finish while the page waits.
        checks: results of every other organization.
    """

    names: tuple[str, ...] = ("contoso", "fabrikam")
    error: OperatorError | None = None
    list_is_slow: bool = False
    unfinished: set[str] = field(default_factory=set)
    checks: tuple[Prerequisite, ...] = field(
        default_factory=lambda: (Prerequisite(check="TenantMatches", status="True"),)
    )

    async def organizations(self, connector: AzureDevOpsConnector) -> tuple[str, ...]:
        if self.error:
            raise self.error
        if self.list_is_slow:
            await asyncio.Event().wait()
        return self.names

    async def check(self, connector: AzureDevOpsConnector, organization: str) -> tuple[Prerequisite, ...]:
        if organization in self.unfinished:
            await asyncio.Event().wait()
        return self.checks


@dataclass
class Site:
    world: SignInSetup
    http: Client
    reader: FakeReader
    resources: ResourceCache
    rejected: list[str] = field(default_factory=list)

    def path(self, of: AzureDevOpsConnector | None = None) -> str:
        self.world.sign_ins.last_state(of or connector())
        assert self.world.package.addresses
        return urlsplit(self.world.package.addresses.page((of or connector()).metadata.uid)).path

    async def begin(self, of: AzureDevOpsConnector | None = None) -> dict[str, str]:
        response = await self.http.post(f"{self.path(of)}/sign-in", allow_redirects=False)
        assert response.status == 303
        query = parse_qs(urlsplit(response.headers["Location"]).query)
        return {key: values[0] for key, values in query.items()} | {"cookie": cookie_of(response)}

    async def back(self, cookie: str, **fields: str) -> ClientResponse:
        """Come back as a browser does: a form without the cookie, then a redirect with it."""
        posted = await self.http.post("/pages/callback", data=fields, allow_redirects=False)
        if posted.status != 303:
            return posted
        location = URL(posted.headers["Location"], encoded=True)
        return await self.http.get(location.path_qs, headers={"Cookie": cookie}, allow_redirects=False)


def cookie_of(response: ClientResponse) -> str:
    return response.headers["Set-Cookie"].split(";")[0]


@pytest.fixture
async def site(entra: FakeEntra, time: FakeClock) -> AsyncIterator[Site]:
    async with assemble_sign_in(entra, time, signin_url=BASE) as world:
        reader, resources = FakeReader(), ResourceCache()
        rejected: list[str] = []
        server = world.package.server(Settings(), reader, SelectedOrganizations(resources), rejected.append)
        assert server
        async with TestClient(
            TestServer(sign_in_application(server.pages, server.rejections, FakeMonotonicClock()))
        ) as http:
            yield Site(world, http, reader, resources, rejected)
        await server.close()


async def text(response: ClientResponse) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", await response.text())).split())


async def test_a_complete_sign_in(site: Site) -> None:
    params = await site.begin()
    assert (params["redirect_uri"], params["response_mode"]) == (f"{BASE}/callback", "form_post")
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    assert response.headers["Location"] == f"https://defender.example.com{site.path()}/result"
    (cookie,) = [cookie for cookie in response.headers.getall("Set-Cookie") if cookie.startswith("sign-in-")]
    assert "Max-Age=0" in cookie
    page = await text(await site.http.get(f"{site.path()}/result"))
    assert f"Signed in as {ACCOUNT}" in page
    assert "contoso Connected" in page.replace("✓", "").replace("  ", " ")
    assert site.world.requeued == [(NAMESPACE, "contoso")]


async def test_every_sign_in_is_reported_even_if_somebody_was_signed_in_already(site: Site) -> None:
    calls: list[str] = []
    site.world.sign_ins.on_sign_in = lambda connector: calls.append(connector.metadata.name)
    for number in (1, 2):
        params = await site.begin()
        code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
        await site.back(params["cookie"], code=code, state=params["state"])
        assert calls == ["contoso"] * number


async def test_the_cookie_is_not_available_to_scripts_other_sites_and_other_paths(site: Site) -> None:
    response = await site.http.post(f"{site.path()}/sign-in", allow_redirects=False)
    attributes = {part.strip().lower() for part in response.headers["Set-Cookie"].split(";")[1:]}
    assert {"httponly", "secure", "samesite=lax", "path=/pages/callback", "max-age=600"} <= attributes


async def test_a_response_in_the_address_is_accepted_too(site: Site) -> None:
    params = await site.begin()
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    query = {"code": code, "state": params["state"]}
    response = await site.http.get(
        "/pages/callback", params=query, headers={"Cookie": params["cookie"]}, allow_redirects=False
    )
    assert response.status == 303


async def test_a_code_is_never_readable_in_an_address(site: Site) -> None:
    params = await site.begin()
    posted = await site.http.post(
        "/pages/callback", data={"code": "1.Acanary-code", "state": params["state"]}, allow_redirects=False
    )
    assert "canary" not in posted.headers["Location"]
    assert params["state"] not in posted.headers["Location"]


async def test_an_expired_state_is_rejected(site: Site) -> None:
    params = await site.begin()
    site.world.time.forward(minutes=10)
    response = await site.back(params["cookie"], code="1.Acode", state=params["state"])
    assert response.status == 403
    assert "within the last ten minutes" in await text(response)


async def test_a_sealed_response_expires(site: Site) -> None:
    params = await site.begin()
    posted = await site.http.post(
        "/pages/callback", data={"code": "c", "state": params["state"]}, allow_redirects=False
    )
    site.world.time.forward(minutes=2)
    path = URL(posted.headers["Location"], encoded=True).path_qs
    assert (await site.http.get(path, headers={"Cookie": params["cookie"]})).status == 403


async def test_a_replay_is_rejected_by_every_replica(site: Site, entra: FakeEntra, time: FakeClock) -> None:
    params = await site.begin()
    await site.back(params["cookie"], error="access_denied", state=params["state"])
    async with assemble_sign_in(entra, time, site.world.secrets, signin_url=BASE) as other:
        other.sign_ins.last_state(connector())
        server = other.package.server(Settings(), site.reader, SelectedOrganizations(site.resources))
        assert server
        async with TestClient(TestServer(sign_in_application(server.pages))) as http:
            response = await Site(other, http, site.reader, site.resources).back(
                params["cookie"], code="1.Acode", state=params["state"]
            )
    assert response.status == 403
    assert not [form for form in entra.forms if form["grant_type"] == "authorization_code"]


async def test_another_replica_can_finish_a_sign_in(site: Site, entra: FakeEntra, time: FakeClock) -> None:
    params = await site.begin()
    code = entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    async with assemble_sign_in(entra, time, site.world.secrets, signin_url=BASE) as other:
        other.sign_ins.last_state(connector())
        server = other.package.server(Settings(), site.reader, SelectedOrganizations(site.resources))
        assert server
        async with TestClient(TestServer(sign_in_application(server.pages))) as http:
            response = await Site(other, http, site.reader, site.resources).back(
                params["cookie"], code=code, state=params["state"]
            )
    assert response.status == 303


async def test_an_id_token_of_another_sign_in_is_rejected(site: Site) -> None:
    params = await site.begin()
    code = site.world.entra.issue_code(params["code_challenge"], "another nonce", params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    assert response.status == 403
    assert "belongs to another sign-in" in await text(response)
    assert site.world.stored("refresh-token") is None


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"error": "access_denied", "error_description": "AADSTS65004: declined"}, 200, "was cancelled"),
        ({"error": "access_denied", "error_description": "AADSTS50105: no"}, 403, "not assigned to the app"),
        ({"error": "consent_required", "error_description": "AADSTS90094: admin"}, 403, "administrator must consent"),
        ({"error": "invalid_request", "error_description": "AADSTS50011: reply"}, 403, "reply address"),
        ({"error": "server_error", "error_description": "AADSTS90033: later"}, 503, "is retried"),
        ({}, 403, "invalid_request"),
    ],
)
async def test_an_error_response_is_shown_with_what_to_do(
    site: Site, fields: dict[str, str], status: int, message: str
) -> None:
    params = await site.begin()
    response = await site.back(params["cookie"], state=params["state"], **fields)
    assert response.status == status
    assert message in await text(response)


async def test_an_outage_during_the_code_exchange_is_reported_as_such(site: Site) -> None:
    params = await site.begin()
    site.world.entra.always = TokenError(503, "temporarily_unavailable", 90033)
    assert (await site.back(params["cookie"], code="c", state=params["state"])).status == 503


async def test_a_manifest_that_changes_during_a_sign_in_ends_it(site: Site) -> None:
    params = await site.begin()
    other_app = {"id": "66666666-6666-6666-6666-666666666666", "type": "Federated"}
    site.world.sign_ins.last_state(connector({"client": other_app}))
    response = await site.back(params["cookie"], code="c", state=params["state"])
    assert "was changed during this sign-in" in await text(response)


async def test_a_deleted_connector_has_no_page(site: Site) -> None:
    path = site.path()
    assert (await site.http.get(path)).status == 200
    site.world.sign_ins.forget(connector().metadata.uid)
    response = await site.http.get(path)
    assert response.status == 404
    assert "contoso" not in await response.text()


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ({}, "Sign in with Microsoft"),
        ({"method": "DeviceCode"}, "Get a device code"),
        (SERVICE_PRINCIPAL, "signs in as a service principal"),
        ({"method": "None"}, "has no spec.signIn"),
    ],
)
async def test_each_method_has_its_page(site: Site, method: dict[str, object], content: str) -> None:
    assert content in await text(await site.http.get(site.path(connector(method))))


async def test_the_page_names_account_limits_and_app(site: Site) -> None:
    page = await text(await site.http.get(site.path()))
    for content in (ACCOUNT, "use a dedicated account", "Project Collection Administrator", f"{BASE}/callback"):
        assert content in page


@given(st.text(max_size=200))
def test_nothing_in_a_linked_text_becomes_markup(given_text: str) -> None:
    markup = str(link_addresses(given_text))
    without_links = re.sub(r'<a href="https://[^"<>]*" target="_blank" rel="noopener noreferrer">|</a>', "", markup)
    assert "<" not in without_links
    assert html.unescape(without_links) == printable(given_text)


def test_only_https_addresses_become_links() -> None:
    markup = link_addresses(
        "Do it (https://dev.azure.com/contoso/_settings/users). Not javascript:alert(1) or http://x."
    )
    assert markup.count("<a ") == 1
    assert 'href="https://dev.azure.com/contoso/_settings/users"' in markup


EVIL = "<script>alert(1)</script>"


async def test_every_prerequisite_has_a_title(site: Site) -> None:
    await site.world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    site.reader.checks = tuple(Prerequisite(check=check, status="True") for check in PrerequisiteCheck)
    body = await (await site.http.get(f"{site.path(connector(SERVICE_PRINCIPAL))}/result")).text()
    titles = re.findall(r'<span class="check">(.+?)</span>', body)
    assert len(set(titles)) == len(PrerequisiteCheck)
    assert set(titles).isdisjoint(PrerequisiteCheck), "add the title to _CHECK_TITLES in result_pages.py"


async def test_everything_from_azure_devops_is_escaped(site: Site) -> None:
    await site.world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    site.reader.names = (EVIL,)
    site.reader.checks = (Prerequisite(check=EVIL[:64], status="False", reason="X", message=EVIL),)
    response = await site.http.get(f"{site.path(connector(SERVICE_PRINCIPAL))}/result")
    body = await response.text()
    assert response.status == 200
    assert "<script" not in body
    assert "&lt;script&gt;" in body


async def test_a_page_shows_no_control_or_bidirectional_characters(site: Site) -> None:
    await site.world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    evil = "contoso\x1b[31m\u202e\u200b"
    site.reader.names = (evil,)
    site.reader.checks = (Prerequisite(check="X", status="False", reason="X", message=f"{evil} https://a.example"),)
    body = await (await site.http.get(f"{site.path(connector(SERVICE_PRINCIPAL))}/result")).text()
    assert body.replace("\n", "").isprintable()
    assert body.count(r"contoso\x1b[31m\u202e\u200b") >= 2


async def test_a_failed_listing_of_organizations_is_shown(site: Site) -> None:
    await site.world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    site.reader.error = SignInRequired("Azure DevOps says no.")
    page = await text(await site.http.get(f"{site.path(connector(SERVICE_PRINCIPAL))}/result"))
    assert "Azure DevOps says no." in page


async def test_only_selected_organizations_are_checked(site: Site) -> None:
    selecting = connector(SERVICE_PRINCIPAL, organizations={"mode": "Selected", "names": ["Fabrikam", "hidden"]})
    await site.world.sign_ins.state(selecting)
    response = await site.http.get(f"{site.path(selecting)}/result")
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", await response.text()) == ["Fabrikam", "hidden"]
    assert "also a member of contoso" in await text(response)


@pytest.mark.parametrize(
    ("organizations", "onboarding", "rows", "unselected"),
    [
        ({"mode": "All"}, {"Fabrikam": "Excluded"}, ["contoso"], "fabrikam"),
        ({"mode": "All", "exclude": ["contoso"]}, {"Contoso": "Onboarded"}, ["Contoso", "fabrikam"], None),
        ({"mode": "All"}, {"contoso": "Inherit"}, ["contoso", "fabrikam"], None),
        ({"mode": "Selected", "names": ["contoso"]}, {"tailspin": "Onboarded"}, ["contoso", "tailspin"], "fabrikam"),
        ({"mode": "Selected", "names": ["contoso"]}, {"contoso": "Excluded"}, [], "contoso, fabrikam"),
    ],
)
async def test_the_page_follows_the_decisions_of_devopsorganizations(
    site: Site, organizations: dict[str, object], onboarding: dict[str, str], rows: list[str], unselected: str | None
) -> None:
    for name, decision in onboarding.items():
        manifest = organization(
            f"{{organization: {name}, onboarding: {decision}}}", namespace=NAMESPACE, uid=name, resourceVersion="1"
        )
        site.resources.upsert_organization(manifest)
    selecting = connector(SERVICE_PRINCIPAL, organizations=organizations)
    await site.world.sign_ins.state(selecting)
    response = await site.http.get(f"{site.path(selecting)}/result")
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", await response.text()) == rows
    page = await text(response)
    assert f"also a member of {unselected}." in page if unselected else "also a member of" not in page


NAMES = tuple(f"org-{number:02}" for number in range(60))
FAILED = (
    Prerequisite(check="TenantMatches", status="True"),
    Prerequisite(
        check="AccessLevel", status="False", reason="X", message="Change the access level (https://a.example)."
    ),
    Prerequisite(check="ThirdPartyOAuthEnabled", status="Unknown", reason="X", message="No response."),
)


@pytest.fixture
async def slow_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A signed-in connector with sixty organizations, whose statuses have the results of an earlier check."""
    monkeypatch.setattr(result_pages, "_WAIT_SECONDS", 0.02)
    site.reader.names, site.reader.unfinished = NAMES, set(NAMES)
    for name in NAMES:
        manifest = organization(f"organization: {name}", name=name, namespace=NAMESPACE, uid=name, resourceVersion="1")
        prerequisites = [check.dump() for check in FAILED]
        site.resources.upsert_organization({**manifest, "status": {"prerequisites": prerequisites}})
    await site.world.sign_ins.state(connector(SERVICE_PRINCIPAL))
    return site


async def result_page(site: Site) -> str:
    return await (await site.http.get(f"{site.path(connector(SERVICE_PRINCIPAL))}/result")).text()


def reloads(page: str) -> bool:
    """Whether the browser loads the page again by itself."""
    return 'http-equiv="refresh"' in page


@pytest.mark.parametrize("list_is_slow", [False, True])
async def test_the_last_known_results_of_all_organizations_are_shown_at_once(
    slow_site: Site, list_is_slow: bool
) -> None:
    reader = slow_site.reader
    reader.list_is_slow = list_is_slow
    page = await result_page(slow_site)
    assert reloads(page)
    assert "60 of 60 organizations are being checked" in page
    assert "Account has access level Basic or higher: not met in 60 organizations" in page
    assert "Third-party access via OAuth is on: unknown in 60 organizations" in page
    for name in NAMES:
        assert f"{name}: Account has access level" in page, "no organization is left out"
    assert page.index("not met in") < page.index("unknown in"), "what somebody has to do comes first"


async def test_new_results_replace_the_last_known_ones_until_all_are_new(slow_site: Site) -> None:
    reader = slow_site.reader
    reader.unfinished = set(NAMES[40:])
    page = await result_page(slow_site)
    assert reloads(page)
    assert "20 of 60 organizations are being checked" in page
    assert "40 organizations meet all prerequisites" in page
    assert "not met in 20 organizations" in page
    reader.unfinished = set()
    page = await result_page(slow_site)
    assert not reloads(page)
    assert "being checked" not in page
    assert "60 organizations meet all prerequisites" in page
    assert "All prerequisites are met in every organization" in page


async def test_a_page_whose_list_failed_does_not_reload(slow_site: Site) -> None:
    reader = slow_site.reader
    reader.unfinished = set()
    reader.error = SignInRequired("Azure DevOps says no.")
    page = await result_page(slow_site)
    assert not reloads(page)
    assert "Azure DevOps says no." in page
    assert "60 organizations meet all prerequisites" in page


@pytest.mark.parametrize(("count", "is_folded"), [(1, False), (3, False), (4, True), (60, True)])
async def test_a_problem_of_many_organizations_takes_the_room_of_one(
    slow_site: Site, count: int, is_folded: bool
) -> None:
    reader = slow_site.reader
    reader.names, reader.unfinished, reader.checks = NAMES[:count], set(), FAILED
    page = await result_page(slow_site)
    group = page.partition('id="problem-1"')[2].partition("</section>")[0]
    assert ("<details>" in group) == is_folded
    assert group.count("<li") == count
    assert group.partition("<details>")[0].count("Change the access level") == (1 if is_folded else count)


@pytest.mark.parametrize("status", ["True", "False", "Unknown"])
async def test_sixty_hostile_organizations_add_no_element_attribute_or_script(slow_site: Site, status: str) -> None:
    attacks = ("<img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "' autofocus onfocus='alert(1)", "</summary>")
    attacks += ("{{ 7 * 7 }}", "{% raw %}", "<!--", "&lt;script&gt;", "\x1b[2J\u202e", "javascript:alert(1)")
    reader = slow_site.reader
    message = "https://a.example/\"onclick='alert(1)'<script> javascript:alert(1)"

    async def page(names: tuple[str, ...], text: str) -> str:
        check = Prerequisite(check="TenantMatches", status=status, reason="X", message=text)
        reader.names, reader.unfinished, reader.checks = names, set(), (check,)
        return await result_page(slow_site)

    hostile = await page(tuple(f"{attacks[n % len(attacks)]}{n:02}" for n in range(60)), message)
    harmless = await page(tuple(f"{n % len(attacks)}-contoso-{n:02}" for n in range(60)), "https://a.example/ none")
    elements = [re.findall(r"<[^>]*>", text) for text in (hostile, harmless)]
    assert elements[0] == elements[1]
    assert "{{ 7 * 7 }}" in hostile


AUTHORIZED = {
    "conditions": [{"type": "Authorized", "status": "True", "reason": "Authorized"}],
    "discovery": {
        "organizations": {"onboarded": 12},
        "projects": {"discovered": 118, "expected": 120},
        "repositories": {"discovered": 951},
    },
}


async def test_the_page_of_a_connector_that_works_is_short_and_has_defenders_state(site: Site) -> None:
    working = parse_connector(connector(SERVICE_PRINCIPAL).dump() | {"status": AUTHORIZED})
    await site.world.sign_ins.state(working)
    page = await (await site.http.get(site.path(working))).text()
    shown = html.unescape(re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL))
    assert "Defender's authorization works." in shown
    assert "Defender covers 12 organizations and has discovered 118 of 120 projects and 951 repositories." in shown
    assert "What Defender for Cloud does" in page
    assert "What Defender for Cloud does" not in shown


@pytest.mark.parametrize(
    ("status", "headline"),
    [
        ({}, "has not been checked yet"),
        ({"status": "False", "message": "The account was removed."}, "does not work"),
        ({"status": "Unknown", "message": "Azure does not answer."}, "is unknown"),
    ],
)
async def test_the_page_of_a_connector_says_what_is_wrong_with_defender(
    site: Site, status: dict[str, str], headline: str
) -> None:
    conditions = [{"type": "Authorized", "reason": "X", **status}] if status else []
    broken = parse_connector(connector(SERVICE_PRINCIPAL).dump() | {"status": {"conditions": conditions}})
    await site.world.sign_ins.state(broken)
    page = await text(await site.http.get(site.path(broken)))
    assert headline in page
    assert status.get("message", "") in page
    assert "Sign in again, permissions" not in page


AWAITING = {"conditions": [{"type": "Authorized", "status": "False", "reason": "AwaitingAuthorization"}]}


def needing_code(sign_in: dict[str, object] | None = None, **changes: object) -> AzureDevOpsConnector:
    """A connector with method Code that waits for a code."""
    body = connector(sign_in, **{"authorization": CODE_METHOD, **changes}).dump()
    return parse_connector(body | {"status": AWAITING})


async def code_session(site: Site, of: AzureDevOpsConnector) -> str:
    """Sign in with a browser, and return the cookie of its session."""
    site.path(of)
    params = await site.begin()
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    site.path(of)
    return next(cookie.split(";")[0] for cookie in response.headers.getall("Set-Cookie") if "code-session" in cookie)


async def paste(site: Site, of: AzureDevOpsConnector, cookie: str = "", code: str = CODE) -> ClientResponse:
    headers = {"Cookie": cookie} if cookie else {}
    return await site.http.post(f"{site.path(of)}/code", data={"code": code}, headers=headers, allow_redirects=False)


async def test_a_pasted_code_enqueues_the_connector_and_an_invalid_one_is_not_repeated(site: Site) -> None:
    with_code = needing_code()
    cookie = await code_session(site, with_code)
    response = await paste(site, with_code, cookie, "1.Acanary")
    assert response.status == 422
    assert "canary" not in await response.text()
    site.world.requeued.clear()
    response = await paste(site, with_code, cookie, f"https://x.example/?code={CODE}")
    assert response.headers["Location"].endswith("/code")
    assert site.world.requeued == [(NAMESPACE, "contoso")]
    assert (await site.world.package.codes.get(with_code)).get_secret_value() == CODE  # type: ignore[union-attr]


async def test_a_browser_that_knows_only_the_address_cannot_paste_a_code(site: Site) -> None:
    with_code = needing_code()
    assert (await paste(site, with_code)).status == 403
    page = await site.http.get(site.path(with_code))
    assert "<textarea" not in await page.text()
    assert "Sign in above first" in await text(page)
    await code_session(site, with_code)
    assert (await paste(site, with_code)).status == 403, "another browser has signed in, this one has not"
    assert await site.world.package.codes.get(with_code) is None


@pytest.mark.parametrize(
    "method",
    [
        {"method": "None"},
        SERVICE_PRINCIPAL,
        {"method": "RefreshToken", "refreshTokenSecretRef": {"name": "supplied", "key": "token"}},
        {"method": "DeviceCode", "client": {"id": CLIENT_ID}},
    ],
    ids=lambda method: str(method["method"]),
)
async def test_without_a_sign_in_with_a_browser_codes_come_by_secret_alone(
    site: Site, method: dict[str, object]
) -> None:
    cookie = await code_session(site, needing_code())
    other_method = needing_code(method)
    page = await site.http.get(site.path(other_method), headers={"Cookie": cookie})
    assert "<textarea" not in await page.text()
    assert "key code of Secret code" in await text(page)
    assert (await paste(site, other_method, cookie)).status == 403
    assert await site.world.package.codes.get(other_method) is None


@pytest.mark.parametrize(
    "case",
    [
        "expired",
        "another connector",
        "another account",
        "another authorizing account",
        "both accounts changed",
        "forged",
        "the sign-in's cookie",
    ],
)
async def test_a_session_is_bound_to_time_connector_and_account(site: Site, case: str) -> None:
    target = needing_code()
    cookie = await code_session(site, target)
    match case:
        case "expired":
            site.world.time.forward(minutes=15)
        case "another connector":
            target = needing_code(uid="aaaaaaaa-0000-4000-8000-000000000009", name="other")
        case "another account":
            target = needing_code({"account": "other@contoso.com"})
        case "another authorizing account":
            target = needing_code(authorization={**CODE_METHOD, "account": "other@contoso.com"})
        case "both accounts changed":
            authorization = {**CODE_METHOD, "account": "other@contoso.com"}
            target = needing_code({"account": "other@contoso.com"}, authorization=authorization)
        case "forged":
            cookie = f"{cookie[:-4]}AAAA"
        case _:
            cookie = "code-session=" + (await site.begin())["cookie"].partition("=")[2]
    assert (await paste(site, target, cookie)).status == 403
    assert await site.world.package.codes.get(target) is None


async def test_a_sign_in_of_an_account_that_does_not_authorize_defender_gives_no_session(site: Site) -> None:
    target = needing_code(authorization={**CODE_METHOD, "account": "defender@contoso.com"})
    params = await site.begin(target)
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    assert response.status == 303, "the operator's own sign-in works"
    assert not [cookie for cookie in response.headers.getall("Set-Cookie") if "code-session" in cookie]
    page = await text(await site.http.get(site.path(target)))
    assert "Sign in above first" not in page
    assert "key code of Secret code" in page
    rejection = await paste(site, target)
    assert rejection.status == 403
    assert "spec.authorization.codeSecretRef" in await text(rejection)


async def test_the_authorizing_account_in_other_letters_is_the_same_account(site: Site) -> None:
    target = needing_code(authorization={**CODE_METHOD, "account": ACCOUNT.upper()})
    cookie = await code_session(site, target)
    assert (await paste(site, target, cookie)).status == 303


async def test_a_sign_in_of_another_account_gives_no_session(site: Site) -> None:
    site.path(needing_code())
    params = await site.begin()
    site.world.entra.account = "eve@contoso.com"
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    assert response.status == 403
    assert not [cookie for cookie in response.headers.getall("Set-Cookie") if "code-session" in cookie]


@pytest.mark.parametrize(
    ("spec", "conditions", "needed"),
    [
        ({}, [("Authorized", "False")], True),
        ({}, [("Authorized", "True")], False),
        ({}, [("Authorized", "Unknown")], False),
        ({}, [], False),
        ({}, [("Authorized", "True"), ("ReauthRequired", "True"), ("SignedIn", "True")], True),
        ({}, [("Authorized", "True"), ("ReauthRequired", "True"), ("SignedIn", "False")], False),
        ({"suspend": True}, [("Authorized", "False")], False),
        ({"managementPolicy": "Observe"}, [("Authorized", "False")], False),
        ({"authorization": {"method": "Adopt"}}, [("Authorized", "False")], False),
    ],
)
async def test_a_code_is_accepted_only_while_one_is_needed(
    site: Site, spec: dict[str, object], conditions: list[tuple[str, str]], needed: bool
) -> None:
    cookie = await code_session(site, needing_code())
    body = connector(**{"authorization": CODE_METHOD, **spec}).dump()
    status = {"conditions": [{"type": kind, "status": value, "reason": "X"} for kind, value in conditions]}
    target = parse_connector(body | {"status": status})
    page = await site.http.get(site.path(target), headers={"Cookie": cookie})
    assert ("<textarea" in await page.text()) is needed
    assert (await paste(site, target, cookie)).status == (303 if needed else 409)


async def test_the_session_cookie_is_not_available_to_scripts_other_sites_and_other_paths(site: Site) -> None:
    path = site.path(needing_code())
    params = await site.begin()
    code = site.world.entra.issue_code(params["code_challenge"], params["nonce"], params["redirect_uri"])
    response = await site.back(params["cookie"], code=code, state=params["state"])
    (cookie,) = [cookie for cookie in response.headers.getall("Set-Cookie") if "code-session" in cookie]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=lax", f"path={path.lower()}", "max-age=900"} <= attributes


async def test_a_connector_that_adopts_accepts_no_code(site: Site) -> None:
    assert (await paste(site, connector())).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://defender.example.com"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://defender.example.com.evil.example"},
        {"Origin": "https://defender.example.com:444"},
        {"Origin": "http://defender.example.com"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
    ids=str,
)
async def test_requests_of_other_sites_are_rejected(site: Site, headers: dict[str, str]) -> None:
    for page in ("sign-in", "device", "code"):
        response = await site.http.post(f"{site.path()}/{page}", headers=headers, allow_redirects=False)
        assert response.status == 403
    assert site.rejected == ["foreign_origin"] * 3


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}]
    + [{"Origin": origin} for origin in ("https://defender.example.com", "HTTPS://Defender.example.com")],
    ids=str,
)
async def test_requests_of_the_pages_and_of_the_command_line_are_accepted(site: Site, headers: dict[str, str]) -> None:
    response = await site.http.post(f"{site.path()}/sign-in", headers=headers, allow_redirects=False)
    assert response.status == 303


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
MALFORMED_FORMS: list[tuple[dict[str, str], bytes]] = [
    ({"Content-Type": "multipart/form-data"}, b"canary"),
    (MULTIPART, b"canary"),
    (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="code"\r\ncanary'),
    (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="code"\r\nContent-Encoding: canary\r\n\r\na\r\n--x--'),
    ({"Content-Type": "application/x-www-form-urlencoded; charset=canary"}, b"code=canary"),
    ({"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, b"code=\xff\xfecanary"),
]


@pytest.mark.parametrize(("headers", "body"), MALFORMED_FORMS, ids=range(len(MALFORMED_FORMS)))
async def test_a_malformed_form_is_noted_in_one_line_without_its_content(
    site: Site, capsys: pytest.CaptureFixture[str], headers: dict[str, str], body: bytes
) -> None:
    with_code = needing_code()
    cookie = await code_session(site, with_code)
    capsys.readouterr()
    for path in (f"{site.path(with_code)}/code", "/pages/callback"):
        response = await site.http.post(path, data=body, headers={**headers, "Cookie": cookie}, allow_redirects=False)
        assert response.status in {303, 400, 422}
        assert "canary" not in await response.text()
    output = capsys.readouterr()
    assert "canary" not in output.out + output.err
    assert "Traceback" not in output.out + output.err
    assert len(output.out.splitlines()) <= 2


@pytest.mark.parametrize("charset", ["unicode_escape", "raw_unicode_escape", "utf-7", "utf-16", "idna", "cp1252", "x"])
async def test_a_form_in_any_charset_is_no_error_of_the_operator(
    site: Site, capsys: pytest.CaptureFixture[str], charset: str
) -> None:
    headers = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    for body in (rb"state=\ud800canary&code=x", b"state=%ed%a0%80canary", b"state=+2AA-canary", b"state=\x81\xff"):
        response = await site.http.post("/pages/callback", data=body, headers=headers, allow_redirects=False)
        if response.status == 303:
            location = URL(response.headers["Location"], encoded=True)
            response = await site.http.get(location.path_qs, allow_redirects=False)
        assert response.status in {400, 403, 413}
    output = capsys.readouterr()
    assert "Traceback" not in output.out + output.err
    assert "canary" not in output.out + output.err


MALFORMED_REQUESTS = [
    b"\x16\x03\x01\x02\x00\x01\x00canary",  # TLS on a plain port
    b"canary\r\n\r\n",
    b"GET /canary\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: canary\r\n\r\n",
    b"GET /pages/ HTTP/1.1\r\nHost: x\r\n\xff\xfecanary: y\r\n\r\n",
    b"GET /pages/ HTTP/1.1\r\nHost: x\r\nA: canary\x00\r\n\r\n",
    b"GET /" + b"canary" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /pages/ HTTP/1.1\r\nHost: x\r\nCookie: " + b"canary" * 2000 + b"\r\n\r\n",
    b"POST /pages/callback HTTP/1.1\r\nHost: x\r\nContent-Length: canary\r\n\r\n",
    # Bodies of requests that are answered without reading them.
    b"POST /canary HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary",
    b"PUT /pages/callback HTTP/1.1\r\nHost: x\r\nContent-Encoding: deflate\r\nContent-Length: 6\r\n\r\ncanary",
    b"POST /pages/callback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n\r\n",
    b"POST /pages/callback HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\ncanary",
    (
        b"POST /pages/callback HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary"
    ),
    b"GET http://[canary/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //canary:port/ HTTP/1.1\r\nHost: ]canary[\r\n\r\n",
]


@pytest.mark.parametrize("data", MALFORMED_REQUESTS, ids=range(len(MALFORMED_REQUESTS)))
async def test_a_malformed_request_is_noted_in_one_line_without_its_content(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    rejected: list[str] = []
    server = site.world.package.server(
        Settings(signin_host="127.0.0.1", signin_port=0),
        site.reader,
        SelectedOrganizations(site.resources),
        rejected.append,
    )
    assert server
    port = await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        response = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    finally:
        await server.close()
    assert b" 200 " not in response.split(b"\r\n")[0]
    output = capsys.readouterr()
    log = caplog.text + output.out + output.err
    assert "canary" not in log
    assert "Traceback" not in log
    assert len(output.out.splitlines()) <= 1
    assert len(rejected) == 1
    assert rejected[0] in {"malformed", "not_found"}


async def test_an_oversized_body_is_rejected(site: Site) -> None:
    with_code = needing_code()
    cookie = await code_session(site, with_code)
    assert (await paste(site, with_code, cookie, "x" * 100_000)).status == 413


@pytest.mark.parametrize("page", ["", "/result", "/nothing", "/device"])
async def test_every_page_has_the_security_headers(site: Site, page: str) -> None:
    headers = (await site.http.get(f"{site.path()}{page}")).headers
    assert f"form-action 'self' {site.world.entra.url}" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Strict-Transport-Security"]
    assert "Server" not in headers


async def test_no_page_has_an_inline_script_or_style(site: Site) -> None:
    for page in ("", "/result", "/device"):
        body = await (await site.http.get(f"{site.path()}{page}")).text()
        assert not re.search(r"<script|<style|style=|\son\w+=|javascript:", body)
    assert (await site.http.get("/pages/style.css")).content_type == "text/css"
    assert (await site.http.get("/pages/icon.svg")).content_type == "image/svg+xml"


async def test_too_many_requests_are_rejected(site: Site) -> None:
    statuses = [(await site.http.get(site.path())).status for _ in range(80)]
    assert statuses == [200] * 60 + [429] * 20


async def test_an_internal_error_is_not_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("inside-canary")

    monkeypatch.setattr(site.world.sign_ins, "state", broken)
    response = await site.http.get(f"{site.path()}/result")
    assert response.status == 500
    assert "canary" not in await response.text()
    assert "Content-Security-Policy" in response.headers


async def test_an_unexpected_exception_outside_of_the_pages_is_counted_and_the_server_goes_on(
    world: SignInSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one while a response is prepared, which no middleware sees: only aiohttp's connection does."""
    failures: list[str] = []
    prepared: list[web.StreamResponse] = []

    def broken_headers(*_: object, **_options: object) -> object:
        async def signal(_: web.Request, response: web.StreamResponse) -> None:
            prepared.append(response)
            if len(prepared) == 1:
                raise ZeroDivisionError

        return signal

    monkeypatch.setattr(server_module, "security_headers", broken_headers)
    selection = SelectedOrganizations(ResourceCache())
    server = world.package.server(
        Settings(signin_host="127.0.0.1", signin_port=0), FakeReader(), selection, lambda _: None, failures.append
    )
    assert server
    assert world.package.addresses
    address = f"http://127.0.0.1:{await server.start()}{world.package.addresses.path}/style.css"
    with structlog.testing.capture_logs() as lines:
        async with ClientSession() as session:
            # The first connection is closed, and the client tries again by itself.
            status = (await session.get(address)).status
    await server.close()
    assert (status, len(prepared)) == (200, 2)
    assert failures == ["sign-in page"]
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["exc_info"][0] is ZeroDivisionError


ROUTES: list[tuple[object, str, str, str]] = [
    (ConnectorPages, "show", "GET", ""),
    (ConnectorPages, "sign_in", "POST", "/sign-in"),
    (ConnectorPages, "code_accepted", "GET", "/code"),
    (ConnectorPages, "accept_code", "POST", "/code"),
    (ResultPages, "show", "GET", "/result"),
    (DevicePages, "show", "GET", "/device"),
    (DevicePages, "start", "POST", "/device"),
    (CallbackPages, "get", "GET", "/pages/callback"),
    (CallbackPages, "post", "POST", "/pages/callback"),
    (server_module, "static_files", "GET", "/pages/style.css"),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[2]} {route[3]}")
async def test_an_unexpected_exception_of_one_page_leaves_the_others_running(
    world: SignInSetup, monkeypatch: pytest.MonkeyPatch, route: tuple[object, str, str, str]
) -> None:
    owner, function, method, path = route

    async def fail(*_: object) -> None:
        raise ZeroDivisionError("s3cret")

    def fail_at_once(*_: object) -> None:
        raise ZeroDivisionError("s3cret")

    monkeypatch.setattr(owner, function, fail_at_once if function == "static_files" else fail)
    failures: list[str] = []
    server = world.package.server(Settings(), FakeReader(), SelectedOrganizations(ResourceCache()))
    assert server
    assert world.package.addresses
    world.sign_ins.last_state(connector())
    page = urlsplit(world.package.addresses.page(connector().metadata.uid)).path
    prefix = world.package.addresses.path
    address = prefix + path.removeprefix("/pages") if path.startswith("/pages") else page + path
    app = sign_in_application(server.pages, on_failure=failures.append)
    async with TestClient(TestServer(app)) as http:
        with structlog.testing.capture_logs() as lines:
            response = await http.request(method, address)
            content = await response.text()
            working = await http.get(f"{prefix}/icon.svg" if function != "static_files" else page)
        assert (response.status, working.status) == (500, 200)
    assert "Internal error" in content
    assert "s3cret" not in content
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["exc_info"], "with traceback"
    assert page.rpartition("/")[2] not in str(line), "the signature opens the page"
    assert failures == ["sign-in page"]
