"""Checks as reconciles and pages get them: kept, shared, and asked again with a new token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from pydantic import SecretStr

from defender_devops.api.azure_types import Counts
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
from defender_devops.azuredevops.response_cache import RETRY_SECONDS, ResponseCache
from defender_devops.errors import AzureDevOpsUnavailable, OperatorError
from defender_devops.signin.oauth.errors import SignInRequired
from tests.support.fakes.azure_devops import AzureDevOpsSetup, FakeMonotonicClock
from tests.support.fakes.sign_in import UID, connector

TENANT = "11111111-1111-1111-1111-111111111111"
ADMINISTRATORS = "group-here"
INTERVAL = 600.0


@dataclass
class Tokens:
    """A sign-in that gives `token-1`, `token-2`, …"""

    error: OperatorError | None = None
    requests: list[tuple[SecretStr | None, str | None]] = field(default_factory=list)

    async def access_token(
        self, connector: AzureDevOpsConnector, *, rejected: SecretStr | None = None, claims: str | None = None
    ) -> SecretStr:
        if self.error:
            raise self.error
        if rejected or claims or not self.requests:
            self.requests.append((rejected, claims))
        return SecretStr(f"token-{len(self.requests)}")


@dataclass
class Desk:
    reach: AzureDevOpsSetup
    tokens: Tokens
    monotonic: FakeMonotonicClock
    checker: PrerequisiteChecker

    @property
    def requests(self) -> int:
        return len(self.reach.service.requests)


@pytest.fixture
def desk(reach: AzureDevOpsSetup) -> Desk:
    tokens, monotonic = Tokens(), FakeMonotonicClock()
    all_is_well(reach)
    return Desk(
        reach, tokens, monotonic, PrerequisiteChecker(tokens, reach.http, reach.endpoints(), INTERVAL, monotonic)
    )


def all_is_well(reach: AzureDevOpsSetup) -> None:
    responses = reach.service.responses
    responses["/contoso/_apis/connectionData"] = web.Response(status=401, headers={"X-VSS-ResourceTenant": TENANT})
    responses["/_apis/profile/profiles/me"] = {"id": "id-1"}
    responses["/_apis/accounts"] = {"value": [{"accountName": "contoso"}]}
    person = {"id": "id-1", "memberOf": [ADMINISTRATORS], "descriptor": ADMINISTRATORS}
    responses["/contoso/_apis/identities"] = {"value": [person]}
    responses["/contoso/_apis/userentitlements/id-1"] = {
        "accessLevel": {"accountLicenseType": "express", "status": "active"}
    }
    policy = "/contoso/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
    responses[policy] = {"value": False}
    extension = {"publisherId": "ms-securitydevops", "extensionId": "ms-dfd-code-to-cloud"}
    responses["/contoso/_apis/extensionmanagement/installedextensions"] = {"value": [extension]}
    responses["/contoso/_apis/projects"] = {"value": [{"id": "p1"}]}
    responses["/contoso/_apis/git/repositories"] = {"value": [{"id": "r1"}]}


async def statuses(desk: Desk, **sign_in: object) -> dict[str, str]:
    made = await desk.checker.check(connector(dict(sign_in)), "contoso")
    return {each.check: each.status for each in made}


async def test_all_five_are_made(desk: Desk) -> None:
    assert await statuses(desk) == dict.fromkeys(
        (
            "TenantMatches",
            "ProjectCollectionAdministrator",
            "AccessLevel",
            "ThirdPartyOAuthEnabled",
            "ContainerMappingExtension",
        ),
        "True",
    )


async def test_the_requests_of_all_checks_are_told_of(desk: Desk) -> None:
    told: list[tuple[str, int | None]] = []
    desk.checker.observe = lambda area, status, _: told.append((area, status))
    await statuses(desk)
    assert len(told) == desk.requests
    assert set(told) == {
        ("connectionData", 401),
        ("profile", 200),
        ("identities", 200),
        ("userentitlements", 200),
        ("OrganizationPolicy", 200),
        ("extensionmanagement", 200),
    }


async def test_an_answer_is_kept_and_asked_for_again_in_time_for_the_next_interval(desk: Desk) -> None:
    await statuses(desk)
    before = desk.requests
    for _ in range(10):
        await desk.checker.check(connector(), "CONTOSO")
    assert desk.requests == before
    desk.monotonic.now += INTERVAL
    await statuses(desk)
    assert desk.requests == 2 * before


async def test_many_at_once_ask_once(desk: Desk) -> None:
    await asyncio.gather(*(statuses(desk) for _ in range(30)))
    once = desk.requests
    desk.checker.invalidate(UID)
    await statuses(desk)
    assert desk.requests == 2 * once


async def test_a_refused_token_is_replaced_once_and_all_asked_again(desk: Desk) -> None:
    identities = desk.reach.service.responses["/contoso/_apis/identities"]

    def only_new_tokens(request: web.Request) -> object:
        if request.headers["Authorization"] == "Bearer token-1":
            return web.Response(status=203, text="<html>", content_type="text/html")
        return identities

    desk.reach.service.responses["/contoso/_apis/identities"] = only_new_tokens
    assert set((await statuses(desk)).values()) == {"True"}
    assert desk.tokens.requests == [(None, None), (SecretStr("token-1"), None)]


async def test_a_claims_challenge_reaches_the_sign_in(desk: Desk) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_claims", claims="abc"'}
    desk.reach.service.responses["/_apis/profile/profiles/me"] = [
        web.Response(status=401, headers=challenge),
        web.json_response({"id": "id-1"}),
    ]
    await statuses(desk)
    assert desk.tokens.requests[-1] == (SecretStr("token-1"), "abc")


async def test_a_token_that_stays_refused_leaves_the_checks_open_and_is_not_asked_for_again_and_again(
    desk: Desk,
) -> None:
    desk.reach.service.responses["/_apis/profile/profiles/me"] = web.Response(status=401)
    made = await desk.checker.check(connector(), "contoso")
    assert [each.status for each in made] == ["True", "Unknown", "Unknown", "Unknown", "Unknown"]
    assert len(desk.tokens.requests) == 2


async def test_without_a_sign_in_the_tenant_is_checked_and_the_rest_says_why_not(desk: Desk) -> None:
    desk.tokens.error = SignInRequired("Nobody has signed in yet.")
    made = await desk.checker.check(connector(), "contoso")
    assert [(each.status, each.reason) for each in made] == [("True", None)] + [("Unknown", "SignInRequired")] * 4
    desk.tokens.error = None
    desk.monotonic.now += 2
    assert set((await statuses(desk)).values()) == {"True"}, "a sign-in is followed within seconds"


async def test_a_check_that_azure_devops_left_open_is_made_again_after_a_minute(desk: Desk) -> None:
    policy = "/contoso/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
    desk.reach.service.responses[policy] = web.Response(status=404)
    assert (await statuses(desk))["ThirdPartyOAuthEnabled"] == "Unknown"
    desk.reach.service.responses[policy] = {"value": False}
    assert (await statuses(desk))["ThirdPartyOAuthEnabled"] == "Unknown"
    desk.monotonic.now += RETRY_SECONDS + 1
    assert (await statuses(desk))["ThirdPartyOAuthEnabled"] == "True"


async def test_an_account_that_is_kept_out_of_the_organization_is_no_member_of_it(desk: Desk) -> None:
    out = web.json_response({"message": "TF400813: not authorized"}, status=401)
    desk.reach.service.responses["/contoso/_apis/identities"] = out
    made = await statuses(desk)
    assert made["ProjectCollectionAdministrator"] == made["AccessLevel"] == "False"


async def test_another_account_that_is_kept_out_says_nothing_about_the_authorizing_one(desk: Desk) -> None:
    out = web.json_response({"message": "TF400813: not authorized"}, status=401)
    desk.reach.service.responses["/contoso/_apis/identities"] = out
    made = await desk.checker.check(
        connector(authorization={"method": "Adopt", "account": "other@contoso.com"}), "contoso"
    )
    assert [each.status for each in made[1:3]] == ["Unknown", "Unknown"]


async def test_without_an_authorizing_account_its_checks_say_what_to_declare(desk: Desk) -> None:
    made = await desk.checker.check(connector({"method": "ServicePrincipal", "account": None}), "contoso")
    assert [(each.status, each.reason) for each in made[1:3]] == [("Unknown", "NotChecked")] * 2
    assert "spec.authorization.account" in str(made[1].message)


async def test_counts_and_organizations_are_kept_too(desk: Desk) -> None:
    for _ in range(3):
        assert await desk.checker.expected_counts(connector(), "contoso") == Counts(1, 1)
        assert await desk.checker.organizations(connector()) == ("contoso",)
    assert desk.requests == 4


async def test_without_a_sign_in_nothing_is_expected_and_nobody_asked(desk: Desk) -> None:
    assert await desk.checker.expected_counts(connector({"method": "None"}), "contoso") is None
    assert desk.requests == 0


async def test_counts_that_failed_are_none_and_tried_again_later(desk: Desk) -> None:
    projects = desk.reach.service.responses.pop("/contoso/_apis/projects")
    assert await desk.checker.expected_counts(connector(), "contoso") is None
    desk.reach.service.responses["/contoso/_apis/projects"] = projects
    desk.monotonic.now += RETRY_SECONDS + 1
    assert await desk.checker.expected_counts(connector(), "contoso") == Counts(1, 1)


async def test_connectors_of_one_account_share_its_rate_limiter(desk: Desk) -> None:
    first = connector()
    second = connector(uid="bbbbbbbb-0000-4000-8000-000000000002", name="two")
    stranger = connector({"account": "other@contoso.com"})
    limiters = [desk.checker._client(None, owner).rate_limiter for owner in (first, second, stranger)]
    assert limiters[0] is limiters[1]
    assert limiters[0] is not limiters[2]


async def ask(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


def asking(value: object) -> Callable[[], Awaitable[object]]:
    return lambda: ask(value)


async def test_a_failure_is_kept_as_long_as_the_service_asks_for() -> None:
    monotonic = FakeMonotonicClock()
    memory = ResponseCache[object](INTERVAL, monotonic, lambda _: None)
    with pytest.raises(AzureDevOpsUnavailable):
        await memory.get(("key",), asking(AzureDevOpsUnavailable("slow", retry_after=90.0)))
    monotonic.now += 89
    with pytest.raises(AzureDevOpsUnavailable):
        await memory.get(("key",), asking("value"))
    monotonic.now += 2
    assert await memory.get(("key",), asking("value")) == "value"


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    memory = ResponseCache[object](INTERVAL, FakeMonotonicClock(), lambda _: None)
    release = asyncio.Event()

    async def slow() -> object:
        await release.wait()
        return "value"

    first = asyncio.create_task(memory.get(("key",), slow))
    second = asyncio.create_task(memory.get(("key",), slow))
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second == "value"
