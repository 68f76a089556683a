"""Onboarding: selection, one connector for an organization, discovery over time."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.cloud.direct import (
    ACCOUNT,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    CONNECTORS,
    GROUP,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Direct,
)

EVERY = ["contoso", "fabrikam", "adventure-works", "northwind", "wingtip-toys", "tailspin"]
HOUR = 3600.0
MINUTE = 60.0


async def onboarded_names(direct: Direct) -> list[str]:
    return await direct.names(ORGANIZATIONS)


async def patch(direct: Direct, **properties: object) -> None:
    answer = await direct.arm("PATCH", CONFIGURATION, {"properties": properties})
    assert answer.status == 202
    direct.move(60)


async def add_organization(direct: Direct, name: str, projects: int = 1) -> None:
    project_specs = [{"name": f"p{number}", "generate": 2} for number in range(projects)]
    member = {"account": ACCOUNT, "administrator": True}
    await direct.control(
        "POST", "/organizations", name=name, tenant="contoso.com", members=[member], projects=project_specs
    )


CHOICES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "all existing": ({"autoDiscovery": "Disabled"}, EVERY, EVERY),
    "all existing and future": ({"autoDiscovery": "Enabled"}, EVERY, [*EVERY, "newcomer"]),
    "all and future ignores a list": (
        {"autoDiscovery": "Enabled", "topLevelInventoryList": ["contoso"]},
        EVERY,
        [*EVERY, "newcomer"],
    ),
    "those named": (
        {"autoDiscovery": "Disabled", "topLevelInventoryList": ["Fabrikam", "tailspin", "nobody"]},
        ["fabrikam", "tailspin"],
        ["fabrikam", "tailspin"],
    ),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES.keys())
async def test_each_selection_onboards_its_organizations(
    direct: Direct, choice: tuple[dict[str, Any], list[str], list[str]]
) -> None:
    properties, at_first, later = choice
    await direct.connect(**properties)
    assert sorted(await onboarded_names(direct)) == sorted(at_first)
    await add_organization(direct, "newcomer")
    direct.move(8 * HOUR)
    assert sorted(await onboarded_names(direct)) == sorted(later)


async def test_a_changed_list_offboards_organizations_and_other_changes_do_not(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso", "fabrikam"])
    await patch(direct, agentlessConfiguration={"agentlessEnabled": "Enabled", "inventoryListType": "Exclusion"})
    assert sorted(await onboarded_names(direct)) == ["contoso", "fabrikam"]
    await patch(direct, topLevelInventoryList=["fabrikam", "tailspin"])
    assert sorted(await onboarded_names(direct)) == ["fabrikam", "tailspin"]
    assert (await direct.configuration())["agentlessConfiguration"]["agentlessEnabled"] == "Enabled"


async def test_get_shows_neither_the_authorization_nor_the_list(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    configuration = await direct.configuration()
    assert "authorization" not in configuration
    assert "topLevelInventoryList" not in configuration


async def test_an_organization_belongs_to_one_connector_of_its_tenant(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    second = f"{CONNECTORS}/second"
    await direct.arm("PUT", second, CONNECTOR_BODY)
    body = {
        "properties": {"authorization": {"code": await direct.code()}, "topLevelInventoryList": ["contoso", "tailspin"]}
    }
    await direct.arm("PUT", f"{second}/devops/default", body)
    direct.move(60)
    assert await direct.names(f"{second}/devops/default/azureDevOpsOrgs") == ["tailspin"]
    available_organizations = (await direct.arm("POST", f"{second}/devops/default/listAvailableAzureDevOpsOrgs")).json[
        "value"
    ]
    states = {item["name"]: item["properties"]["onboardingState"] for item in available_organizations}
    assert states["contoso"] == "OnboardedByOtherConnector"
    assert states["tailspin"] == "Onboarded"
    assert states["northwind"] == "NotOnboarded"
    refused = await direct.arm("PUT", f"{second}/devops/default/azureDevOpsOrgs/contoso", {"properties": {}})
    assert refused.status == 409


@pytest.mark.parametrize("way", ["configuration", "connector", "group"])
async def test_deleting_frees_the_organizations_for_others(direct: Direct, way: str) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    path = {
        "configuration": CONFIGURATION,
        "connector": CONNECTOR,
        "group": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}",
    }
    answer = await direct.arm("DELETE", path[way], version="2021-04-01" if way == "group" else None)
    assert answer.status in (200, 202, 204)
    if way == "configuration":
        pending = (await direct.configuration())["provisioningState"]
        assert pending == "PendingDeletion"
    direct.move(60)
    assert direct.world.claims == {}


async def test_organizations_of_another_tenant_or_without_oauth_are_not_accessible(direct: Direct) -> None:
    await direct.control("PATCH", "/organizations/northwind", thirdPartyOauth=False)
    await direct.connect(autoDiscovery="Enabled")
    names = await onboarded_names(direct)
    assert "northwind" not in names
    assert "litware" not in names
    await direct.control("PATCH", "/organizations/northwind", thirdPartyOauth=True)
    direct.move(8 * HOUR)
    assert "northwind" in await onboarded_names(direct)


async def test_an_organization_that_the_account_does_not_administer_is_onboarded_but_fails(direct: Direct) -> None:
    member = {"account": ACCOUNT}
    await direct.control("POST", "/organizations", name="guests-only", tenant="contoso.com", members=[member])
    await direct.connect(topLevelInventoryList=["guests-only", "fabrikam"])
    states = {
        name: (await direct.arm("GET", f"{ORGANIZATIONS}/{name}")).json["properties"]
        for name in ("guests-only", "fabrikam")
    }
    assert states["guests-only"]["provisioningState"] == "Failed"
    assert "Project Collection Administrators" in states["guests-only"]["provisioningStatusMessage"]
    assert states["fabrikam"]["provisioningState"] == "Succeeded", "an administrator through nested groups"


async def test_the_first_project_comes_after_a_quarter_of_an_hour_then_a_hundred_an_hour(direct: Direct) -> None:
    await add_organization(direct, "large", projects=250)
    await direct.connect(topLevelInventoryList=["large"])
    projects = f"{ORGANIZATIONS}/large/projects"
    assert await direct.names(projects) == []
    direct.move(15 * MINUTE)
    assert 1 <= len(await direct.names(projects)) <= 3
    direct.move(HOUR)
    assert 100 <= len(await direct.names(projects)) <= 103
    direct.move(2 * HOUR)
    assert len(await direct.names(projects)) == 250


async def test_new_projects_and_repositories_are_found_by_the_next_run(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["tailspin"])
    direct.move(HOUR)
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects") == ["spaces"]
    await direct.control("POST", "/organizations/tailspin/projects", name="flights", repositories=["radar"])
    await direct.control("POST", "/organizations/tailspin/projects/spaces/repositories", name="runway")
    direct.move(6 * HOUR)
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects") == ["spaces"]
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects/spaces/repos") == ["hangar", "tower"]
    direct.move(2 * HOUR)
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects") == ["spaces", "flights"]
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects/spaces/repos") == ["hangar", "tower", "runway"]
    assert await direct.names(f"{ORGANIZATIONS}/tailspin/projects/flights/repos") == ["radar"]


async def test_deleted_projects_and_repositories_are_removed(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    direct.move(HOUR)
    await direct.control("DELETE", "/organizations/contoso/projects/webshop/repositories/search")
    assert "search" not in await direct.names(f"{ORGANIZATIONS}/contoso/projects/webshop/repos")
    assert (await direct.arm("GET", f"{ORGANIZATIONS}/contoso/projects/webshop/repos/search")).status == 404
    await direct.control("DELETE", "/organizations/contoso/projects/webshop")
    direct.move(8 * HOUR)
    assert "webshop" not in await direct.names(f"{ORGANIZATIONS}/contoso/projects")


async def test_eight_hours_at_once_are_eight_hours_in_steps(direct: Direct) -> None:
    second_cloud = Direct()
    for cloud in (direct, second_cloud):
        await add_organization(cloud, "large", projects=30)
        await cloud.connect(autoDiscovery="Enabled")
    direct.move(20 * HOUR)
    for _ in range(200):
        second_cloud.move(6 * MINUTE)
        second_cloud.world.run_due()
    for name in ("large", "contoso"):
        path = f"{ORGANIZATIONS}/{name}/projects"
        assert await direct.names(path) == await second_cloud.names(path)


async def test_a_code_of_the_portal_adopts_what_is_there(direct: Direct) -> None:
    location = {"subscription": SUBSCRIPTION, "resourceGroup": GROUP}
    await direct.control(
        "POST", "/connectors", name="contoso", account=ACCOUNT, organizations=["northwind"], **location
    )
    assert (await direct.configuration())["provisioningState"] == "Succeeded"
    assert await onboarded_names(direct) == ["northwind"]


async def extensions(direct: Direct, organization: str) -> list[str]:
    url = f"/{organization}/_apis/extensionmanagement/installedextensions?api-version=7.1-preview.1"
    return [item["extensionId"] for item in (await direct.devops("extension", url)).json["value"]]


async def test_defender_installs_its_extension_some_minutes_after_onboarding(direct: Direct) -> None:
    await add_organization(direct, "newcomer")
    await direct.connect(autoDiscovery="Enabled")
    assert await extensions(direct, "newcomer") == []
    direct.move(300)
    assert await extensions(direct, "newcomer") == ["ms-dfd-code-to-cloud"]
    assert await extensions(direct, "contoso") == ["ms-dfd-code-to-cloud"], "installed once"


async def test_a_disabled_extension_stays_disabled_and_an_organization_that_failed_gets_none(direct: Direct) -> None:
    await direct.control("PATCH", "/organizations/contoso", extensionFlags="disabled")
    await direct.control("POST", "/organizations", name="foreign", tenant="contoso.com", members=[{"account": ACCOUNT}])
    await direct.connect(autoDiscovery="Enabled")
    direct.move(9 * HOUR)
    assert [extension.flags for extension in direct.world.organizations["contoso"].extensions] == ["disabled"]
    assert await extensions(direct, "foreign") == []


async def test_an_available_organization_has_no_annotations_of_its_own(direct: Direct) -> None:
    await direct.connect(topLevelInventoryList=["contoso"])
    available = (await direct.arm("POST", f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs")).json["value"]
    remediations = {item["name"]: item["properties"]["actionableRemediation"] for item in available}
    assert remediations["tailspin"] == {"state": "None"}
    assert remediations["contoso"]["state"] == "Disabled"


async def test_the_capability_has_the_name_of_the_published_example(direct: Direct) -> None:
    await direct.connect()
    assert (await direct.configuration())["capabilities"] == [{"name": "DCSPM_ENABLED", "value": "true"}]


async def test_one_api_version_shows_a_second_offering(direct: Direct) -> None:
    await direct.connect()
    first = {"offeringType": "CspmMonitorAzureDevOps"}
    second = {"offeringType": "DefenderForDevOpsAzureDevOps"}
    for version, expected in (("2023-10-01-preview", [first, second]), ("2024-08-01-preview", [first])):
        properties = (await direct.arm("GET", CONNECTOR, version=version)).json["properties"]
        assert properties["offerings"] == expected
    body = {**CONNECTOR_BODY, "properties": {**CONNECTOR_BODY["properties"], "offerings": [first, second]}}
    response = await direct.arm("PUT", CONNECTOR, body, version="2023-10-01-preview")
    assert response.json["properties"]["offerings"] == [first, second]
