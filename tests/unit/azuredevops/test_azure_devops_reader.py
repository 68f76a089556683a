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
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
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
class ReaderSetup:
    reach: AzureDevOpsSetup
    tokens: Tokens
    monotonic: FakeMonotonicClock
    reader: AzureDevOpsReader

    @property
    def requests(self) -> int:
        return len(self.reach.service.requests)


@pytest.fixture
def setup(reach: AzureDevOpsSetup) -> ReaderSetup:
    tokens, monotonic = Tokens(), FakeMonotonicClock()
    all_is_well(reach)
    return ReaderSetup(
        reach, tokens, monotonic, AzureDevOpsReader(tokens, reach.http, reach.endpoints(), INTERVAL, monotonic)
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


async def statuses(setup: ReaderSetup, **sign_in: object) -> dict[str, str]:
    checks = await setup.reader.check(connector(dict(sign_in)), "contoso")
    return {check.check: check.status for check in checks}


async def test_all_five_checks_are_run(setup: ReaderSetup) -> None:
    assert await statuses(setup) == dict.fromkeys(
        (
            "TenantMatches",
            "ProjectCollectionAdministrator",
            "AccessLevel",
            "ThirdPartyOAuthEnabled",
            "ContainerMappingExtension",
        ),
        "True",
    )


async def test_the_requests_of_all_checks_are_observed(setup: ReaderSetup) -> None:
    observed: list[tuple[str, int | None]] = []
    setup.reader.observe = lambda area, status, _: observed.append((area, status))
    await statuses(setup)
    assert len(observed) == setup.requests
    assert set(observed) == {
        ("connectionData", 401),
        ("profile", 200),
        ("identities", 200),
        ("userentitlements", 200),
        ("OrganizationPolicy", 200),
        ("extensionmanagement", 200),
    }


async def test_a_response_is_cached_and_requested_again_for_the_next_interval(setup: ReaderSetup) -> None:
    await statuses(setup)
    previous_count = setup.requests
    for _ in range(10):
        await setup.reader.check(connector(), "CONTOSO")
    assert setup.requests == previous_count
    setup.monotonic.now += INTERVAL
    await statuses(setup)
    assert setup.requests == 2 * previous_count


async def test_concurrent_callers_share_one_request(setup: ReaderSetup) -> None:
    await asyncio.gather(*(statuses(setup) for _ in range(30)))
    once = setup.requests
    setup.reader.invalidate(UID)
    await statuses(setup)
    assert setup.requests == 2 * once


async def test_a_rejected_token_is_replaced_once_and_all_checks_are_repeated(setup: ReaderSetup) -> None:
    identities = setup.reach.service.responses["/contoso/_apis/identities"]

    def only_new_tokens(request: web.Request) -> object:
        if request.headers["Authorization"] == "Bearer token-1":
            return web.Response(status=203, text="<html>", content_type="text/html")
        return identities

    setup.reach.service.responses["/contoso/_apis/identities"] = only_new_tokens
    assert set((await statuses(setup)).values()) == {"True"}
    assert setup.tokens.requests == [(None, None), (SecretStr("token-1"), None)]


async def test_a_claims_challenge_reaches_the_sign_in(setup: ReaderSetup) -> None:
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_claims", claims="abc"'}
    setup.reach.service.responses["/_apis/profile/profiles/me"] = [
        web.Response(status=401, headers=challenge),
        web.json_response({"id": "id-1"}),
    ]
    await statuses(setup)
    assert setup.tokens.requests[-1] == (SecretStr("token-1"), "abc")


async def test_checks_with_a_token_that_remains_rejected_are_unknown_and_not_repeated_at_once(
    setup: ReaderSetup,
) -> None:
    setup.reach.service.responses["/_apis/profile/profiles/me"] = web.Response(status=401)
    checks = await setup.reader.check(connector(), "contoso")
    assert [check.status for check in checks] == ["True", "Unknown", "Unknown", "Unknown", "Unknown"]
    assert len(setup.tokens.requests) == 2


async def test_without_a_sign_in_the_tenant_is_checked_and_other_checks_are_unknown(setup: ReaderSetup) -> None:
    setup.tokens.error = SignInRequired("Nobody has signed in yet.")
    checks = await setup.reader.check(connector(), "contoso")
    assert [(check.status, check.reason) for check in checks] == [("True", None)] + [("Unknown", "SignInRequired")] * 4
    setup.tokens.error = None
    setup.monotonic.now += 2
    assert set((await statuses(setup)).values()) == {"True"}, "a sign-in is followed within seconds"


async def test_a_check_that_azure_devops_failed_is_repeated_after_a_minute(setup: ReaderSetup) -> None:
    policy = "/contoso/_apis/OrganizationPolicy/Policies/Policy.DisallowOAuthAuthentication"
    setup.reach.service.responses[policy] = web.Response(status=404)
    assert (await statuses(setup))["ThirdPartyOAuthEnabled"] == "Unknown"
    setup.reach.service.responses[policy] = {"value": False}
    assert (await statuses(setup))["ThirdPartyOAuthEnabled"] == "Unknown"
    setup.monotonic.now += RETRY_SECONDS + 1
    assert (await statuses(setup))["ThirdPartyOAuthEnabled"] == "True"


async def test_an_account_without_access_to_the_organization_is_not_a_member(setup: ReaderSetup) -> None:
    out = web.json_response({"message": "TF400813: not authorized"}, status=401)
    setup.reach.service.responses["/contoso/_apis/identities"] = out
    checks = await statuses(setup)
    assert checks["ProjectCollectionAdministrator"] == checks["AccessLevel"] == "False"


async def test_a_denied_sign_in_says_nothing_about_the_authorizing_account(setup: ReaderSetup) -> None:
    out = web.json_response({"message": "TF400813: not authorized"}, status=401)
    setup.reach.service.responses["/contoso/_apis/identities"] = out
    checks = await setup.reader.check(
        connector(authorization={"method": "Adopt", "account": "other@contoso.com"}), "contoso"
    )
    assert [check.status for check in checks[1:3]] == ["Unknown", "Unknown"]


async def test_without_an_authorizing_account_its_checks_say_what_to_declare(setup: ReaderSetup) -> None:
    checks = await setup.reader.check(connector({"method": "ServicePrincipal", "account": None}), "contoso")
    assert [(check.status, check.reason) for check in checks[1:3]] == [("Unknown", "NotChecked")] * 2
    assert "spec.authorization.account" in str(checks[1].message)


async def test_counts_and_organizations_are_cached_as_well(setup: ReaderSetup) -> None:
    for _ in range(3):
        assert await setup.reader.expected_counts(connector(), "contoso") == Counts(1, 1)
        assert await setup.reader.organizations(connector()) == ("contoso",)
    assert setup.requests == 4


async def test_without_a_sign_in_there_are_no_expected_counts_and_no_requests(setup: ReaderSetup) -> None:
    assert await setup.reader.expected_counts(connector({"method": "None"}), "contoso") is None
    assert setup.requests == 0


async def test_failed_counts_are_none_and_requested_again_later(setup: ReaderSetup) -> None:
    projects = setup.reach.service.responses.pop("/contoso/_apis/projects")
    assert await setup.reader.expected_counts(connector(), "contoso") is None
    setup.reach.service.responses["/contoso/_apis/projects"] = projects
    setup.monotonic.now += RETRY_SECONDS + 1
    assert await setup.reader.expected_counts(connector(), "contoso") == Counts(1, 1)


async def test_connectors_of_one_account_share_its_rate_limiter(setup: ReaderSetup) -> None:
    first = connector()
    second = connector(uid="bbbbbbbb-0000-4000-8000-000000000002", name="two")
    stranger = connector({"account": "other@contoso.com"})
    limiters = [setup.reader._client(None, owner).rate_limiter for owner in (first, second, stranger)]
    assert limiters[0] is limiters[1]
    assert limiters[0] is not limiters[2]


async def ask(value: object) -> object:
    if isinstance(value, Exception):
        raise value
    return value


def asking(value: object) -> Callable[[], Awaitable[object]]:
    return lambda: ask(value)


async def test_a_failure_is_cached_for_the_retry_after_of_the_service() -> None:
    monotonic = FakeMonotonicClock()
    memory = ResponseCache[object](INTERVAL, monotonic, lambda _: None)
    with pytest.raises(AzureDevOpsUnavailable):
        await memory.get(("key",), asking(AzureDevOpsUnavailable("slow", retry_after=90.0)))
    monotonic.now += 89
    with pytest.raises(AzureDevOpsUnavailable):
        await memory.get(("key",), asking("value"))
    monotonic.now += 2
    assert await memory.get(("key",), asking("value")) == "value"


async def test_a_cancelled_caller_does_not_cancel_the_request_of_the_others() -> None:
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
