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


def test_a_created_connector_is_there_with_nothing_below_it() -> None:
    step = CreateConnector(CONNECTOR_ID, "westeurope", {"a": "b"}, "guid")
    made = after(step, ABSENT, "status: {azure: {organizationsMode: All, created: true}}")
    cloud = cloud_of(made)
    assert cloud.connector is not None
    assert (cloud.connector.tags, cloud.connector.hierarchy_identifier) == ({"a": "b"}, "guid")
    assert cloud.connector.environment_name == "AzureDevOps"
    assert (cloud.configuration, cloud.organizations, cloud.readers) == (None, (), ())
    assert made.connector.status.azure is not None
    assert made.connector.status.azure.organizations_mode is None


@pytest.mark.parametrize("kind", [SetTags, RemoveOwnerTags])
def test_tags_are_the_new_ones(kind: type[SetTags]) -> None:
    connector = cloud_of(after(kind({"x": "y"}, ("x",)))).connector
    assert connector is not None
    assert connector.tags == {"x": "y"}
    assert connector.hierarchy_identifier
    assert cloud_of(after(kind({"x": "y"}, ()), ABSENT)).connector is None


@pytest.mark.parametrize("kind", [Authorize, UpdateConfiguration])
def test_a_change_of_the_configuration_is_under_way(kind: type[Authorize | UpdateConfiguration]) -> None:
    step = kind(auto_discovery=AutoDiscovery.DISABLED, organizations=("b", "A"), agentless=SCAN)
    cloud = cloud_of(after(step, "azure: {configuration: {state: Failed, message: boom}}"))
    assert cloud.configuration is not None
    assert cloud.configuration.provisioning_state is ProvisioningState.PENDING
    assert cloud.configuration.auto_discovery is AutoDiscovery.DISABLED
    assert cloud.configuration.agentless == SCAN
    assert cloud.configuration.status_message == ""
    assert cloud.is_busy
    assert not cloud.is_settled
    assert {subject: at for subject, (_, at) in cloud.pending_requests.items()} == {
        "organizations": NOW,
        "agentless": NOW,
    }


def test_what_a_change_does_not_name_stays() -> None:
    world = "azure: {configuration: {autoDiscovery: Enabled, agentless: {}}}"
    before = cloud_of(snapshot(world)).configuration
    after_scan = cloud_of(after(UpdateConfiguration(agentless=SCAN), world))
    after_choice = cloud_of(after(UpdateConfiguration(auto_discovery=AutoDiscovery.DISABLED), world))
    assert before is not None
    assert after_scan.configuration is not None
    assert after_choice.configuration is not None
    assert after_scan.configuration.auto_discovery is AutoDiscovery.ENABLED
    assert after_choice.configuration.agentless == before.agentless
    assert (set(after_scan.pending_requests), set(after_choice.pending_requests)) == ({"agentless"}, {"organizations"})


def test_a_code_makes_void_what_was_known_of_the_authorization() -> None:
    world = "status: {conditions: [{type: Authorized, status: 'True', reason: Authorized}]}"
    made = after(Authorize(auto_discovery=AutoDiscovery.ENABLED, sha256="x"), world)
    cloud = cloud_of(made)
    assert (cloud.available, cloud.probe_failure, cloud.probed_at) == (None, None, None)
    told = find_condition(made.connector.status.conditions, "Authorized")
    assert told is not None
    assert told.status == "Unknown"


def test_a_code_makes_a_configuration_where_there_was_none() -> None:
    cloud = cloud_of(after(Authorize(auto_discovery=AutoDiscovery.ENABLED), "azure: {configuration: null}"))
    assert cloud.configuration is not None
    assert cloud.configuration.auto_discovery is AutoDiscovery.ENABLED


def test_annotations_of_one_organization_are_under_way() -> None:
    cloud = cloud_of(after(SetAnnotations("FABRIKAM", ON)))
    changed = {each.name: (each.annotations, each.provisioning_state) for each in cloud.organizations}
    assert changed == {
        "contoso": (Annotations(enabled=False), ProvisioningState.SUCCEEDED),
        "fabrikam": (ON, ProvisioningState.PENDING),
    }
    assert cloud.is_busy
    assert cloud.is_settled
    assert "annotations/fabrikam" in cloud.pending_requests


def test_readers_come_and_go() -> None:
    made = AssignReader("name", "principal", "Group", ROLE).effect(snapshot("azure: {readers: {}}"), NOW)
    assert [each.principal_id for each in cloud_of(made).readers or ()] == ["principal"]
    gone = RemoveReader("name", "principal").effect(made, NOW)
    assert cloud_of(gone).readers == ()


def test_nothing_is_left_of_a_deleted_connector() -> None:
    cloud = cloud_of(after(DeleteConnector(CONNECTOR_ID)))
    assert (cloud.connector, cloud.configuration, cloud.organizations, cloud.available) == (None, None, (), None)
    assert cloud.fresh


def test_a_step_in_azure_changes_nothing_that_could_not_be_read() -> None:
    world = snapshot("unreadable: {reason: Throttled, message: slow}")
    assert not DeleteConnector(CONNECTOR_ID).effect(world, NOW).cloud.is_known


def test_the_finalizer_comes_once_and_goes_alone() -> None:
    others = "metadata: {finalizers: [example.com/x]}"
    made = after(AddFinalizer(), others)
    assert made.connector.metadata.finalizers == ("example.com/x", FINALIZER)
    assert AddFinalizer().effect(made, NOW).connector.metadata.finalizers == ("example.com/x", FINALIZER)
    assert RemoveFinalizer().effect(made, NOW).connector.metadata.finalizers == ("example.com/x",)


def test_a_generated_resource_is_there_without_a_decision() -> None:
    made = after(CreateOrganization("contoso-tailspin", "tailspin")).organizations[-1]
    assert made.is_generated
    assert not made.has_user_decision
    assert made.key == ("contoso", "tailspin")
    assert (made.metadata.namespace, made.metadata.creation_timestamp) == ("security", NOW)


def test_a_deleted_resource_is_gone_and_the_others_are_not() -> None:
    world = snapshot()
    gone, kept = world.organizations
    assert DeleteOrganization(gone).effect(world, NOW).organizations == (kept,)


def test_a_released_resource_is_a_declared_one_and_the_others_are_as_before() -> None:
    world = snapshot(TAKEN)
    taken = next(each for each in world.organizations if each.has_user_decision)
    let_go = ReleaseOrganization(taken).effect(world, NOW)
    assert [each.is_generated for each in let_go.organizations] == [True, False]
    assert LABEL_GENERATED not in let_go.organizations[1].metadata.labels
    assert let_go.organizations[1].spec == taken.spec


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
def test_a_step_says_in_one_sentence_what_it_does(step: Action, sentence: str) -> None:
    assert step.describe() == sentence
