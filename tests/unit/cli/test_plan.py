from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.inputs.cluster_context import ClusterContext
from defender_devops.cli.inputs.connector_inputs import ConnectorInput, build_inputs, input_as_deleted
from defender_devops.cli.inputs.manifest_files import Manifest, Manifests, read_manifests
from defender_devops.cli.inputs.observation import Observation
from defender_devops.cli.plan.changes import Change
from defender_devops.cli.plan.plan_result import PlanResult, build_plan_result
from tests.support.manifests import connector, merge, organization
from tests.unit.reconcile.builder import NOW, UID, snapshot
from tests.unit.reconcile.cases import CODE, FRESH, OBSERVE

SELECTED = "spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}"
LISTED = "azure: {configuration: {autoDiscovery: Disabled}, others: {tailspin: Free}}"


def plan_for(*world: str, live: bool = True, notes: tuple[str, ...] = ()) -> PlanResult:
    """Return the plan for a world of `tests.unit.reconcile.builder`."""
    state = snapshot(*world)
    item = ConnectorInput(state.connector, state.organizations, live={} if live else None)
    return build_plan_result(item, Observation(state, notes), NOW)


def deletion_of(*world: str) -> PlanResult:
    state = snapshot(*world)
    item = input_as_deleted(ConnectorInput(state.connector, state.organizations, live={}), NOW)
    return build_plan_result(item, Observation(replace(state, connector=item.connector)), NOW)


def test_nothing_would_change_if_azure_is_up_to_date() -> None:
    result = plan_for()
    assert (result.key, result.steps, result.notes, result.refused) == ("security/contoso", (), (), None)
    assert result.summary() == "Nothing would change in Azure."


def test_tags_are_shown_before_and_after() -> None:
    (step,) = plan_for("azure: {tags: {team: blue}}", "spec: {azure: {tags: {team: red, cost: '7'}}}").steps
    assert step.changes == (Change("tags.cost", None, "7"), Change("tags.team", "blue", "red"))


def test_a_tag_removed_from_the_manifest_is_removed() -> None:
    (step,) = plan_for("azure: {tags: {team: blue}}", "status: {azure: {managedTagKeys: [team]}}").steps
    assert step.changes == (Change("tags.team", "blue", None),)


def test_the_owner_tag_of_a_new_resource_has_no_invented_uid() -> None:
    (step,) = plan_for("azure: {owner: nobody}", live=False).steps
    assert Change("tags.defender-devops-owner", None, "(the new resource)") in step.changes


def test_added_and_removed_organizations_are_shown() -> None:
    (step,) = plan_for(SELECTED, LISTED).steps
    assert (step.sign, step.changes) == (
        "~",
        (Change("organizations.fabrikam", "onboarded", None), Change("organizations.tailspin", None, "onboarded")),
    )


def test_auto_discovery_is_shown_before_and_after() -> None:
    (step,) = plan_for(
        "spec: {organizations: {mode: AllAndFuture}}", "azure: {configuration: {autoDiscovery: Disabled}}"
    ).steps
    assert step.changes == (Change("autoDiscovery", "Disabled", "Enabled"),)


def test_annotations_are_shown_before_and_after() -> None:
    annotated = "azure: {organizations: {contoso: {annotations: High}}}"
    steps = plan_for("spec: {pullRequestAnnotations: {mode: Enabled, minimumSeverity: Low}}", annotated).steps
    assert [step.changes for step in steps] == [
        (Change("actionableRemediation", "on, severity High and above", "on, severity Low and above"),),
        (Change("actionableRemediation", "off", "on, severity Low and above"),),
    ]


def test_scanning_is_shown_with_its_scope() -> None:
    scope = "agentlessScanning: {mode: Enabled, scope: [{organization: contoso, project: legacy}]}"
    (step,) = plan_for(f"spec: {{{scope}}}").steps
    assert step.changes == (Change("agentlessConfiguration", None, "on, all but contoso/legacy"),)


def test_a_new_connector_is_shown_with_its_configuration() -> None:
    result = plan_for(CODE, "azure: null", "code: new", live=False)
    assert [(step.sign, step.sentence.split(" (")[0]) for step in result.steps] == [
        ("+", "create the connector contoso in westeurope"),
        ("~", "authorize Defender for Cloud with the one-time code"),
    ]
    assert Change("autoDiscovery", None, "Enabled") in result.steps[1].changes
    assert Change("organizations", None, "all that the authorizing account can see") in result.steps[1].changes
    follow_up = "once Azure has completed these changes and Defender has discovered the organizations."
    assert f"More changes may follow {follow_up}" in result.notes


def test_a_connector_that_only_a_person_can_create_is_noted() -> None:
    result = plan_for("azure: null", FRESH)
    assert result.steps == ()
    assert any("Create and authorize it in the Defender portal" in note for note in result.notes)


def test_a_connector_of_another_owner_is_refused_with_the_operator_s_message() -> None:
    result = plan_for("azure: {owner: another}", "status: {azure: null}")
    assert result.steps == ()
    assert result.refused is not None
    assert "deletionPolicy Detach" in result.refused
    assert result.summary() == "Refused: nothing would be changed."


def test_with_observe_the_differences_are_shown_and_not_applied() -> None:
    result = plan_for(OBSERVE, SELECTED, LISTED)
    assert len(result.steps) == 1
    assert "managementPolicy is Observe: the operator reports differences and changes nothing." in result.notes


def test_for_a_suspended_connector_the_changes_after_resuming_are_shown() -> None:
    result = plan_for("spec: {suspend: true}", SELECTED, LISTED)
    assert len(result.steps) == 1
    assert "spec.suspend is true: the operator makes these changes only after the connector is resumed." in result.notes


def test_a_lost_authorization_is_noted_with_its_cure() -> None:
    result = plan_for("azure: {available: none}", "status: {discovery: {organizations: {available: 2}}}")
    assert any("authorize again" in note for note in result.notes)


def test_assumptions_are_noted() -> None:
    assert plan_for(notes=("Planned as if.",)).notes == ("Planned as if.",)


def test_resources_in_the_cluster_are_listed_separately() -> None:
    result = plan_for("resources: null")
    assert result.steps == ()
    assert result.resources == (
        "create DevOpsOrganization contoso-contoso",
        "create DevOpsOrganization contoso-fabrikam",
    )


def test_a_document_contains_everything_that_is_printed() -> None:
    document = plan_for(SELECTED, LISTED).document()
    assert document["connector"] == "security/contoso"
    assert document["steps"][0]["changes"][0] == {
        "field": "organizations.fabrikam",
        "before": "onboarded",
        "after": None,
    }


DELETIONS = [
    ((), "~", "remove the owner tags from the connector", "keeps working"),
    (
        ("spec: {deletionPolicy: Delete}",),
        "-",
        "delete the connector contoso in Azure",
        "a person must authorize Defender again",
    ),
]


@pytest.mark.parametrize(("world", "sign", "sentence", "note"), DELETIONS)
def test_a_deletion_is_planned_with_its_effect_in_azure(
    world: tuple[str, ...], sign: str, sentence: str, note: str
) -> None:
    result = deletion_of(*world)
    assert [(step.sign, step.sentence) for step in result.steps] == [(sign, sentence)]
    assert any(note in text for text in result.notes)


def test_deleting_an_observed_connector_changes_nothing_in_azure() -> None:
    result = deletion_of(OBSERVE)
    assert result.steps == ()
    assert any("Nothing is read or changed in Azure" in note for note in result.notes)


def manifests_of(*bodies: dict[str, object]) -> Manifests:
    manifests = [Manifest("file.yaml", merge(body, {"metadata": {"namespace": "security"}})) for body in bodies]
    return Manifests(
        tuple(manifest for manifest in manifests if manifest.kind == "AzureDevOpsConnector"),
        tuple(manifest for manifest in manifests if manifest.kind == "DevOpsOrganization"),
    )


def in_cluster(*bodies: dict[str, object]) -> ClusterContext:
    """Return the state of a cluster in which these resources were applied."""
    live = [merge(body, {"metadata": {"namespace": "security", "uid": UID, "generation": 1}}) for body in bodies]
    by_kind = {
        kind: {("security", body["metadata"]["name"]): body for body in live if body["kind"] == kind}
        for kind in ("AzureDevOpsConnector", "DevOpsOrganization")
    }
    return ClusterContext(
        by_kind["AzureDevOpsConnector"], by_kind["DevOpsOrganization"], "cluster-1", has_all_namespaces=True
    )


def test_a_new_resource_is_planned_with_a_temporary_uid() -> None:
    (item,) = build_inputs(manifests_of(connector()), ClusterContext())
    assert uuid.UUID(item.connector.metadata.uid)
    assert (item.key, item.live) == ("security/contoso", None)


def test_an_existing_resource_keeps_uid_and_status_and_gets_the_manifest_s_spec() -> None:
    live = connector() | {"status": {"azure": {"created": True}}}
    (item,) = build_inputs(manifests_of(connector("azure: {tags: {a: b}}")), in_cluster(live))
    assert item.connector.metadata.uid == UID
    assert item.connector.status.azure is not None
    assert item.connector.status.azure.created
    assert item.connector.spec.azure.tags == {"a": "b"}


def test_organizations_of_the_manifests_replace_those_of_the_cluster() -> None:
    context = in_cluster(connector(), organization(), organization("organization: tailspin", name="other"))
    (item,) = build_inputs(manifests_of(connector(), organization("onboarding: Excluded")), context)
    onboarding = {organization.spec.organization: organization.spec.onboarding for organization in item.organizations}
    assert onboarding == {"fabrikam": "Excluded", "tailspin": None}


def test_an_organization_alone_is_planned_with_the_connector_in_the_cluster() -> None:
    (item,) = build_inputs(manifests_of(organization("onboarding: Excluded")), in_cluster(connector()))
    assert item.key == "security/contoso"
    assert item.manifest is None
    assert [organization.spec.organization for organization in item.organizations] == ["fabrikam"]


def test_an_organization_without_a_connector_is_rejected() -> None:
    with pytest.raises(CommandFailed, match=r"file.yaml: spec.connectorRef.name: there is no connector contoso"):
        build_inputs(manifests_of(organization()), ClusterContext())


def test_organizations_of_another_connector_or_namespace_are_ignored() -> None:
    context = in_cluster(connector(), organization("connectorRef: {name: other}", name="one"))
    elsewhere = dict(context.organizations) | {
        ("other", "two"): merge(organization(name="two"), {"metadata": {"namespace": "other"}})
    }
    (item,) = build_inputs(manifests_of(connector()), replace(context, organizations=elsewhere))
    assert item.organizations == ()


def test_existing_owners_are_known_only_if_all_namespaces_were_read() -> None:
    assert in_cluster(connector()).existing_owner_uids == frozenset({UID})
    assert replace(in_cluster(connector()), has_all_namespaces=False).existing_owner_uids is None


def test_an_owner_that_is_being_deleted_may_be_replaced() -> None:
    leaving = connector() | {"metadata": {"name": "contoso", "deletionTimestamp": "2026-03-01T12:00:00Z"}}
    assert in_cluster(leaving).deleting_owner_uids == frozenset({UID})
    assert in_cluster(connector()).deleting_owner_uids == frozenset()


def test_the_examples_are_planned_without_a_cluster() -> None:
    inputs = build_inputs(read_manifests([Path(__file__).parents[3] / "examples"], "default"), ClusterContext())
    assert [item.key for item in inputs] == ["security/adventure-works", "security/contoso", "security/northwind"]
    assert [organization.spec.organization for organization in inputs[0].organizations] == ["tailspin"]
