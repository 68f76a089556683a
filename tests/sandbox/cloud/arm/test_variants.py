"""Variants of Resource Manager, Resource Graph, sign-ins and Azure DevOps: what each alternative changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    CONNECTOR_VERSION,
    DEVOPS_SCOPE,
    LONG_ENOUGH,
    ORGANIZATIONS,
    SIGN_IN_APP_ID,
    SUBSCRIPTION,
    TENANT,
    Direct,
)

GRAPH = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
PLAN = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Security/pricings/CloudPosture"
HEALTH = f"{CONNECTOR}/providers/Microsoft.Security/healthReports"
EIGHT_HOURS = 8 * 3600.0


async def choose(direct: Direct, **choices: str) -> None:
    await direct.control("PATCH", "/variants", **choices)


async def test_a_patch_without_a_list_may_keep_the_selection(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    body = {"properties": {"autoDiscovery": "Disabled"}}
    await choose(direct, patchWithoutInventory="keeps")
    await direct.arm("PATCH", CONFIGURATION, body)
    direct.move(LONG_ENOUGH)
    assert await direct.names(ORGANIZATIONS) == ["northwind"]
    await choose(direct, patchWithoutInventory="all")
    await direct.arm("PATCH", CONFIGURATION, body)
    direct.move(LONG_ENOUGH)
    assert len(await direct.names(ORGANIZATIONS)) == 6


async def test_a_put_of_an_organization_may_be_refused(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    await choose(direct, organizationPut="refused")
    answer = await direct.arm("PUT", f"{ORGANIZATIONS}/tailspin", {"properties": {}})
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")


async def test_errors_of_a_connector_may_have_the_usual_shape(direct: Direct) -> None:
    await choose(direct, connectorErrors="arm")
    answer = await direct.arm("PUT", CONNECTOR, {**CONNECTOR_BODY, "properties": {}})
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert "environmentName" in answer.json["error"]["message"]


async def test_a_connector_may_have_to_be_empty_to_be_deleted(direct: Direct) -> None:
    await direct.connect()
    await choose(direct, connectorChildren="required")
    answer = await direct.arm("DELETE", CONNECTOR)
    assert (answer.status, answer.code) == (409, "CannotDeleteResource")
    assert (await direct.arm("DELETE", CONFIGURATION)).status == 202
    direct.move(LONG_ENOUGH)
    assert (await direct.arm("DELETE", CONNECTOR)).status == 204


async def test_annotations_may_be_none_by_default(direct: Direct) -> None:
    await choose(direct, annotationsDefault="none")
    await direct.connect(topLevelInventoryList=["northwind"])
    properties = (await direct.arm("GET", f"{ORGANIZATIONS}/northwind")).json["properties"]
    assert properties["actionableRemediation"]["state"] == "None"


async def test_a_configuration_may_have_other_capabilities(direct: Direct) -> None:
    await direct.connect()
    await choose(direct, capabilities="several")
    names = [item["name"] for item in (await direct.configuration())["capabilities"]]
    assert names == ["AGENTLESS_SCANNING_AVAILABLE", "DCSPM_ENABLED"]
    await choose(direct, capabilities="none")
    assert "capabilities" not in await direct.configuration()


async def test_every_version_may_show_the_second_offering(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    await choose(direct, secondOffering="allVersions")
    offerings = (await direct.arm("GET", CONNECTOR)).json["properties"]["offerings"]
    assert [offering["offeringType"] for offering in offerings] == [
        "CspmMonitorAzureDevOps",
        "DefenderForDevOpsAzureDevOps",
    ]


async def test_a_version_of_another_type_may_have_the_error_of_any_other(direct: Direct) -> None:
    await choose(direct, unsupportedVersions="invalid")
    answer = await direct.arm("GET", CONFIGURATION, version=CONNECTOR_VERSION)
    assert (answer.status, answer.code) == (400, "InvalidApiVersionParameter")


async def health(direct: Direct) -> Any:  # noqa: ANN401 - JSON
    return await direct.arm("GET", HEALTH, version="2023-05-01-preview")


async def test_there_may_be_health_reports(direct: Direct) -> None:
    await direct.connect()
    assert (await health(direct)).json == {"value": []}
    await choose(direct, healthReports="healthy")
    (report,) = (await health(direct)).json["value"]
    assert report["properties"] == {"status": {"code": "Healthy"}, "issues": []}
    await choose(direct, healthReports="notHealthy")
    (report,) = (await health(direct)).json["value"]
    assert report["properties"]["issues"][0]["remediationSteps"]
    assert (await direct.arm("GET", report["id"], version="2023-05-01-preview")).json == report
    await choose(direct, healthReports="notFound")
    assert (await health(direct)).status == 404
    assert (await direct.arm("GET", report["id"], version="2023-05-01-preview")).status == 404


async def test_plans_of_an_unregistered_subscription(direct: Direct) -> None:
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", providers=[])
    await choose(direct, unregisteredPlans="conflict")
    answer = await direct.arm("GET", PLAN, version="2024-01-01")
    assert (answer.status, answer.code) == (409, "MissingSubscriptionRegistration")
    await choose(direct, unregisteredPlans="free")
    answer = await direct.arm("GET", PLAN, version="2024-01-01")
    assert answer.json["properties"]["pricingTier"] == "Free"


async def test_discovery_and_assessments_may_begin_later(direct: Direct) -> None:
    await choose(direct, discoveryStart="sixHours", firstAssessments="day")
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(5 * 3600)
    assert await direct.names(f"{ORGANIZATIONS}/northwind/projects") == []
    direct.move(3600)
    assert await direct.names(f"{ORGANIZATIONS}/northwind/projects") == ["traders"]
    direct.move(23 * 3600)
    assert await direct.control("GET", "/assessments") == []
    direct.move(3600)
    assert await direct.control("GET", "/assessments") != []


async def test_resource_manager_may_show_categories(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(3 * EIGHT_HOURS)
    await choose(direct, assessmentLists="withCategory")
    items = (
        await direct.arm("GET", f"{CONNECTOR}/providers/Microsoft.Security/assessments", version="2021-06-01")
    ).json["value"]
    assert any("recommendationCategory" in item["properties"]["metadata"] for item in items)


@pytest.mark.parametrize(
    ("choice", "state"), [(("codeAfterLoss", "invalid"), "Failed"), (("codeAfterLoss", "valid"), "Succeeded")]
)
async def test_a_code_may_outlive_the_access_of_its_account(
    direct: Direct, choice: tuple[str, str], state: str
) -> None:
    await choose(direct, **dict([choice]))
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    code = await direct.code()
    await direct.control("POST", f"/accounts/{ACCOUNT}/access", access=False)
    body = {"properties": {"authorization": {"code": code}, "autoDiscovery": "Disabled"}}
    await direct.arm("PUT", CONFIGURATION, body)
    direct.move(LONG_ENOUGH)
    assert (await direct.configuration())["provisioningState"] == state


async def graph(direct: Direct, query: str, **options: object) -> Any:  # noqa: ANN401 - JSON
    return await direct.arm("POST", GRAPH, {"query": query, "subscriptions": [SUBSCRIPTION], "options": options})


async def test_resource_graph_may_lag_by_minutes(direct: Direct) -> None:
    await choose(direct, graphLag="minutes")
    await direct.connect()
    assert (await graph(direct, "resources | count")).json["data"] == [{"Count": 0}]
    direct.move(300)
    assert (await graph(direct, "resources | count")).json["data"] == [{"Count": 1}]


async def test_a_skip_token_may_expire(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["northwind"])
    direct.move(EIGHT_HOURS)
    await choose(direct, skipTokens="minute")
    query = "securityresources | project id | order by id asc"
    first = (await graph(direct, query, **{"$top": 2})).json
    direct.move(0, wall=59)
    assert (await graph(direct, query, **{"$top": 2, "$skipToken": first["$skipToken"]})).status == 200
    direct.move(0, wall=2)
    assert (await graph(direct, query, **{"$top": 2, "$skipToken": first["$skipToken"]})).status == 400


@pytest.mark.parametrize(
    ("choice", "errors"),
    [
        (("slowDown", "half"), ["slow_down", "authorization_pending"]),
        (("slowDown", "interval"), ["slow_down", "slow_down"]),
        (("slowDown", "never"), ["authorization_pending", "authorization_pending"]),
    ],
)
async def test_polling_may_be_too_fast_at_another_rate(
    direct: Direct, choice: tuple[str, str], errors: list[str]
) -> None:
    await choose(direct, **dict([choice]))
    form = {"client_id": SIGN_IN_APP_ID, "scope": DEVOPS_SCOPE}
    code = (await direct.entra(f"/{TENANT}/oauth2/v2.0/devicecode", form)).json
    poll = {
        "client_id": SIGN_IN_APP_ID,
        "client_secret": "sandbox-sign-in-secret",
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": code["device_code"],
    }
    await direct.entra(f"/{TENANT}/oauth2/v2.0/token", poll)
    answers = []
    for wait in (1, 3):
        direct.move(0, wall=wait)
        answers.append((await direct.entra(f"/{TENANT}/oauth2/v2.0/token", poll)).json["error"])
    assert answers == errors


async def test_revoked_sessions_may_show_when_the_token_expires(direct: Direct) -> None:
    await choose(direct, revocation="withExpiry")
    token = direct.token(ACCOUNT, "devops")
    direct.move(0, wall=1)
    await direct.control("PATCH", f"/accounts/{ACCOUNT}", revokeSessions=True)
    assert (await direct.devops("devAzure", "/contoso/_apis/projects", token=token)).status == 200
    direct.move(0, wall=7200)
    assert (await direct.devops("devAzure", "/contoso/_apis/projects", token=token)).status != 200


async def test_a_missing_scope_may_be_answered_like_a_missing_membership(direct: Direct) -> None:
    await choose(direct, missingScope="unauthorized")
    token = direct.token(ACCOUNT, "devops", ("vso.nothing",))
    answer = await direct.devops("devAzure", "/contoso/_apis/projects", token=token)
    assert (answer.status, answer.json["typeKey"]) == (401, "UnauthorizedRequestException")


async def test_empty_repositories_may_be_missing(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    direct.move(EIGHT_HOURS)
    repositories = f"{ORGANIZATIONS}/contoso/projects/infrastructure/repos"
    query = "securityresources | where id endswith '/repos/empty' and type endswith '/repos' | count"
    assert "empty" in await direct.names(repositories)
    assert (await graph(direct, query)).json["data"] == [{"Count": 1}]
    await choose(direct, emptyRepositories="missing")
    assert sorted(await direct.names(repositories)) == ["landing-zone", "network"]
    assert (await direct.arm("GET", f"{repositories}/empty")).status == 404
    assert (await graph(direct, query)).json["data"] == [{"Count": 0}]


async def test_the_plan_may_show_fewer_extensions_and_more_plans(direct: Direct) -> None:
    await direct.control("PATCH", f"/subscriptions/{SUBSCRIPTION}", cspmExtensions=["AgentlessVmScanning"])
    await choose(direct, planExtensions="enabled", otherPlans="present")
    properties = (await direct.arm("GET", PLAN, version="2024-01-01")).json["properties"]
    assert properties["extensions"] == [{"name": "AgentlessVmScanning", "isEnabled": "True"}]
    await choose(direct, planExtensions="absent")
    assert "extensions" not in (await direct.arm("GET", PLAN, version="2024-01-01")).json["properties"]
    plans = (await direct.arm("GET", PLAN.rpartition("/")[0], version="2024-01-01")).json["value"]
    assert plans[0]["name"] == "CloudPosture"
    assert len(plans) == 8
    servers = await direct.arm("GET", PLAN.replace("CloudPosture", "VirtualMachines"), version="2024-01-01")
    assert servers.json == plans[1]


@pytest.mark.parametrize(
    ("choice", "message"),
    [(("tokenExchangeMessage", "plain"), "TokenExchangeFailed"), (("tokenExchangeMessage", "empty"), "")],
)
async def test_a_failed_configuration_may_say_little(direct: Direct, choice: tuple[str, str], message: str) -> None:
    await choose(direct, **dict([choice]))
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    body = {"properties": {"authorization": {"code": "nonsense"}, "autoDiscovery": "Disabled"}}
    await direct.arm("PUT", CONFIGURATION, body)
    direct.move(LONG_ENOUGH)
    assert (await direct.configuration())["provisioningStatusMessage"] == message


async def test_assessments_of_a_deleted_repository_may_linger(direct: Direct) -> None:
    await direct.control("PATCH", "/assessments", perRepository=2)
    await direct.connect(topLevelInventoryList=["northwind", "wingtip-toys"])
    direct.move(3 * EIGHT_HOURS)
    repositories = {("northwind", "traders", "orders"), ("wingtip-toys", "workshop", "workshop-0003")}

    async def assessed_repositories() -> set[tuple[str, str, str]]:
        rows = await direct.control("GET", "/assessments")
        return {(row["organization"], row["project"], row["repository"]) for row in rows}

    assert repositories < await assessed_repositories()
    await choose(direct, deletedRepositories="linger")
    for organization, project, name in repositories:
        await direct.control("DELETE", f"/organizations/{organization}/projects/{project}/repositories/{name}")
    direct.move(23 * 3600)
    assert repositories < await assessed_repositories()
    direct.move(3600)
    assert not repositories & await assessed_repositories()


async def test_a_general_list_may_show_what_the_caller_may_not_read(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    stranger, path = direct.token(ACCOUNT), f"/subscriptions/{SUBSCRIPTION}/resources"
    assert (await direct.arm("GET", path, version="2021-04-01", token=stranger)).json["value"] == []
    await choose(direct, resourceLists="all")
    assert len((await direct.arm("GET", path, version="2021-04-01", token=stranger)).json["value"]) == 1


async def test_the_counter_of_a_connector_may_stand_still(direct: Direct) -> None:
    await choose(direct, resourceRequests="constant")
    header = "x-ms-ratelimit-remaining-subscription-resource-requests"
    written = {(await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)).headers[header] for _ in range(5)}
    read = {(await direct.arm("GET", CONNECTOR)).headers[header] for _ in range(5)}
    assert (read, written) == ({"99"}, {"249"})


async def test_metadata_may_have_few_fields(direct: Direct) -> None:
    await choose(direct, metadataFields="few")
    cloud = (await direct.arm("GET", "/metadata/endpoints", version="2022-09-01")).json
    assert set(cloud) == {"name", "authentication", "resourceManager"}


async def test_assessments_may_lag_by_an_hour(direct: Direct) -> None:
    await choose(direct, assessmentDelay="hour")
    await direct.connect(topLevelInventoryList=["northwind"])
    query = "securityresources | where type == 'microsoft.security/assessments' | count"
    direct.move(6 * 3600)
    count = (await graph(direct, query)).json["data"][0]["Count"]
    finding = {"organization": "northwind", "project": "traders", "repository": "orders", "title": "x"}
    await direct.control("POST", "/assessments", **finding)
    direct.move(3599)
    assert (await graph(direct, query)).json["data"][0]["Count"] == count
    direct.move(1)
    assert (await graph(direct, query)).json["data"][0]["Count"] == count + 1


async def test_areas_of_azure_devops_may_need_a_token(direct: Direct) -> None:
    path = "/contoso/_apis/resourceAreas"
    assert (await direct.devops("devAzure", path, token="")).status == 200
    await choose(direct, resourceAreas="guarded")
    assert (await direct.devops("devAzure", path, token="")).status in (302, 401, 203)
    assert (await direct.devops("devAzure", path)).json["count"] > 0


async def test_requests_to_azure_devops_may_cost_more(direct: Direct) -> None:
    async def spent() -> float:
        used = direct.world.usage.used
        (account,) = [
            account for account in direct.world.directory.accounts.values() if account.user_principal_name == ACCOUNT
        ]
        start = used(account.id, direct.clock.wall())
        await direct.devops("devAzure", "/contoso/_apis/projects")
        return used(account.id, direct.clock.wall()) - start

    low = await spent()
    await choose(direct, usageCosts="high")
    assert await spent() == pytest.approx(10 * low)
