"""Every field of what Azure holds is compared by drift detection, the planner and the command `plan`, or by none."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from defender_devops.api import azure_properties
from defender_devops.api.azure_properties import NOT_COMPARED, AzureProperty
from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    OnboardingState,
    ProvisioningState,
)
from defender_devops.azure.resource_graph.rows import ConnectorView
from defender_devops.cli.plan.changes import plan_changes
from defender_devops.reconcile.actions.action import AzureAction
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.pending_requests import PendingRequest
from defender_devops.reconcile.facts.snapshot import AzureState
from defender_devops.reconcile.plan.diff import differences, is_accepted_by_azure
from tests.unit.reconcile.builder import NOW, snapshot

TABLES: dict[type[Any], tuple[AzureProperty, ...]] = {
    Connector: azure_properties.CONNECTOR,
    Configuration: azure_properties.CONFIGURATION,
    AzureOrganization: azure_properties.ORGANIZATION,
}
COMPARED = [(kind, item) for kind, items in TABLES.items() for item in items]
MANAGED = [(kind, item) for kind, item in COMPARED if item.is_managed]
NAMES = [f"{kind.__name__}.{item.field}" for kind, item in COMPARED]
MANAGED_NAMES = [f"{kind.__name__}.{item.field}" for kind, item in MANAGED]

OTHER_VALUES: dict[str, object] = {
    "tags": {"team": "red"},
    "location": "eastus",
    "hierarchy_identifier": "99999999-9999-9999-9999-999999999999",
    "provisioning_state": ProvisioningState.FAILED,
    "auto_discovery": AutoDiscovery.DISABLED,
    "agentless": AgentlessConfiguration(enabled=True, scanners=("gitleaks",)),
    "onboarding_state": OnboardingState.NOT_ONBOARDED,
    "annotations": Annotations(enabled=True, minimum_severity="High"),
}
"""A value for each compared field that differs from the one in `WORLD`."""

WORLD = snapshot(
    "spec: {azure: {tags: {team: blue}}}",
    "spec: {pullRequestAnnotations: {mode: Disabled}, agentlessScanning: {mode: Disabled}}",
    "azure: {tags: {team: blue}}",
)
"""A world without any difference, whose spec manages every property."""


def drifted(kind: type[Any], item: AzureProperty) -> AzureState:
    """What Azure holds after one field was changed there."""
    azure, change = WORLD.cloud, {item.field: OTHER_VALUES[item.field]}
    assert azure.connector is not None
    assert azure.configuration is not None
    if kind is Connector:
        tags = {**azure.connector.tags, **change["tags"]} if item.field == "tags" else None  # type: ignore[dict-item]
        return replace(azure, connector=replace(azure.connector, **({"tags": tags} if tags else change)))
    if kind is Configuration:
        return replace(azure, configuration=replace(azure.configuration, **change))
    first, *other_items = azure.organizations
    return replace(azure, organizations=(replace(first, **change), *other_items))


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_every_field_is_compared_or_listed_with_the_reason_why_not(kind: type[Any]) -> None:
    compared = [item.field for item in TABLES[kind]]
    fields = [field.name for field in dataclasses.fields(kind)]
    assert sorted([*compared, *NOT_COMPARED[kind.__name__]]) == sorted(fields), (
        "describe a new field in api/azure_properties.py: in its table, or in NOT_COMPARED with the reason"
    )
    assert all(NOT_COMPARED[kind.__name__].values())


def test_the_world_has_no_difference() -> None:
    assert differences(Assessment(WORLD)) == ()
    assert WORLD.cloud.connector is not None
    view = ConnectorView(WORLD.cloud.connector, WORLD.cloud.configuration, WORLD.cloud.organizations)
    assert view.contradictions(WORLD.cloud.connector, WORLD.cloud.configuration, WORLD.cloud.organizations) == ()


@pytest.mark.parametrize(("kind", "item"), COMPARED, ids=NAMES)
def test_drift_detection_knows_every_compared_field(kind: type[Any], item: AzureProperty) -> None:
    azure, drift = WORLD.cloud, drifted(kind, item)
    assert azure.connector is not None
    assert drift.connector is not None
    view = ConnectorView(drift.connector, drift.configuration, drift.organizations)
    names = view.contradictions(azure.connector, azure.configuration, azure.organizations)
    assert names == (f"organization {azure.organizations[0].name}" if kind is AzureOrganization else item.name,)


@pytest.mark.parametrize(("kind", "item"), MANAGED, ids=MANAGED_NAMES)
def test_the_planner_and_the_command_know_every_managed_field(kind: type[Any], item: AzureProperty) -> None:
    drift = drifted(kind, item)
    spec = "spec: {organizations: {mode: Selected, names: [contoso, fabrikam]}}"
    world = replace(WORLD, cloud=drift)
    if item is azure_properties.ONBOARDING:  # with auto-discovery, Defender onboards the organization by itself
        world = replace(world, connector=snapshot(spec).connector)
    steps = [step for step in differences(Assessment(world)) if isinstance(step, AzureAction)]
    assert steps, f"plan/diff.py does not correct {item.name}"
    fields = [change.field for step in steps for change in plan_changes(step, drift)]
    assert [field for field in fields if field.partition(".")[0] == item.name], f"{item.name} is missing in {fields}"


@pytest.mark.parametrize("item", [item for kind, item in MANAGED if kind is Configuration], ids=lambda item: item.field)
def test_a_pending_request_does_not_hide_that_a_property_still_differs(item: AzureProperty) -> None:
    configuration = WORLD.cloud.configuration
    assert configuration is not None
    changed = replace(configuration, **{item.field: OTHER_VALUES[item.field]})
    world = replace(WORLD, cloud=replace(WORLD.cloud, configuration=changed))
    steps = [step for step in differences(Assessment(world)) if isinstance(step, AzureAction)]
    requests = {key: PendingRequest(value, NOW) for step in steps for key, value in step.requests.items()}
    pending = Assessment(replace(world, cloud=replace(world.cloud, pending_requests=requests)))
    assert steps
    assert not any(is_accepted_by_azure(pending, step) for step in steps)
