from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.names import (
    CONNECTOR,
    NAME_MAX_LENGTH,
    ORGANIZATION,
    default_token_secret_name,
    organization_object_name,
)

SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
connectors = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?)?", fullmatch=True)
organizations = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,48}[A-Za-z0-9])?", fullmatch=True)


def test_the_public_names_of_the_resources_are_unchanged() -> None:
    assert (CONNECTOR.kind, CONNECTOR.crd, CONNECTOR.short_name, CONNECTOR.list_kind_name) == (
        "AzureDevOpsConnector",
        "azuredevopsconnectors.defender-devops.io",
        "adoc",
        "AzureDevOpsConnectorList",
    )
    assert (ORGANIZATION.kind, ORGANIZATION.crd, ORGANIZATION.short_name) == (
        "DevOpsOrganization",
        "devopsorganizations.defender-devops.io",
        "adoorg",
    )


@pytest.mark.parametrize(
    ("connector", "organization", "used_names", "name"),
    [
        ("contoso", "fabrikam", [], "contoso-fabrikam"),
        ("contoso", "Wingtip-Toys", [], "contoso-wingtip-toys"),
        ("contoso", "fabrikam", ["contoso-wingtip"], "contoso-fabrikam"),
        ("a", "b-c", ["a-b-c"], "a-b-c-b88f83c8"),
        ("a-b", "c", ["a-b-c"], "a-b-c-4e84717d"),
    ],
)
def test_a_generated_name_consists_of_connector_and_organization(
    connector: str, organization: str, used_names: list[str], name: str
) -> None:
    assert organization_object_name(connector, organization, used_names) == name


@given(connectors, organizations)
def test_a_generated_name_does_not_depend_on_the_case_of_the_organization(connector: str, organization: str) -> None:
    for used_names in (set[str](), {organization_object_name(connector, organization)}):
        assert organization_object_name(connector, organization.upper(), used_names) == organization_object_name(
            connector, organization.lower(), used_names
        )


@given(st.text("ab.-", min_size=1, max_size=300).filter(SUBDOMAIN.fullmatch), organizations, st.booleans())
def test_a_generated_name_is_valid_and_unused(connector: str, organization: str, clash: bool) -> None:
    used_names = {organization_object_name(connector, organization)} if clash else set()
    name = organization_object_name(connector, organization, used_names)
    assert name not in used_names or len(f"{connector}-{organization}") > NAME_MAX_LENGTH
    assert len(name) <= NAME_MAX_LENGTH
    assert SUBDOMAIN.fullmatch(name)


@given(connectors, organizations, connectors, organizations)
def test_two_pairs_with_the_same_name_differ_by_their_hash(c1: str, o1: str, c2: str, o2: str) -> None:
    if (c1, o1.lower()) != (c2, o2.lower()):
        first = organization_object_name(c1, o1)
        assert organization_object_name(c2, o2, {first}) != first


def test_the_token_secret_is_named_after_the_connector() -> None:
    assert default_token_secret_name("contoso") == "contoso-azure-devops-token"
