from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    InventoryItem,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.azure.resources.serialization import (
    parse_azure_connector,
    parse_azure_organization,
    parse_configuration,
    serialize_agentless,
    serialize_annotations,
)


def test_a_connector_is_parsed_in_the_service_s_spelling() -> None:
    body = {
        "id": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.Security/securityConnectors/contoso",
        "name": "contoso",
        "type": "Microsoft.Security/securityconnectors",
        "location": "West Europe",
        "tags": {"owner": "platform"},
        "properties": {
            "hierarchyIdentifier": "4a8eb7f1-f533-48c5-b102-9b09e90906b7",
            "environmentName": "AzureDevOps",
            "offerings": [{"offeringType": "CspmMonitorAzureDevOps"}, {"offeringType": "DefenderForDevOpsAzureDevOps"}],
        },
    }
    assert parse_azure_connector(body) == Connector(
        id=str(body["id"]),
        location="westeurope",
        tags={"owner": "platform"},
        hierarchy_identifier="4a8eb7f1-f533-48c5-b102-9b09e90906b7",
    )


@pytest.mark.parametrize("tags", [None, {}, "x", []])
def test_missing_null_and_empty_tags_are_no_tags(tags: object) -> None:
    assert parse_azure_connector({"id": "x", "tags": tags}).tags == {}


def test_a_connector_of_another_environment_is_recognized() -> None:
    assert parse_azure_connector({"properties": {"environmentName": "GitHub"}}).environment_name == "GitHub"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (
            {
                "provisioningState": "Failed",
                "provisioningStatusMessage": "AzureDevOps token exchange failed: InvalidOAuthCode",
                "provisioningStatusUpdateTimeUtc": "2024-02-24T00:31:19.1234567Z",
                "autoDiscovery": "Disabled",
                "capabilities": [],
            },
            Configuration(
                ProvisioningState.FAILED,
                AutoDiscovery.DISABLED,
                "AzureDevOps token exchange failed: InvalidOAuthCode",
                datetime(2024, 2, 24, 0, 31, 19, 123456, UTC),
            ),
        ),
        (
            {"provisioningState": "succeeded", "autoDiscovery": "ENABLED"},
            Configuration(ProvisioningState.SUCCEEDED, AutoDiscovery.ENABLED),
        ),
        (
            {"provisioningState": "Rehearsing", "autoDiscovery": "Sometimes"},
            Configuration("Rehearsing", "Sometimes"),
        ),
        ({"provisioningStatusUpdateTimeUtc": "yesterday", "agentlessConfiguration": None}, Configuration("", "")),
        ({}, Configuration("", "")),
    ],
)
def test_a_configuration_with_unknown_values_is_parsed(properties: dict[str, object], expected: Configuration) -> None:
    assert parse_configuration(properties) == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (
            {
                "onboardingState": "OnboardedByOtherConnector",
                "provisioningState": "Pending",
                "provisioningStatusMessage": "Waiting",
            },
            AzureOrganization(
                "contoso",
                OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR,
                ProvisioningState.PENDING,
                status_message="Waiting",
            ),
        ),
        ({"onboardingState": "Onboarded"}, AzureOrganization("contoso", OnboardingState.ONBOARDED)),
        ({"onboardingState": "Elsewhere"}, AzureOrganization("contoso", "Elsewhere")),
        ({}, AzureOrganization("contoso", "")),
        (
            {
                "onboardingState": "Onboarded",
                "actionableRemediation": {
                    "state": "Enabled",
                    "categoryConfigurations": [
                        {"category": "Code", "minimumSeverityLevel": "Low"},
                        {"category": "iac", "minimumSeverityLevel": "Medium"},
                    ],
                },
            },
            AzureOrganization("contoso", OnboardingState.ONBOARDED, annotations=Annotations(True, "Medium")),
        ),
        (
            {
                "onboardingState": "Onboarded",
                "actionableRemediation": {"state": "None", "categoryConfigurations": None},
            },
            AzureOrganization("contoso", OnboardingState.ONBOARDED, annotations=Annotations(False)),
        ),
    ],
)
def test_an_organization_with_missing_properties_is_parsed(
    properties: dict[str, object], expected: AzureOrganization
) -> None:
    assert parse_azure_organization("contoso", properties) == expected


@given(
    st.builds(
        AgentlessConfiguration,
        enabled=st.booleans(),
        auto_discovery=st.sampled_from(AutoDiscovery),
        scanners=st.lists(st.text(), max_size=3).map(tuple),
        inventory_list_type=st.sampled_from(["Inclusion", "Exclusion"]),
        inventory=st.lists(st.builds(InventoryItem, st.text(), st.text()), max_size=3).map(tuple),
    )
)
def test_agentless_scanning_is_parsed_back_equal(agentless: AgentlessConfiguration) -> None:
    assert parse_configuration({"agentlessConfiguration": serialize_agentless(agentless)}).agentless == agentless


@pytest.mark.parametrize(
    "annotations",
    [Annotations(False), Annotations(True, "High"), Annotations(True, "Medium"), Annotations(True, "Low")],
)
def test_annotations_are_parsed_back_equal(annotations: Annotations) -> None:
    properties = {"actionableRemediation": serialize_annotations(annotations)}
    assert parse_azure_organization("contoso", properties).annotations == annotations


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
_KEYS = st.sampled_from(
    [
        "id", "location", "tags", "properties", "hierarchyIdentifier", "environmentName", "offerings",
        "provisioningState", "autoDiscovery", "agentlessConfiguration", "inventoryList", "scanners",
        "onboardingState", "actionableRemediation", "categoryConfigurations", "provisioningStatusUpdateTimeUtc",
    ]
)  # fmt: skip


@given(st.dictionaries(_KEYS, _JSON | st.dictionaries(_KEYS, _JSON, max_size=4), max_size=6))
def test_any_body_can_be_parsed(body: dict[str, object]) -> None:
    assert isinstance(parse_azure_connector(body), Connector)
    assert isinstance(parse_configuration(body), Configuration)
    assert isinstance(parse_azure_organization("x", body), AzureOrganization)


@pytest.mark.parametrize("secret", ["eyJhbGciOiJSUzI1NiJ9.eyJhdWkiOiJhYmMifQ.c2lnbmF0dXJl", "1.AXkA" + "x" * 60])
def test_a_code_in_azures_message_is_removed(secret: str) -> None:
    failed = {"provisioningState": "Failed", "provisioningStatusMessage": f"InvalidOAuthCode for {secret}."}
    for parsed in (parse_configuration(failed), parse_azure_organization("contoso", failed)):
        assert "InvalidOAuthCode for" in parsed.status_message
        assert secret not in parsed.status_message
