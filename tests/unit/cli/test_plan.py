from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.manifest_files import Manifest, Manifests, read_manifests
from defender_devops.cli.plan.changes import Change
from defender_devops.cli.plan.cluster_context import Surroundings
from defender_devops.cli.plan.inputs import Subject, going, subjects
from defender_devops.cli.plan.observation import Observation
from defender_devops.cli.plan.plan_result import Planned, planned
from tests.support.manifests import connector, merge, organization
from tests.unit.reconcile.builder import NOW, UID, snapshot
from tests.unit.reconcile.cases import CODE, FRESH, OBSERVE

SELECTED = "spec: {organizations: {mode: Selected, names: [contoso, tailspin]}}"
LISTED = "azure: {configuration: {autoDiscovery: Disabled}, others: {tailspin: Free}}"


def plan_for(*world: str, live: bool = True, notes: tuple[str, ...] = ()) -> Planned:
    """What is planned for a world of `tests.unit.reconcile.builder`."""
    seen = snapshot(*world)
    subject = Subject(seen.connector, seen.organizations, live={} if live else None)
    return planned(subject, Observation(seen, notes), NOW)


def deletion_of(*world: str) -> Planned:
    seen = snapshot(*world)
    subject = going(Subject(seen.connector, seen.organizations, live={}), NOW)
    return planned(subject, Observation(replace(seen, connector=subject.connector)), NOW)


def test_where_azure_agrees_nothing_would_change() -> None:
    made = plan_for()
    assert (made.key, made.steps, made.notes, made.refused) == ("security/contoso", (), (), None)
    assert made.summary() == "Nothing would change in Azure."


def test_tags_are_told_before_and_after() -> None:
    (step,) = plan_for("azure: {tags: {team: blue}}", "spec: {azure: {tags: {team: red, cost: '7'}}}").steps
    assert step.changes == (Change("tags.cost", None, "7"), Change("tags.team", "blue", "red"))


def test_a_tag_that_leaves_the_manifest_goes() -> None:
    (step,) = plan_for("azure: {tags: {team: blue}}", "status: {azure: {managedTagKeys: [team]}}").steps
    assert step.changes == (Change("tags.team", "blue", None),)


def test_the_mark_of_a_resource_that_is_not_there_yet_is_not_made_up() -> None:
    (step,) = plan_for("azure: {owner: nobody}", live=False).steps
    assert Change("tags.defender-devops-owner", None, "(the new resource)") in step.changes


def test_organizations_come_in_and_go_out() -> None:
    (step,) = plan_for(SELECTED, LISTED).steps
    assert (step.sign, step.changes) == (
        "~",
        (Change("organizations.fabrikam", "onboarded", None), Change("organizations.tailspin", None, "onboarded")),
    )


def test_auto_discovery_is_told_before_and_after() -> None:
    (step,) = plan_for(
        "spec: {organizations: {mode: AllAndFuture}}", "azure: {configuration: {autoDiscovery: Disabled}}"
    ).steps
    assert step.changes == (Change("autoDiscovery", "Disabled", "Enabled"),)


def test_annotations_are_told_before_and_after() -> None:
    annotated = "azure: {organizations: {contoso: {annotations: High}}}"
    steps = plan_for("spec: {pullRequestAnnotations: {mode: Enabled, minimumSeverity: Low}}", annotated).steps
    assert [step.changes for step in steps] == [
        (Change("actionableRemediation", "on, from High up", "on, from Low up"),),
        (Change("actionableRemediation", "off", "on, from Low up"),),
    ]


def test_scanning_is_told_with_its_scope() -> None:
    scope = "agentlessScanning: {mode: Enabled, scope: [{organization: contoso, project: legacy}]}"
    (step,) = plan_for(f"spec: {{{scope}}}").steps
    assert step.changes == (Change("agentlessConfiguration", None, "on, all but contoso/legacy"),)


def test_a_connector_that_is_made_is_told_with_everything_below_it() -> None:
    made = plan_for(CODE, "azure: null", "code: new", live=False)
    assert [(step.sign, step.sentence.split(" (")[0]) for step in made.steps] == [
        ("+", "create the connector contoso in westeurope"),
        ("~", "authorize Defender for Cloud with the one-time code"),
    ]
    assert Change("autoDiscovery", None, "Enabled") in made.steps[1].changes
    assert Change("organizations", None, "all that the authorizing account sees") in made.steps[1].changes
    assert "More may follow once Azure is done and Defender has told what it finds." in made.notes


def test_a_connector_that_only_a_person_can_make_says_so() -> None:
    made = plan_for("azure: null", FRESH)
    assert made.steps == ()
    assert any("Create and authorize it in the Defender portal" in each for each in made.notes)


def test_somebody_else_s_connector_is_refused_in_the_operator_s_words() -> None:
    made = plan_for("azure: {owner: another}", "status: {azure: null}")
    assert made.steps == ()
    assert made.refused is not None
    assert "set spec.adoptionPolicy to Always" in made.refused
    assert made.summary() == "Refused: nothing would be changed."


def test_with_observe_the_differences_are_shown_and_not_made() -> None:
    made = plan_for(OBSERVE, SELECTED, LISTED)
    assert len(made.steps) == 1
    assert "managementPolicy is Observe: a difference is reported, and nothing is changed." in made.notes


def test_for_a_suspended_connector_what_resuming_would_do_is_shown() -> None:
    made = plan_for("spec: {suspend: true}", SELECTED, LISTED)
    assert len(made.steps) == 1
    assert "spec.suspend is true: nothing of it is done until the connector is resumed." in made.notes


def test_a_lost_authorization_is_told_with_its_cure() -> None:
    made = plan_for("azure: {available: none}", "status: {discovery: {organizations: {available: 2}}}")
    assert any("authorize again" in each for each in made.notes)


def test_what_was_assumed_is_handed_on() -> None:
    assert plan_for(notes=("Planned as if.",)).notes == ("Planned as if.",)


def test_resources_in_the_cluster_are_told_apart_from_azure() -> None:
    made = plan_for("resources: null")
    assert made.steps == ()
    assert made.resources == (
        "create DevOpsOrganization contoso-contoso",
        "create DevOpsOrganization contoso-fabrikam",
    )


def test_a_document_has_all_that_is_printed() -> None:
    document = plan_for(SELECTED, LISTED).document()
    assert document["connector"] == "security/contoso"
    assert document["steps"][0]["changes"][0] == {
        "field": "organizations.fabrikam",
        "before": "onboarded",
        "after": None,
    }


DELETIONS = [
    ((), "~", "take the owner's tags off the connector", "goes on working"),
    (("spec: {deletionPolicy: Delete}",), "-", "delete the connector contoso in Azure", "no machine can bring it back"),
]


@pytest.mark.parametrize(("world", "sign", "sentence", "words"), DELETIONS)
def test_deletion_is_planned_with_what_becomes_of_azure(
    world: tuple[str, ...], sign: str, sentence: str, words: str
) -> None:
    made = deletion_of(*world)
    assert [(step.sign, step.sentence) for step in made.steps] == [(sign, sentence)]
    assert any(words in each for each in made.notes)


def test_deleting_what_is_only_observed_leaves_azure_alone() -> None:
    made = deletion_of(OBSERVE)
    assert made.steps == ()
    assert any("left alone" in each for each in made.notes)


def manifests(*bodies: dict[str, object]) -> Manifests:
    found = [Manifest("file.yaml", merge(body, {"metadata": {"namespace": "security"}})) for body in bodies]
    return Manifests(
        tuple(each for each in found if each.kind == "AzureDevOpsConnector"),
        tuple(each for each in found if each.kind == "DevOpsOrganization"),
    )


def in_cluster(*bodies: dict[str, object]) -> Surroundings:
    """What the cluster knows of resources that were applied."""
    live = [merge(body, {"metadata": {"namespace": "security", "uid": UID, "generation": 1}}) for body in bodies]
    by_kind = {
        kind: {("security", each["metadata"]["name"]): each for each in live if each["kind"] == kind}
        for kind in ("AzureDevOpsConnector", "DevOpsOrganization")
    }
    return Surroundings(by_kind["AzureDevOpsConnector"], by_kind["DevOpsOrganization"], "cluster-1", sees_all=True)


def test_a_new_resource_is_planned_with_a_uid_to_stand_for_its_own() -> None:
    (subject,) = subjects(manifests(connector()), Surroundings())
    assert uuid.UUID(subject.connector.metadata.uid)
    assert (subject.key, subject.live) == ("security/contoso", None)


def test_a_known_resource_keeps_its_uid_and_status_and_gets_the_manifest_s_spec() -> None:
    live = connector() | {"status": {"azure": {"created": True}}}
    (subject,) = subjects(manifests(connector("azure: {tags: {a: b}}")), in_cluster(live))
    assert subject.connector.metadata.uid == UID
    assert subject.connector.status.azure is not None
    assert subject.connector.status.azure.created
    assert subject.connector.spec.azure.tags == {"a": "b"}


def test_organizations_of_the_cluster_count_and_the_manifest_s_take_their_place() -> None:
    around = in_cluster(connector(), organization(), organization("organization: tailspin", name="other"))
    (subject,) = subjects(manifests(connector(), organization("onboarding: Excluded")), around)
    decided = {each.spec.organization: each.spec.onboarding for each in subject.organizations}
    assert decided == {"fabrikam": "Excluded", "tailspin": None}


def test_an_organization_alone_is_planned_with_the_connector_in_the_cluster() -> None:
    (subject,) = subjects(manifests(organization("onboarding: Excluded")), in_cluster(connector()))
    assert subject.key == "security/contoso"
    assert subject.manifest is None
    assert [each.spec.organization for each in subject.organizations] == ["fabrikam"]


def test_an_organization_whose_connector_is_nowhere_is_refused() -> None:
    with pytest.raises(CommandFailed, match=r"file.yaml: spec.connectorRef.name: there is no connector contoso"):
        subjects(manifests(organization()), Surroundings())


def test_organizations_of_another_connector_or_namespace_do_not_count() -> None:
    around = in_cluster(connector(), organization("connectorRef: {name: other}", name="one"))
    elsewhere = dict(around.organizations) | {
        ("other", "two"): merge(organization(name="two"), {"metadata": {"namespace": "other"}})
    }
    (subject,) = subjects(manifests(connector()), replace(around, organizations=elsewhere))
    assert subject.organizations == ()


def test_who_lives_is_known_only_where_all_namespaces_were_seen() -> None:
    assert in_cluster(connector()).existing_owner_uids == frozenset({UID})
    assert replace(in_cluster(connector()), sees_all=False).existing_owner_uids is None


def test_the_examples_are_planned_without_a_cluster() -> None:
    found = subjects(read_manifests([Path(__file__).parents[3] / "examples"], "default"), Surroundings())
    assert [subject.key for subject in found] == ["security/adventure-works", "security/contoso", "security/northwind"]
    assert [each.spec.organization for each in found[0].organizations] == ["tailspin"]
