"""Variants of onboarding, operations and lists: what each alternative changes."""

from __future__ import annotations

import pytest

from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    GROUP,
    LONG_ENOUGH,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Direct,
    larger_world,
)

AVAILABLE = f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs"
GRAPH = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
EIGHT_HOURS = 8 * 3600.0


async def choose(direct: Direct, **choices: str) -> None:
    await direct.control("PATCH", "/variants", **choices)


LOST: dict[tuple[str, str], tuple[int, str]] = {
    ("listAvailableWithoutAuthorization", "tokenExchangeFailed"): (400, "TokenExchangeFailed"),
    ("listAvailableWithoutAuthorization", "badRequest"): (400, "BadRequest"),
    ("listAvailableWithoutAuthorization", "unauthorized"): (401, "Unauthorized"),
    ("listAvailableWithoutAuthorization", "forbidden"): (403, "Forbidden"),
    ("listAvailableWithoutAuthorization", "serverError"): (500, "InternalServerError"),
}


@pytest.mark.parametrize("choice", LOST, ids="=".join)
async def test_a_lost_authorization_is_refused(direct: Direct, choice: tuple[str, str]) -> None:
    await direct.connect()
    await choose(direct, **dict([choice]))
    assert (await direct.arm("POST", AVAILABLE)).status == 200
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    answer = await direct.arm("POST", AVAILABLE)
    assert (answer.status, answer.code) == LOST[choice]


@pytest.mark.parametrize(
    ("choice", "number"),
    [(("listAvailableWithoutAuthorization", "empty"), 0), (("listAvailableWithoutAuthorization", "stale"), 6)],
)
async def test_a_lost_authorization_may_look_like_a_working_one(
    direct: Direct, choice: tuple[str, str], number: int
) -> None:
    await direct.connect()
    await choose(direct, **dict([choice]))
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    assert len((await direct.arm("POST", AVAILABLE)).json["value"]) == number


@pytest.mark.parametrize(
    ("choice", "status"),
    [
        (("listAvailableWithoutOrganizations", "empty"), 200),
        (("listAvailableWithoutOrganizations", "tokenExchangeFailed"), 400),
        (("listAvailableWithoutOrganizations", "forbidden"), 403),
    ],
)
async def test_an_account_without_organizations(direct: Direct, choice: tuple[str, str], status: int) -> None:
    await direct.connect()
    await choose(direct, **dict([choice]))
    await direct.control("POST", f"/accounts/{ACCOUNT}/access", access=False)
    assert (await direct.arm("POST", AVAILABLE)).status == status


@pytest.mark.parametrize(
    ("choice", "state", "moves"),
    [
        (("provisioningAfterLoss", "failed"), "Failed", False),
        (("provisioningAfterLoss", "unchanged"), "Succeeded", False),
        (("provisioningAfterLoss", "refreshed"), "Succeeded", True),
    ],
)
async def test_the_state_after_a_loss(direct: Direct, choice: tuple[str, str], state: str, *, moves: bool) -> None:
    await direct.connect()
    await choose(direct, **dict([choice]))
    organization = f"{ORGANIZATIONS}/northwind"
    updated = (await direct.arm("GET", organization)).json["properties"]["provisioningStatusUpdateTimeUtc"]
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", blocked=True)
    direct.move(EIGHT_HOURS, wall=EIGHT_HOURS)
    assert (await direct.configuration())["provisioningState"] == state
    later = (await direct.arm("GET", organization)).json["properties"]["provisioningStatusUpdateTimeUtc"]
    assert (later != updated) == moves


async def without_administrator(direct: Direct) -> None:
    """Onboard two organizations, one of which the account does not administer."""
    await direct.control("POST", "/organizations", name="plain", tenant="contoso.com", members=[{"account": ACCOUNT}])
    await direct.connect(topLevelInventoryList=["northwind", "plain"])


async def test_an_organization_without_administrator_may_be_not_onboarded(direct: Direct) -> None:
    await choose(direct, organizationsWithoutAdministrator="notOnboarded")
    await without_administrator(direct)
    properties = (await direct.arm("GET", f"{ORGANIZATIONS}/plain")).json["properties"]
    assert (properties["onboardingState"], properties["provisioningState"]) == ("NotOnboarded", "Failed")


async def test_an_organization_without_administrator_may_be_missing(direct: Direct) -> None:
    await choose(direct, organizationsWithoutAdministrator="missing")
    await without_administrator(direct)
    assert await direct.names(ORGANIZATIONS) == ["northwind"]


async def patch(direct: Direct, *names: str) -> int:
    body = {"properties": {"autoDiscovery": "Disabled", "topLevelInventoryList": list(names)}}
    answer = await direct.arm("PATCH", CONFIGURATION, body)
    direct.move(LONG_ENOUGH)
    return answer.status


async def test_a_patch_may_add_to_the_list(direct: Direct) -> None:
    await choose(direct, inventoryPatch="adds")
    await direct.connect(topLevelInventoryList=["northwind"])
    assert await patch(direct, "tailspin") == 202
    assert sorted(await direct.names(ORGANIZATIONS)) == ["northwind", "tailspin"]


async def test_a_patch_may_be_refused_for_an_unknown_name(direct: Direct) -> None:
    await choose(direct, inventoryPatch="refusesUnknown")
    await direct.connect(topLevelInventoryList=["northwind"])
    assert await patch(direct, "tailspin", "nowhere") == 400
    assert await patch(direct, "tailspin") == 202
    assert await direct.names(ORGANIZATIONS) == ["tailspin"]


async def test_a_second_operation_may_be_a_conflict(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    await choose(direct, concurrentOperations="conflict")
    body = {"properties": {"autoDiscovery": "Disabled"}}
    child = {"properties": {"actionableRemediation": {"state": "Enabled"}}}
    assert (await direct.arm("PATCH", CONFIGURATION, body)).status == 202
    for method, path, content in (
        ("PATCH", CONFIGURATION, body),
        ("PUT", CONFIGURATION, body),
        ("DELETE", CONFIGURATION, None),
        ("PATCH", f"{ORGANIZATIONS}/northwind", child),
    ):
        answer = await direct.arm(method, path, content)
        assert (answer.status, answer.code) == (409, "Conflict"), method
    direct.move(LONG_ENOUGH)
    assert (await direct.arm("PATCH", CONFIGURATION, body)).status == 202


async def test_a_put_without_code_may_be_refused_or_fail(direct: Direct) -> None:
    await direct.connect()
    body = {"properties": {"autoDiscovery": "Disabled"}}
    await choose(direct, putWithoutCode="refused")
    assert (await direct.arm("PUT", CONFIGURATION, body)).status == 400
    await choose(direct, putWithoutCode="fails")
    assert (await direct.arm("PUT", CONFIGURATION, body)).status == 200
    direct.move(LONG_ENOUGH)
    assert (await direct.configuration())["provisioningState"] == "Failed"


async def test_a_create_may_take_ten_minutes_and_its_result_expire(direct: Direct) -> None:
    await choose(direct, createDuration="tenMinutes", operationResults="expire")
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": await direct.code()}, "autoDiscovery": "Disabled"}}
    address = (await direct.arm("PUT", CONFIGURATION, body)).headers["Azure-AsyncOperation"]
    direct.move(599)
    assert (await direct.arm("GET", address)).json["status"] == "Accepted"
    direct.move(100)
    assert (await direct.arm("GET", address)).json["status"] == "Succeeded"
    direct.move(300)
    assert (await direct.arm("GET", address)).status == 404


@pytest.mark.parametrize(("choice", "size"), [(("listPages", "hundred"), 100), (("listPages", "all"), 150)])
async def test_pages_may_be_larger(choice: tuple[str, str], size: int) -> None:
    direct = Direct(larger_world(connectors=1, organizations=1, repositories=150))
    direct.move(EIGHT_HOURS)
    await choose(direct, **dict([choice]))
    connector = ORGANIZATIONS.replace("contoso/", "connector-0001/")
    page = (await direct.arm("GET", f"{connector}/org-0001/projects/project-001/repos")).json
    assert len(page["value"]) == size


@pytest.mark.parametrize(
    ("choice", "seconds"),
    [(("extensionInstallation", "day"), 86_400.0), (("extensionInstallation", "never"), None)],
)
async def test_the_extension_may_come_late_or_never(
    direct: Direct, choice: tuple[str, str], seconds: float | None
) -> None:
    await choose(direct, **dict([choice]))
    direct.world.organizations["northwind"].extensions.clear()
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(80_000)
    assert not direct.world.organizations["northwind"].has_container_mapping()
    direct.move(30_000)
    assert direct.world.organizations["northwind"].has_container_mapping() == (seconds is not None)


async def identifiers(direct: Direct, kind: str) -> list[str]:
    direct.move(0, wall=5)  # a new window of the quota
    query = f"securityresources | where type endswith '{kind}' | project id | order by id asc"
    answer = await direct.arm("POST", GRAPH, {"query": query, "subscriptions": [SUBSCRIPTION]})
    return [row["id"].partition("/azureDevOpsOrgs/")[2] or row["id"] for row in answer.json["data"]]


async def test_rows_of_children_may_have_other_forms(direct: Direct) -> None:
    await direct.control("POST", "/organizations/northwind/projects", name="Web Shop", repositories=["Store"])
    await direct.connect(topLevelInventoryList=["northwind"])
    assert await identifiers(direct, "orgs") == ["northwind"]
    await choose(direct, graphChildren="withoutEmpty")
    assert await identifiers(direct, "orgs") == []
    direct.move(EIGHT_HOURS)
    assert await identifiers(direct, "orgs") == ["northwind"]
    assert "northwind/projects/Web Shop/repos/Store" in await identifiers(direct, "repos")
    await choose(direct, graphChildren="percentEncoded")
    assert "northwind/projects/Web%20Shop/repos/Store" in await identifiers(direct, "repos")
    await choose(direct, graphChildren="lowerCase")
    assert [name for name in await identifiers(direct, "repos") if name.endswith("/projects/web shop/repos/store")]
    await choose(direct, graphProjects="absent")
    assert await identifiers(direct, "projects") == []
    assert len(await identifiers(direct, "repos")) == 4
    await choose(direct, graphChildren="absent")
    assert await identifiers(direct, "repos") == []


async def test_a_code_may_be_redeemed_at_the_end(direct: Direct) -> None:
    await choose(direct, codeRedemption="finished")
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": await direct.code()}, "autoDiscovery": "Disabled"}}
    await direct.arm("PUT", CONFIGURATION, body)
    assert [code["redeemed"] for code in (await direct.control("GET", "/defender-codes")).values()] == [0]
    direct.move(LONG_ENOUGH)
    assert [code["redeemed"] for code in (await direct.control("GET", "/defender-codes")).values()] == [1]
    assert (await direct.configuration())["provisioningState"] == "Succeeded"


@pytest.mark.parametrize(
    ("choice", "seconds"), [(("codeLifetime", "oneMinute"), 60.0), (("codeLifetime", "oneHour"), 3600.0)]
)
async def test_a_code_may_live_shorter_or_longer(direct: Direct, choice: tuple[str, str], seconds: float) -> None:
    await choose(direct, **dict([choice]))
    states = []
    for wait in (seconds - 1, seconds + 1):
        await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
        code = await direct.code()
        direct.move(0, wall=wait)
        body = {"properties": {"authorization": {"code": code}, "autoDiscovery": "Disabled"}}
        await direct.arm("PUT", CONFIGURATION, body)
        direct.move(LONG_ENOUGH)
        states.append((await direct.configuration())["provisioningState"])
        await direct.arm("DELETE", CONNECTOR)
    assert states == ["Succeeded", "Failed"]


async def test_the_order_of_checks_can_differ(direct: Direct) -> None:
    stranger = direct.token(ACCOUNT)
    missing = CONNECTOR.replace(GROUP, "nowhere")
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", providers=[])
    assert (await direct.arm("PUT", missing, CONNECTOR_BODY, token=stranger)).code == "AuthorizationFailed"
    await choose(direct, checkOrder="group")
    assert (await direct.arm("PUT", missing, CONNECTOR_BODY, token=stranger)).code == "ResourceGroupNotFound"
    await choose(direct, checkOrder="registration")
    assert (await direct.arm("PUT", missing, CONNECTOR_BODY, token=stranger)).code == "MissingSubscriptionRegistration"


async def test_a_connector_may_be_deleted_later(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    await choose(direct, connectorDeletion="accepted")
    assert (await direct.arm("DELETE", CONNECTOR)).status == 202
    assert (await direct.arm("GET", CONNECTOR)).status == 200
    direct.move(LONG_ENOUGH)
    assert (await direct.arm("GET", CONNECTOR)).status == 404
    assert (await direct.arm("DELETE", CONNECTOR)).status == 204


async def test_rows_of_a_deleted_connector_may_linger_for_a_day(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(EIGHT_HOURS)
    await choose(direct, graphDeletions="linger")
    await direct.arm("DELETE", CONNECTOR)
    assert await identifiers(direct, "orgs") == ["northwind"]
    direct.move(3 * EIGHT_HOURS)
    assert await identifiers(direct, "orgs") == []


async def test_the_discovered_projects_may_fall_before_they_rise(direct: Direct) -> None:
    await choose(direct, discoveryCounts="falling")
    await direct.connect(topLevelInventoryList=["adventure-works"])
    projects = f"{ORGANIZATIONS}/adventure-works/projects"
    direct.move(7 * 3600)
    assert len(await direct.names(projects)) == 3
    direct.move(3600)
    assert len(await direct.names(projects)) == 2
    direct.move(3600)
    assert len(await direct.names(projects)) == 3


async def test_answers_may_have_unfamiliar_content(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    await choose(direct, unfamiliarAnswers="fields")
    assert "futureSetting" in (await direct.arm("GET", CONNECTOR)).json["properties"]
    assert all("futureField" in item for item in (await direct.arm("GET", ORGANIZATIONS)).json["value"])
    await choose(direct, unfamiliarAnswers="values")
    states = {item["properties"]["onboardingState"] for item in (await direct.arm("POST", AVAILABLE)).json["value"]}
    assert states == {"Onboarded", "OnboardingScheduled"}
    await choose(direct, unfamiliarAnswers="kinds")
    assert len(await identifiers(direct, "policyassignments")) == 1
