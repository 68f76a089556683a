from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    ConnectorRef,
    Counts,
    InventoryItem,
    OnboardingState,
)
from defender_devops.azure.arm.long_running_operations import Operation
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import (
    AzureError,
    AzureNotFound,
    AzureUnavailable,
    DeletionInProgress,
    InvalidRequest,
    ScopeNotFound,
)
from tests.unit.azure.fakes import CONNECTOR_PATH, ENDPOINT, REF, answer, arm_error, azure_with, page

BELOW = f"{CONNECTOR_PATH}/devops/default"
NOT_FOUND = arm_error(404, "ResourceNotFound", "Not here.")
STATUS_URL = f"{ENDPOINT}{BELOW}/operationResults/1?s=signature"
STARTED = answer(202, {}, {"Azure-AsyncOperation": STATUS_URL, "Retry-After": "20"})

CONNECTOR = {"id": REF.id, "location": "westeurope", "properties": {"environmentName": "AzureDevOps"}}

Ask = Callable[[SecurityConnectors], Awaitable[Any]]


def organization(name: str, state: str = "Onboarded") -> dict[str, Any]:
    return {"id": f"{BELOW}/azureDevOpsOrgs/{name}", "name": name, "properties": {"onboardingState": state}}


async def test_create_sends_the_properties_of_an_azure_devops_connector() -> None:
    azure = azure_with(answer(201, {**CONNECTOR, "tags": {"a": "b"}}))
    connector = await SecurityConnectors(azure.arm).create(
        REF, location="westeurope", tags={"a": "b"}, hierarchy_identifier="4a8eb7f1-f533-48c5-b102-9b09e90906b7"
    )
    assert connector.tags == {"a": "b"}
    assert azure.paths() == [f"PUT {CONNECTOR_PATH}"]
    assert azure.requests[0].url.params["api-version"] == "2024-08-01-preview"
    assert azure.body() == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "hierarchyIdentifier": "4a8eb7f1-f533-48c5-b102-9b09e90906b7",
            "environmentName": "AzureDevOps",
            "environmentData": {"environmentType": "AzureDevOpsScope"},
            "offerings": [{"offeringType": "CspmMonitorAzureDevOps"}],
        },
    }


async def test_tags_are_replaced_as_a_whole() -> None:
    azure = azure_with(answer(200, {**CONNECTOR, "tags": {"a": "b"}}))
    await SecurityConnectors(azure.arm).set_tags(REF, {"a": "b"})
    assert azure.paths() == [f"PATCH {CONNECTOR_PATH}"]
    assert azure.body() == {"tags": {"a": "b"}}


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (lambda c: c.get(REF), None),
        (lambda c: c.get_configuration(REF), None),
        (lambda c: c.organizations(REF), ()),
        (lambda c: c.count(REF, "contoso"), None),
        (lambda c: c.delete(REF), None),
    ],
)
async def test_a_missing_resource_is_not_an_error(ask: Ask, expected: object) -> None:
    assert await ask(SecurityConnectors(azure_with(NOT_FOUND).arm)) == expected


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.set_tags(REF, {}),
        lambda c: c.update_configuration(REF),
        lambda c: c.available_organizations(REF),
        lambda c: c.set_annotations(REF, "contoso", Annotations(False)),
    ],
)
async def test_a_change_of_a_missing_resource_is_an_error(ask: Ask) -> None:
    with pytest.raises(AzureNotFound):
        await ask(SecurityConnectors(azure_with(NOT_FOUND).arm))


@pytest.mark.parametrize("ask", [lambda c: c.get(REF), lambda c: c.organizations(REF), lambda c: c.delete(REF)])
async def test_a_missing_group_is_not_reported_as_a_missing_connector(ask: Ask) -> None:
    with pytest.raises(ScopeNotFound):
        await ask(SecurityConnectors(azure_with(arm_error(404, "ResourceGroupNotFound", "")).arm))


@pytest.mark.parametrize("status", [200, 204])
async def test_delete_succeeds_with_200_and_204(status: int) -> None:
    azure = azure_with(answer(status), NOT_FOUND)
    await SecurityConnectors(azure.arm).delete(REF)
    assert azure.paths() == [f"DELETE {CONNECTOR_PATH}", f"GET {CONNECTOR_PATH}"]


NESTED = arm_error(409, "CannotDeleteResource", "Nested resources: devops/default.")


def configuration_in(state: str) -> httpx.Response:
    return answer(200, {"name": "default", "properties": {"provisioningState": state, "autoDiscovery": "Disabled"}})


async def test_a_connector_that_is_deleted_after_its_configuration_only_is_deleted_in_two_steps() -> None:
    azure = azure_with(NESTED, configuration_in("Succeeded"), STARTED)
    with pytest.raises(DeletionInProgress, match="only after its DevOps configuration") as progress:
        await SecurityConnectors(azure.arm).delete(REF)
    assert progress.value.retry_after == 20
    assert azure.paths() == [f"DELETE {CONNECTOR_PATH}", f"GET {BELOW}", f"DELETE {BELOW}"]


async def test_a_deletion_of_the_configuration_that_is_under_way_is_not_repeated() -> None:
    azure = azure_with(NESTED, configuration_in("PendingDeletion"))
    with pytest.raises(DeletionInProgress):
        await SecurityConnectors(azure.arm).delete(REF)
    assert azure.paths() == [f"DELETE {CONNECTOR_PATH}", f"GET {BELOW}"]


async def test_a_conflict_without_a_configuration_stays_what_it_is_and_names_what_is_left() -> None:
    azure = azure_with(NESTED, arm_error(404, "ResourceNotFound", "None."))
    with pytest.raises(AzureUnavailable, match=r"Nested resources: devops/default"):
        await SecurityConnectors(azure.arm).delete(REF)


@pytest.mark.parametrize("code", ["ScopeLocked", "AnotherOperationInProgress"])
async def test_a_conflict_of_another_cause_deletes_no_configuration(code: str) -> None:
    azure = azure_with(arm_error(409, code, "No."))
    with pytest.raises(AzureError):
        await SecurityConnectors(azure.arm).delete(REF)
    assert {path.split()[0] for path in azure.paths()} == {"DELETE"}
    assert not [path for path in azure.paths() if path.endswith("default")]


@pytest.mark.parametrize(
    ("wish", "properties"),
    [
        ({"auto_discovery": AutoDiscovery.ENABLED}, {"autoDiscovery": "Enabled"}),
        (
            {"auto_discovery": AutoDiscovery.DISABLED, "inventory": ("contoso", "fabrikam")},
            {"autoDiscovery": "Disabled", "topLevelInventoryList": ["contoso", "fabrikam"]},
        ),
        ({"inventory": ()}, {"topLevelInventoryList": []}),
        (
            {
                "agentless": AgentlessConfiguration(
                    True,
                    AutoDiscovery.ENABLED,
                    ("CodeScanner",),
                    "Exclusion",
                    (InventoryItem("AzureDevOpsProject", "a/b"),),
                )
            },
            {
                "agentlessConfiguration": {
                    "agentlessEnabled": "Enabled",
                    "agentlessAutoDiscovery": "Enabled",
                    "scanners": ["CodeScanner"],
                    "inventoryListType": "Exclusion",
                    "inventoryList": [{"inventoryKind": "AzureDevOpsProject", "value": "a/b"}],
                }
            },
        ),
    ],
)
async def test_an_update_sends_only_changed_properties(wish: dict[str, Any], properties: dict[str, Any]) -> None:
    azure = azure_with(STARTED)
    operation = await SecurityConnectors(azure.arm).update_configuration(REF, **wish)
    assert azure.paths() == [f"PATCH {BELOW}"]
    assert azure.requests[0].url.params["api-version"] == "2025-03-01"
    assert azure.body() == {"properties": properties}
    assert isinstance(operation, Operation)
    assert operation.poll_after == 20
    assert "signature" not in repr(operation)


async def test_a_code_is_sent_in_the_body_and_nowhere_else() -> None:
    azure = azure_with(answer(201, {}, {"Azure-AsyncOperation": STATUS_URL}))
    operation = await SecurityConnectors(azure.arm).create_configuration(
        REF, code=SecretStr("the-code"), auto_discovery=AutoDiscovery.DISABLED, inventory=("contoso",)
    )
    assert azure.paths() == [f"PUT {BELOW}"]
    assert azure.body() == {
        "properties": {
            "authorization": {"code": "the-code"},
            "autoDiscovery": "Disabled",
            "topLevelInventoryList": ["contoso"],
        }
    }
    assert "the-code" not in str(azure.requests[0].url)
    assert operation is not None
    assert operation.poll_after == 20, "what the service always names, where it names nothing"


@pytest.mark.parametrize("failure", [answer(502), httpx.ReadTimeout("slow"), httpx.ConnectError("x"), answer(429)])
async def test_a_code_is_never_sent_twice(failure: httpx.Response | Exception) -> None:
    azure = azure_with(failure, STARTED)
    with pytest.raises(Exception, match="Azure"):
        await SecurityConnectors(azure.arm).create_configuration(
            REF, code=SecretStr("the-code"), auto_discovery=AutoDiscovery.ENABLED
        )
    assert len(azure.requests) == 1


async def test_without_a_code_the_same_put_is_retried() -> None:
    azure = azure_with(answer(502), STARTED)
    await SecurityConnectors(azure.arm).create_configuration(REF, code=None, auto_discovery=AutoDiscovery.ENABLED)
    assert len(azure.requests) == 2
    assert azure.body() == {"properties": {"autoDiscovery": "Enabled"}}


async def test_a_write_that_completes_at_once_starts_no_operation() -> None:
    azure = azure_with(answer(200, {}))
    assert await SecurityConnectors(azure.arm).update_configuration(REF, auto_discovery=AutoDiscovery.ENABLED) is None


async def test_organizations_are_listed_over_all_pages() -> None:
    azure = azure_with(
        page([organization("contoso")], f"{ENDPOINT}{BELOW}/azureDevOpsOrgs?api-version=2025-03-01&token=1"),
        page([organization("Fabrikam", "NotOnboarded")]),
    )
    organizations = await SecurityConnectors(azure.arm).organizations(REF)
    assert [(entry.name, entry.onboarding_state) for entry in organizations] == [
        ("contoso", OnboardingState.ONBOARDED),
        ("Fabrikam", OnboardingState.NOT_ONBOARDED),
    ]


async def test_a_missing_name_is_read_from_the_id() -> None:
    body = {"id": f"{BELOW}/azureDevOpsOrgs/contoso", "properties": {"onboardingState": "Onboarded"}}
    (entry,) = await SecurityConnectors(azure_with(page([body])).arm).organizations(REF)
    assert (entry.name, entry.onboarding_state) == ("contoso", "Onboarded")


GARBAGE = [
    answer(204),
    answer(200),
    answer(200, {}),
    answer(200, {"value": None}),
    answer(200, {"value": {}}),
    answer(200, {"id": REF.id, "properties": None}),
    answer(200, {"id": REF.id, "properties": []}),
    answer(200, {"properties": {}}),
    page([None]),
    page([{}]),
    page([{"id": f"{BELOW}/azureDevOpsOrgs/contoso"}]),
    page([{"id": f"{BELOW}/azureDevOpsOrgs/contoso", "properties": None}]),
    page([organization("contoso"), None]),
    page([organization("contoso"), {"properties": {"onboardingState": "Onboarded"}}]),
]


@pytest.mark.parametrize("response", GARBAGE, ids=lambda response: f"{response.status_code} {response.text}")
@pytest.mark.parametrize(
    "query",
    [
        lambda connectors: connectors.get(REF),
        lambda connectors: connectors.get_configuration(REF),
        lambda connectors: connectors.organizations(REF),
        lambda connectors: connectors.available_organizations(REF),
        lambda connectors: connectors.list_in("s"),
        lambda connectors: connectors.set_tags(REF, {}),
        lambda connectors: connectors.create(REF, location="l", tags={}, hierarchy_identifier="h"),
    ],
    ids=["get", "get_configuration", "organizations", "available_organizations", "list_in", "set_tags", "create"],
)
async def test_a_defective_response_is_an_outage_and_never_an_empty_state(query: Ask, response: httpx.Response) -> None:
    with pytest.raises(AzureUnavailable):
        await query(SecurityConnectors(azure_with(response).arm))


@pytest.mark.parametrize("properties", [{}, {"provisioningState": None}, {"autoDiscovery": "Enabled"}])
async def test_a_configuration_without_its_state_is_an_outage(properties: dict[str, Any]) -> None:
    azure = azure_with(answer(200, {"id": BELOW, "properties": properties}))
    with pytest.raises(AzureUnavailable):
        await SecurityConnectors(azure.arm).get_configuration(REF)


async def test_available_organizations_are_listed_by_an_empty_post_that_is_retried() -> None:
    azure = azure_with(answer(500), page([organization("contoso")]))
    organizations = await SecurityConnectors(azure.arm).available_organizations(REF)
    assert azure.paths() == [f"POST {BELOW}/listAvailableAzureDevOpsOrgs"] * 2
    assert azure.requests[0].content == b""
    assert [entry.name for entry in organizations] == ["contoso"]


async def test_annotations_are_patched_on_their_organization() -> None:
    azure = azure_with(STARTED)
    await SecurityConnectors(azure.arm).set_annotations(REF, "contoso", Annotations(True, "Medium"))
    assert azure.paths() == [f"PATCH {BELOW}/azureDevOpsOrgs/contoso"]
    assert azure.body() == {
        "properties": {
            "actionableRemediation": {
                "state": "Enabled",
                "categoryConfigurations": [{"category": "IaC", "minimumSeverityLevel": "Medium"}],
            }
        }
    }


async def test_counting_lists_all_projects_and_all_pages_of_repositories() -> None:
    projects = f"{BELOW}/azureDevOpsOrgs/contoso/projects"

    def handler(request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.decode().partition("?")
        if path == projects:
            return page([{"name": "Web Shop", "properties": {}}, {"name": "empty", "properties": {}}])
        if path == f"{projects}/Web%20Shop/repos":
            if "token" in query:
                return page([{"name": f"r{number}"} for number in range(3)])
            return page([{"name": f"r{number}"} for number in range(10)], f"{ENDPOINT}{path}?token=1")
        assert path == f"{projects}/empty/repos"
        return page([])

    azure = azure_with(handler)
    assert await SecurityConnectors(azure.arm).count(REF, "contoso") == Counts(projects=2, repositories=13)
    assert len(azure.requests) == 4


async def test_names_are_quoted_in_paths() -> None:
    azure = azure_with(NOT_FOUND)
    await SecurityConnectors(azure.arm).get(ConnectorRef("s", "rg (old)", "a b"))
    assert azure.requests[0].url.raw_path.startswith(
        b"/subscriptions/s/resourceGroups/rg%20%28old%29/providers/Microsoft.Security/securityConnectors/a%20b?"
    )


@pytest.mark.parametrize(
    "ref", [ConnectorRef("s", "..", "x"), ConnectorRef("s", "rg", "."), ConnectorRef("", "rg", "x")]
)
async def test_a_path_with_relative_segments_is_never_requested(ref: ConnectorRef) -> None:
    azure = azure_with(NOT_FOUND)
    with pytest.raises(InvalidRequest):
        await SecurityConnectors(azure.arm).get(ref)
    assert azure.requests == []


async def test_two_gateway_errors_of_connectors_are_retried() -> None:
    gateway = answer(502, headers={"x-ms-failure-cause": "gateway"})
    azure = azure_with(gateway, gateway, answer(200, CONNECTOR))
    assert await SecurityConnectors(azure.arm).get(REF) is not None
    with pytest.raises(AzureUnavailable):
        await SecurityConnectors(azure_with(gateway).arm).get(REF)
