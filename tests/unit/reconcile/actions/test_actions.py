"""What each step makes of the snapshot: the next plan and the report see nothing else."""

from __future__ import annotations

import pytest

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery, ProvisioningState
from defender_devops.api.conditions import find_condition
from defender_devops.api.names import FINALIZER, LABEL_GENERATED
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import (
    AssignReader,
    Authorize,
    CreateConnector,
    DeleteConnector,
    RemoveOwnerTags,
    RemoveReader,
    SetAnnotations,
    SetTags,
    UpdateConfiguration,
)
from defender_devops.reconcile.actions.kubernetes import (
    AddFinalizer,
    CreateOrganization,
    DeleteOrganization,
    ReleaseOrganization,
    RemoveFinalizer,
)
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from tests.unit.reconcile.builder import CONNECTOR_ID, NOW, ROLE, cloud_of, snapshot
from tests.unit.reconcile.cases import ABSENT

SCAN = AgentlessConfiguration(enabled=True)
ON = Annotations(enabled=True, minimum_severity="High")
TAKEN = "resources: {fabrikam: {generated: true, onboarding: Excluded}}"


def after(step: Action, *world: str) -> ConnectorSnapshot:
    return step.effect(snapshot(*world), NOW)


def test_a_created_connector_has_no_configuration() -> None:
    step = CreateConnector(CONNECTOR_ID, "westeurope", {"a": "b"}, "guid")
    result = after(step, ABSENT, "status: {azure: {organizationsMode: All, created: true}}")
    cloud = cloud_of(result)
    assert cloud.connector is not None
    assert (cloud.connector.tags, cloud.connector.hierarchy_identifier) == ({"a": "b"}, "guid")
    assert cloud.connector.environment_name == "AzureDevOps"
    assert (cloud.configuration, cloud.organizations, cloud.readers) == (None, (), ())
    assert result.connector.status.azure is not None
    assert result.connector.status.azure.organizations_mode is None


@pytest.mark.parametrize("kind", [SetTags, RemoveOwnerTags])
def test_setting_tags_replaces_them(kind: type[SetTags]) -> None:
    connector = cloud_of(after(kind({"x": "y"}, ("x",)))).connector
    assert connector is not None
    assert connector.tags == {"x": "y"}
    assert connector.hierarchy_identifier
    assert cloud_of(after(kind({"x": "y"}, ()), ABSENT)).connector is None


@pytest.mark.parametrize("kind", [Authorize, UpdateConfiguration])
def test_a_change_of_the_configuration_is_in_progress(kind: type[Authorize | UpdateConfiguration]) -> None:
    step = kind(auto_discovery=AutoDiscovery.DISABLED, organizations=("b", "A"), agentless=SCAN)
    cloud = cloud_of(after(step, "azure: {configuration: {state: Failed, message: boom}}"))
    assert cloud.configuration is not None
    assert cloud.configuration.provisioning_state is ProvisioningState.PENDING
    assert cloud.configuration.auto_discovery is AutoDiscovery.DISABLED
    assert cloud.configuration.agentless == SCAN
    assert cloud.configuration.status_message == ""
    assert cloud.is_busy
    assert not cloud.is_settled
    assert {subject: request.requested_at for subject, request in cloud.pending_requests.items()} == {
        "organizations": NOW,
        "agentless": NOW,
    }


def test_a_change_keeps_what_it_does_not_name() -> None:
    world = "azure: {configuration: {autoDiscovery: Enabled, agentless: {}}}"
    configuration = cloud_of(snapshot(world)).configuration
    after_scan = cloud_of(after(UpdateConfiguration(agentless=SCAN), world))
    after_choice = cloud_of(after(UpdateConfiguration(auto_discovery=AutoDiscovery.DISABLED), world))
    assert configuration is not None
    assert after_scan.configuration is not None
    assert after_choice.configuration is not None
    assert after_scan.configuration.auto_discovery is AutoDiscovery.ENABLED
    assert after_choice.configuration.agentless == configuration.agentless
    assert (set(after_scan.pending_requests), set(after_choice.pending_requests)) == ({"agentless"}, {"organizations"})


def test_a_code_resets_the_state_of_the_authorization() -> None:
    world = "status: {conditions: [{type: Authorized, status: 'True', reason: Authorized}]}"
    result = after(Authorize(auto_discovery=AutoDiscovery.ENABLED, sha256="x"), world)
    cloud = cloud_of(result)
    assert (cloud.available, cloud.probe_failure, cloud.probed_at) == (None, None, None)
    authorized = find_condition(result.connector.status.conditions, "Authorized")
    assert authorized is not None
    assert authorized.status == "Unknown"


def test_a_code_creates_a_missing_configuration() -> None:
    cloud = cloud_of(after(Authorize(auto_discovery=AutoDiscovery.ENABLED), "azure: {configuration: null}"))
    assert cloud.configuration is not None
    assert cloud.configuration.auto_discovery is AutoDiscovery.ENABLED


def test_annotations_of_one_organization_are_in_progress() -> None:
    cloud = cloud_of(after(SetAnnotations("FABRIKAM", ON)))
    changed = {
        organization.name: (organization.annotations, organization.provisioning_state)
        for organization in cloud.organizations
    }
    assert changed == {
        "contoso": (Annotations(enabled=False), ProvisioningState.SUCCEEDED),
        "fabrikam": (ON, ProvisioningState.PENDING),
    }
    assert cloud.is_busy
    assert cloud.is_settled
    assert "annotations/fabrikam" in cloud.pending_requests


def test_readers_are_added_and_removed() -> None:
    result = AssignReader("name", "principal", "Group", ROLE).effect(snapshot("azure: {readers: {}}"), NOW)
    assert [assignment.principal_id for assignment in cloud_of(result).readers or ()] == ["principal"]
    removed = RemoveReader("name", "principal").effect(result, NOW)
    assert cloud_of(removed).readers == ()


def test_a_deleted_connector_leaves_an_empty_state() -> None:
    cloud = cloud_of(after(DeleteConnector(CONNECTOR_ID)))
    assert (cloud.connector, cloud.configuration, cloud.organizations, cloud.available) == (None, None, (), None)
    assert cloud.fresh


def test_a_step_does_not_change_an_unknown_state() -> None:
    world = snapshot("unreadable: {reason: Throttled, message: slow}")
    assert not DeleteConnector(CONNECTOR_ID).effect(world, NOW).cloud.is_known


def test_only_the_operator_s_finalizer_is_added_once_and_removed() -> None:
    other_items = "metadata: {finalizers: [example.com/x]}"
    result = after(AddFinalizer(), other_items)
    assert result.connector.metadata.finalizers == ("example.com/x", FINALIZER)
    assert AddFinalizer().effect(result, NOW).connector.metadata.finalizers == ("example.com/x", FINALIZER)
    assert RemoveFinalizer().effect(result, NOW).connector.metadata.finalizers == ("example.com/x",)


def test_a_generated_resource_has_no_decision() -> None:
    result = after(CreateOrganization("contoso-tailspin", "tailspin")).organizations[-1]
    assert result.is_generated
    assert not result.has_user_decision
    assert result.key == ("contoso", "tailspin")
    assert (result.metadata.namespace, result.metadata.creation_timestamp) == ("security", NOW)


def test_only_the_deleted_resource_is_removed() -> None:
    world = snapshot()
    removed, remaining = world.organizations
    assert DeleteOrganization(removed).effect(world, NOW).organizations == (remaining,)


def test_a_released_resource_is_a_declared_one() -> None:
    world = snapshot(TAKEN)
    claimed = next(resource for resource in world.organizations if resource.has_user_decision)
    let_go = ReleaseOrganization(claimed).effect(world, NOW)
    assert [resource.is_generated for resource in let_go.organizations] == [True, False]
    assert LABEL_GENERATED not in let_go.organizations[1].metadata.labels
    assert let_go.organizations[1].spec == claimed.spec


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (CreateConnector(CONNECTOR_ID, "westeurope", {}, "g"), "create the connector contoso in westeurope"),
        (UpdateConfiguration(organizations=()), "update the DevOps configuration (organizations none)"),
        (UpdateConfiguration(agentless=SCAN), "update the DevOps configuration (agentless scanning on)"),
        (SetAnnotations("a", Annotations(enabled=False)), "turn pull request annotations off in a"),
        (AssignReader("n", "p", "User", ROLE), "make User p a Security Reader of the connector"),
        (RemoveReader("n", "p"), "remove p from the connector's Security Readers"),
        (DeleteConnector(CONNECTOR_ID), "delete the connector contoso in Azure"),
        (AddFinalizer(), "add the finalizer"),
        (RemoveFinalizer(), "remove the finalizer, so that Kubernetes deletes the resource"),
    ],
)
def test_a_step_describes_itself(step: Action, sentence: str) -> None:
    assert step.describe() == sentence
