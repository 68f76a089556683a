from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    Counts,
    OnboardingState,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.azure.resource_graph.rows import ConnectorView, parse_connector_row, parse_role_assignment_row
from tests.unit.azure.fakes import REF


def child(
    organization: str, properties: object, projects: int = 0, repositories: int = 0, name: str = ""
) -> dict[str, Any]:
    return {
        "organization": organization,
        "name": name or organization,
        "properties": properties,
        "counts": {"projects": projects, "repositories": repositories},
    }


def row(*children: object, **more: object) -> dict[str, Any]:
    return {
        "id": REF.key,
        "location": "westeurope",
        "tags": {"a": "b"},
        "hierarchyIdentifier": "H",
        "children": list(children),
        **more,
    }


CONFIGURATION = {
    "provisioningState": "Succeeded",
    "autoDiscovery": "Enabled",
    "provisioningStatusUpdateTimeUtc": "2024-02-24T00:31:19Z",
}
ONBOARDED = {"onboardingState": "Onboarded", "provisioningState": "Succeeded"}


def test_a_row_is_parsed_into_a_view_of_the_connector_and_its_children() -> None:
    view = parse_connector_row(
        row(
            child("", CONFIGURATION, name="default"),
            child("fabrikam", {"onboardingState": "OnboardedByOtherConnector"}, name="Fabrikam"),
            child("contoso", ONBOARDED, projects=10, repositories=80),
        )
    )
    assert view.connector == Connector(REF.key, "westeurope", {"a": "b"}, "H")
    assert view.configuration == Configuration(ProvisioningState.SUCCEEDED, AutoDiscovery.ENABLED)
    assert [organization.name for organization in view.organizations] == ["contoso", "Fabrikam"]
    assert view.inventory.by_organization == {"contoso": Counts(10, 80)}
    assert view.readers is None


@pytest.mark.parametrize("children", [None, [], "x", [None], [{}]])
def test_without_child_rows_the_children_are_unknown(children: object) -> None:
    view = parse_connector_row(row() | {"children": children})
    assert view.configuration is None
    assert view.organizations == ()
    assert view.inventory.by_organization == {}


def test_a_missing_row_never_means_zero() -> None:
    view = parse_connector_row(row(child("contoso", ONBOARDED, projects=0, repositories=0)))
    assert "contoso" not in view.inventory.by_organization


def test_repositories_count_even_if_their_organization_has_no_row() -> None:
    view = parse_connector_row(row(child("contoso", None, projects=2, repositories=5)))
    assert view.organizations == ()
    assert view.inventory.by_organization == {"contoso": Counts(2, 5)}


def test_the_time_of_a_discovery_alone_changes_no_view() -> None:
    later = CONFIGURATION | {"provisioningStatusUpdateTimeUtc": "2024-02-24T08:31:19Z"}
    assert parse_connector_row(row(child("", CONFIGURATION))) == parse_connector_row(row(child("", later)))


def test_the_order_of_rows_changes_no_view() -> None:
    children = [child("", CONFIGURATION), child("a", ONBOARDED, 1, 1), child("b", ONBOARDED, 2, 2)]
    assert parse_connector_row(row(*children)) == parse_connector_row(row(*reversed(children)))


@given(
    st.dictionaries(
        st.sampled_from(["id", "location", "tags", "children", "offerings"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["organization", "properties", "counts", "projects", "name"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_any_row_can_be_parsed(strange: dict[str, Any]) -> None:
    assert isinstance(parse_connector_row(strange), ConnectorView)


def test_a_role_assignment_belongs_to_the_connector_of_its_scope() -> None:
    key, assignment = parse_role_assignment_row(
        {"name": "n", "scope": REF.key + "/", "principalId": "p", "roleDefinitionId": "r"}
    )
    assert key == REF.key
    assert assignment == RoleAssignment("n", "p", "r")


KNOWN = ConnectorView(
    Connector(REF.id, "westeurope", {"a": "b"}, "h"),
    Configuration(ProvisioningState.SUCCEEDED, AutoDiscovery.DISABLED, "OK", agentless=AgentlessConfiguration(True)),
    (
        AzureOrganization("contoso", OnboardingState.ONBOARDED),
        AzureOrganization("Fabrikam", OnboardingState.NOT_ONBOARDED),
    ),
    readers=(RoleAssignment("n1", "p", "r"),),
)


def contradictions(view: ConnectorView) -> tuple[str, ...]:
    return view.contradictions(KNOWN.connector, KNOWN.configuration, KNOWN.organizations, KNOWN.readers)


@pytest.mark.parametrize(
    "view",
    [
        KNOWN,
        replace(KNOWN, configuration=None),
        replace(KNOWN, organizations=()),
        replace(KNOWN, readers=None),
        replace(KNOWN, connector=replace(KNOWN.connector, id=REF.key, hierarchy_identifier="H")),
        replace(KNOWN, configuration=replace(KNOWN.configuration, status_message="Else", agentless=None)),  # type: ignore[type-var]
        replace(KNOWN, organizations=(AzureOrganization("CONTOSO", "Onboarded", status_message="x"),)),
    ],
)
def test_missing_rows_and_equal_rows_are_no_contradiction(view: ConnectorView) -> None:
    assert contradictions(view) == ()


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (replace(KNOWN, connector=replace(KNOWN.connector, tags={"a": "c"})), "tags"),
        (replace(KNOWN, connector=replace(KNOWN.connector, tags={})), "tags"),
        (replace(KNOWN, connector=replace(KNOWN.connector, hierarchy_identifier="other")), "hierarchyIdentifier"),
        (replace(KNOWN, connector=replace(KNOWN.connector, location="eastus")), "location"),
        (
            replace(KNOWN, configuration=Configuration(ProvisioningState.FAILED, AutoDiscovery.DISABLED)),
            "provisioningState",
        ),
        (
            replace(KNOWN, configuration=Configuration(ProvisioningState.SUCCEEDED, AutoDiscovery.ENABLED)),
            "autoDiscovery",
        ),
        (
            replace(KNOWN, configuration=replace(KNOWN.configuration, agentless=AgentlessConfiguration(False))),  # type: ignore[type-var]
            "agentlessConfiguration",
        ),
        (replace(KNOWN, organizations=(AzureOrganization("contoso", "NotOnboarded"),)), "organization contoso"),
        (
            replace(KNOWN, organizations=(AzureOrganization("contoso", "Onboarded", annotations=Annotations(True)),)),
            "organization contoso",
        ),
        (replace(KNOWN, organizations=(AzureOrganization("new", "Onboarded"),)), "organization new"),
        (replace(KNOWN, readers=()), "role assignments"),
    ],
)
def test_each_differing_property_is_named(view: ConnectorView, name: str) -> None:
    assert contradictions(view) == (name,)


def test_a_configuration_that_is_not_cached_is_a_contradiction() -> None:
    assert KNOWN.contradictions(KNOWN.connector, None, KNOWN.organizations) == ("DevOps configuration",)


@pytest.mark.parametrize(
    ("later", "has_lost_rows"),
    [
        (KNOWN, False),
        (replace(KNOWN, configuration=None), True),
        (replace(KNOWN, organizations=KNOWN.organizations[:1]), True),
        (replace(KNOWN, organizations=(*KNOWN.organizations, AzureOrganization("new", "Onboarded"))), False),
        (replace(KNOWN, readers=None), False),
    ],
)
def test_a_later_view_shows_whether_rows_were_lost(later: ConnectorView, has_lost_rows: bool) -> None:
    assert KNOWN.has_lost_rows(later) is has_lost_rows
