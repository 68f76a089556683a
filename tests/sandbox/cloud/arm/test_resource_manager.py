"""Resource Manager around the connector: versions, permissions, budgets, operations, policies, registration, lists."""

from __future__ import annotations

import pytest

from sandbox.cloud.arm.api_versions import CONNECTOR_VERSIONS, DEVOPS_VERSIONS
from sandbox.cloud.world.azure import Policy
from tests.sandbox.cloud.direct import (
    ACCOUNT,
    APP,
    CONFIGURATION,
    CONNECTOR,
    CONNECTOR_BODY,
    CONNECTORS,
    GROUP,
    GROUP_ID,
    ORGANIZATIONS,
    SUBSCRIPTION,
    Direct,
)

SCOPE = f"/subscriptions/{SUBSCRIPTION}"
LATEST = "2021-04-01"


# --- api-versions


@pytest.mark.parametrize("version", CONNECTOR_VERSIONS)
async def test_every_published_version_of_the_connector_is_supported(direct: Direct, version: str) -> None:
    assert (await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY, version=version)).status == 201
    assert (await direct.arm("GET", CONNECTOR, version=version)).status == 200


@pytest.mark.parametrize("version", DEVOPS_VERSIONS)
async def test_older_versions_of_the_devops_tree_leave_newer_fields_out(direct: Direct, version: str) -> None:
    await direct.connect(agentlessConfiguration={"agentlessEnabled": "Enabled"})
    direct.move(8 * 3600)
    properties = (await direct.arm("GET", CONFIGURATION, version=version)).json["properties"]
    assert ("agentlessConfiguration" in properties) == (version >= "2025-03-01")
    assert ("capabilities" in properties) == (version >= "2024-05-15-preview")
    repository = f"{ORGANIZATIONS}/northwind/projects/traders/repos/orders"
    properties = (await direct.arm("GET", repository, version=version)).json["properties"]
    assert ("visibility" in properties) == (version >= "2024-04-01")


# --- the connector


async def test_a_second_put_keeps_the_identifier_and_a_patch_replaces_all_tags(direct: Direct) -> None:
    assert (await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)).status == 201
    properties = {**CONNECTOR_BODY["properties"], "hierarchyIdentifier": "00000000-0000-0000-0000-000000000001"}  # type: ignore[dict-item]
    again = await direct.arm(
        "PUT", CONNECTOR, {**CONNECTOR_BODY, "properties": properties, "tags": {"a": "1", "b": "2"}}
    )
    assert again.status == 200
    identifier = CONNECTOR_BODY["properties"]["hierarchyIdentifier"]  # type: ignore[index]
    assert again.json["properties"]["hierarchyIdentifier"] == identifier
    patched = await direct.arm("PATCH", CONNECTOR, {"tags": {"c": "3"}})
    assert patched.json["tags"] == {"c": "3"}
    untouched = await direct.arm("PATCH", CONNECTOR, {"properties": {}})
    assert untouched.json["tags"] == {"c": "3"}


async def test_a_connector_cannot_move_to_another_region(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    same = await direct.arm("PUT", CONNECTOR, {**CONNECTOR_BODY, "location": "West Europe"})
    assert same.status == 200
    response = await direct.arm("PUT", CONNECTOR, {**CONNECTOR_BODY, "location": "northeurope"})
    assert (response.status, response.code) == (409, "InvalidResourceLocation")


async def test_delete_returns_204_whether_it_existed_or_not(direct: Direct) -> None:
    await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    assert [(await direct.arm("DELETE", CONNECTOR)).status for _ in range(2)] == [204, 204]


async def test_connectors_are_listed_by_group_and_by_subscription(direct: Direct) -> None:
    for name in ("one", "two"):
        await direct.arm("PUT", f"{CONNECTORS}/{name}", CONNECTOR_BODY)
    version = "2024-08-01-preview"
    by_group = (await direct.arm("GET", CONNECTORS, version=version)).json["value"]
    everywhere = f"{SCOPE}/providers/Microsoft.Security/securityConnectors"
    by_subscription = (await direct.arm("GET", everywhere, version=version)).json["value"]
    assert [item["name"] for item in by_group] == [item["name"] for item in by_subscription] == ["one", "two"]


# --- operations


async def test_an_operation_is_accepted_then_succeeded_and_always_has_retry_after(direct: Direct) -> None:
    await direct.connect()
    accepted = await direct.arm("PATCH", CONFIGURATION, {"properties": {"autoDiscovery": "Enabled"}})
    assert accepted.status == 202
    assert accepted.headers["Retry-After"] == "20"
    assert "Location" not in accepted.headers
    assert accepted.headers["Azure-AsyncOperation"].startswith(f"https://arm.test{CONFIGURATION}/operationResults/")
    statuses = []
    for _ in range(4):
        polled = await direct.arm("GET", accepted.headers["Azure-AsyncOperation"])
        assert (polled.status, polled.headers["Retry-After"]) == (200, "20")
        statuses.append(polled.json["status"])
        direct.move(11)
    assert statuses[0] == "Accepted"
    assert statuses[-1] == "Succeeded"


@pytest.mark.parametrize("child", ["contoso", "contoso/projects/webshop", "contoso/projects/webshop/repos/search"])
async def test_the_response_to_a_childs_patch_has_no_state(direct: Direct, child: str) -> None:
    await direct.connect()
    direct.move(8 * 3600)
    body = {"properties": {"actionableRemediation": {"state": "Enabled"}}}
    answer = await direct.arm("PATCH", f"{ORGANIZATIONS}/{child}", body)
    assert answer.status == 202
    assert set(answer.json) == {"properties"}
    assert "provisioningState" not in answer.json["properties"]
    assert answer.json["properties"]["onboardingState"] == "NotApplicable"


async def test_an_operation_of_one_connector_is_not_found_under_another(direct: Direct) -> None:
    await direct.connect()
    accepted = await direct.arm("PATCH", CONFIGURATION, {"properties": {"autoDiscovery": "Enabled"}})
    url = accepted.headers["Azure-AsyncOperation"].replace("/contoso/", "/other/")
    assert (await direct.arm("GET", url)).status == 404


# --- permissions


RIGHTS: dict[str, tuple[str, set[str]]] = {
    "Contributor": (SCOPE, {"read", "write", "list", "assignments.read"}),
    "Owner": (GROUP_ID, {"read", "write", "list", "assign", "assignments.read"}),
    "Reader": (SCOPE, {"read", "assignments.read"}),
    "Security Admin": (SCOPE, {"read", "write", "list", "assignments.read"}),
    "Security Reader": (CONNECTOR, {"read", "assignments.read"}),
    "User Access Administrator": (SCOPE, {"read", "assign", "assignments.read"}),
}


@pytest.mark.parametrize("role", RIGHTS)
async def test_a_role_allows_its_actions_only(direct: Direct, role: str) -> None:
    await direct.connect()
    scope, allowed = RIGHTS[role]
    await direct.control("POST", "/role-assignments", role=role, principal="security-team", scope=scope)
    await direct.control(
        "POST", "/role-assignments", role="Owner", principal="alex@contoso.com", scope=SCOPE, assigned=False
    )
    token = direct.token("alex@contoso.com")
    assignment = f"{CONNECTOR}/providers/Microsoft.Authorization/roleAssignments"
    reader = {
        "roleDefinitionId": "/x/39bc4728-0917-49c7-9d2c-d95423bc2eb4",
        "principalId": "44444444-4444-4444-4444-444444444444",
    }
    tries = {
        "read": ("GET", CONFIGURATION, None, None),
        "write": ("PATCH", CONFIGURATION, {"properties": {}}, None),
        "list": ("POST", f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs", None, None),
        "assign": ("PUT", f"{assignment}/00000000-0000-0000-0000-0000000000aa", {"properties": reader}, "2022-04-01"),
        "assignments.read": ("GET", assignment, None, "2022-04-01"),
    }
    granted = set()
    for name, (method, path, body, version) in tries.items():
        answer = await direct.arm(method, path, body, version=version, token=token)
        if answer.status == 403:
            assert answer.code == "AuthorizationFailed"
            message = answer.json["error"]["message"]
            assert f"over scope '{path}'" in message
            assert "The client 'alex@contoso.com' with object id" in message
        else:
            assert answer.status in (200, 201, 202)
            granted.add(name)
    assert granted == allowed


async def test_removed_role_assignments_take_effect_at_once(direct: Direct) -> None:
    await direct.connect()
    token = direct.token()
    await direct.control("POST", "/role-assignments", role="Contributor", principal=APP, scope=SCOPE, assigned=False)
    answer = await direct.arm("DELETE", CONNECTOR, token=token)
    assert answer.status == 403
    assert "Microsoft.Security/securityConnectors/delete" in answer.json["error"]["message"]


# --- budgets


async def test_a_budget_is_in_headers_and_throttles_when_it_is_used_up(direct: Direct) -> None:
    await direct.connect()
    token = direct.token()
    remaining = []
    for _ in range(400):
        answer = await direct.arm("GET", CONFIGURATION, token=token)
        if answer.status == 429:
            break
        remaining.append(int(answer.headers["x-ms-ratelimit-remaining-subscription-reads"]))
    assert answer.status == 429
    assert answer.code == "SubscriptionRequestsThrottled"
    assert answer.headers["Retry-After"] == "1"
    assert remaining[0] <= 249
    assert remaining[-1] == 0
    direct.move(0, wall=2)
    assert (await direct.arm("GET", CONFIGURATION, token=token)).status == 200


async def test_budgets_are_separate_and_listing_available_organizations_is_a_write(direct: Direct) -> None:
    await direct.connect()
    path = f"{CONFIGURATION}/listAvailableAzureDevOpsOrgs"
    first = int((await direct.arm("POST", path)).headers["x-ms-ratelimit-remaining-subscription-writes"])
    second = int((await direct.arm("POST", path)).headers["x-ms-ratelimit-remaining-subscription-writes"])
    assert second == first - 1
    deleted = await direct.arm("DELETE", CONFIGURATION)
    assert deleted.headers["x-ms-ratelimit-remaining-subscription-deletes"] == "199"
    response = await direct.arm("GET", CONFIGURATION, token=direct.token("alex@contoso.com"))
    assert response.headers["x-ms-ratelimit-remaining-subscription-reads"] == "249"


async def test_the_connector_has_the_counter_of_its_provider(direct: Direct) -> None:
    created = await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    assert created.headers["x-ms-ratelimit-remaining-subscription-resource-requests"] == "249"
    assert "x-ms-ratelimit-remaining-subscription-writes" not in created.headers
    response = await direct.arm("GET", CONNECTOR)
    assert response.headers["x-ms-ratelimit-remaining-subscription-resource-requests"] == "99"


async def test_budgets_can_be_switched_off(direct: Direct) -> None:
    await direct.control("PATCH", "/settings", throttling=False)
    token = direct.token()
    statuses = {(await direct.arm("GET", CONNECTOR, token=token)).status for _ in range(300)}
    assert statuses == {404}


# --- policies and registration


def with_subscription(**values: object) -> Direct:
    direct = Direct()
    for name, value in values.items():
        setattr(direct.world.subscriptions[SUBSCRIPTION], name, value)
    return direct


async def test_a_policy_that_denies_is_named() -> None:
    direct = with_subscription(policies=[Policy("only-north", "Only northern regions", SCOPE, ["northeurope"])])
    answer = await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    assert (answer.status, answer.code) == (403, "RequestDisallowedByPolicy")
    (addition,) = answer.json["error"]["additionalInfo"]
    assert addition["type"] == "PolicyViolation"
    assert addition["info"]["policyDefinitionDisplayName"] == "Only northern regions"


async def test_an_unregistered_provider_is_an_error_until_it_is_registered() -> None:
    direct = with_subscription(providers=set())
    refused = await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)
    assert (refused.status, refused.code) == (409, "MissingSubscriptionRegistration")
    assert refused.json["error"]["details"][0]["target"] == "Microsoft.Security"
    registered = await direct.arm("POST", f"{SCOPE}/providers/Microsoft.Security/register", version=LATEST)
    assert registered.json["registrationState"] == "Registered"
    assert (await direct.arm("PUT", CONNECTOR, CONNECTOR_BODY)).status == 201


# --- subscriptions and groups


async def test_subscriptions_and_tenants_are_those_that_the_caller_sees(direct: Direct) -> None:
    mine = (await direct.arm("GET", "/subscriptions", version=LATEST)).json["value"]
    assert len(mine) == 2
    subscriptions = (await direct.arm("GET", "/subscriptions", version=LATEST, token=direct.token(ACCOUNT))).json[
        "value"
    ]
    assert subscriptions == []
    item = (await direct.arm("GET", SCOPE, version=LATEST)).json
    assert item["displayName"] == "Contoso Security"
    tenants = (await direct.arm("GET", "/tenants", version=LATEST)).json["value"]
    assert [tenant["defaultDomain"] for tenant in tenants] == ["contoso.com"]


async def test_resource_groups_are_created_found_and_deleted(direct: Direct) -> None:
    path = f"{SCOPE}/resourcegroups/another"
    assert (await direct.arm("HEAD", path, version=LATEST)).status == 404
    assert (await direct.arm("PUT", path, {"location": "uksouth"}, version=LATEST)).status == 201
    assert (await direct.arm("PUT", path, {"location": "uksouth"}, version=LATEST)).status == 200
    assert (
        await direct.arm("PUT", path, {"location": "eastus"}, version=LATEST)
    ).code == "InvalidResourceGroupLocation"
    assert (await direct.arm("HEAD", path, version=LATEST)).status == 204
    listed = (await direct.arm("GET", f"{SCOPE}/resourcegroups", version=LATEST)).json["value"]
    assert [item["name"] for item in listed] == [GROUP, "another"]
    assert (await direct.arm("DELETE", path, version=LATEST)).status == 200
    assert (await direct.arm("GET", path, version=LATEST)).code == "ResourceGroupNotFound"


async def test_there_are_no_health_reports_of_azure_devops_connectors(direct: Direct) -> None:
    await direct.connect()
    path = f"{CONNECTOR}/providers/Microsoft.Security/healthReports"
    assert (await direct.arm("GET", path, version="2023-05-01-preview")).json == {"value": []}
    assert (await direct.arm("GET", f"{path}/x", version="2023-05-01-preview")).code == "ResourceNotFound"
