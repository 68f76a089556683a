"""DevOpsOrganizations, generated and declared, under the hands of those who apply manifests."""

from __future__ import annotations

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.appliers import APPLIERS, Applier, ArgoCd, Flux
from tests.support.scenarios.scenario import KIND, ORGANIZATION, Scenario, message

LABELS = {"defender-devops.io/generated", "defender-devops.io/connector"}

appliers = pytest.mark.parametrize("applier", APPLIERS, ids=lambda applier: applier.__name__)
pruners = pytest.mark.parametrize("applier", [ArgoCd, Flux], ids=lambda applier: applier.__name__)


def is_generated(body: Manifest) -> bool:
    """Whether the operator holds it for its own, in every way in which it says so."""
    metadata = body["metadata"]
    labelled, owned = metadata.get("labels", {}).keys() >= LABELS, bool(metadata.get("ownerReferences"))
    assert labelled == owned, metadata
    return owned


def version(scenario: Scenario, name: str) -> str:
    """The resourceVersion of an organization's resource."""
    organization = scenario.kube.get(ORGANIZATION, name, scenario.namespace)
    assert organization is not None
    return str(organization["metadata"]["resourceVersion"])


def all_names(scenario: Scenario) -> set[str]:
    """Names of all resources of organizations."""
    return {
        organization["metadata"]["name"] for organization in scenario.kube.list_all(ORGANIZATION, scenario.namespace)
    }


def test_generated_ones_say_which_organization_and_decide_nothing(scenario: Scenario) -> None:
    ready = scenario.ready()
    for name, body in scenario.organizations().items():
        assert body["spec"] == {"connectorRef": {"name": "contoso"}, "organization": name}
        assert is_generated(body)
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["blockOwnerDeletion"]) == (ready["metadata"]["uid"], False)
        assert "finalizers" not in body["metadata"]


@appliers
@pytest.mark.parametrize("name", ["contoso-fabrikam", "somebodys-own-name"])
def test_a_decision_in_git_is_carried_out_and_becomes_its_owners(
    scenario: Scenario, applier: type[Applier], name: str
) -> None:
    scenario.ready()
    git = applier(scenario.kube)
    manifest = scenario.organization_manifest("FABRIKAM", name=name, onboarding="Excluded")
    if name == "contoso-fabrikam":
        manifest["spec"]["organization"] = "fabrikam"  # the organization of a resource cannot change, nor its case
    git.sync(manifest)
    scenario.wait_organization(name, "Ready", "True", "Excluded")
    scenario.wait_onboarded("contoso")
    scenario.wait("Ready", "True")
    assert all_names(scenario) == {"contoso-contoso", name}
    assert not is_generated(scenario.kube.get(ORGANIZATION, name, scenario.namespace) or {})
    previous_version = version(scenario, name)
    for _ in range(2):
        scenario.wait_request("AzureDevOpsOrgs_ListAvailable")
        git.sync(manifest)
    assert version(scenario, name) == previous_version


@pruners
def test_a_generated_one_that_was_copied_into_git_with_its_labels_is_not_fought_over(
    scenario: Scenario, applier: type[Applier]
) -> None:
    scenario.ready()
    git = applier(scenario.kube)
    manifest = scenario.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Onboarded")
    manifest["metadata"]["labels"] = dict(scenario.organizations()["fabrikam"]["metadata"]["labels"])
    for _ in range(2):
        git.sync(manifest)
        scenario.kube.wait(
            ORGANIZATION,
            "contoso-fabrikam",
            scenario.namespace,
            until=lambda body: not body["metadata"].get("ownerReferences"),
        )
        scenario.wait_request("Resources_Query")
    git.sync(manifest)
    scenario.wait_observed()
    copied = scenario.kube.get(ORGANIZATION, "contoso-fabrikam", scenario.namespace)
    assert copied is not None
    assert copied["metadata"]["labels"].keys() >= LABELS
    assert not copied["metadata"].get("ownerReferences")


@pruners
def test_what_a_tool_tracks_is_let_go_even_without_a_decision(scenario: Scenario, applier: type[Applier]) -> None:
    scenario.ready()
    git = applier(scenario.kube)
    git.sync(scenario.organization_manifest("fabrikam", name="contoso-fabrikam"))
    scenario.kube.wait(ORGANIZATION, "contoso-fabrikam", scenario.namespace, until=lambda body: not is_generated(body))
    assert scenario.onboarded() == {"contoso", "fabrikam"}


@pruners
def test_what_leaves_git_is_pruned_and_then_generated_again(scenario: Scenario, applier: type[Applier]) -> None:
    scenario.ready()
    git = applier(scenario.kube)
    git.sync(scenario.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Excluded"))
    scenario.wait_onboarded("contoso")
    scenario.kube.wait(ORGANIZATION, "contoso-fabrikam", scenario.namespace, until=lambda body: not is_generated(body))
    git.sync()
    scenario.wait_onboarded("contoso", "fabrikam")
    scenario.kube.wait(ORGANIZATION, "contoso-fabrikam", scenario.namespace, until=is_generated)
    scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    git.sync()
    assert all_names(scenario) == {"contoso-contoso", "contoso-fabrikam"}


@appliers
@pytest.mark.parametrize("propagation", ["Foreground", "Background", "Orphan"])
def test_a_declared_one_outlives_its_connector(scenario: Scenario, applier: type[Applier], propagation: str) -> None:
    scenario.ready()
    applier(scenario.kube).sync(
        scenario.organization_manifest("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Disabled"})
    )
    scenario.kube.wait(ORGANIZATION, "contoso-fabrikam", scenario.namespace, until=lambda body: not is_generated(body))
    scenario.kube.delete(KIND, "contoso", scenario.namespace, propagation=propagation)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    if propagation != "Orphan":
        scenario.kube.wait_deleted(ORGANIZATION, "contoso-contoso", scenario.namespace)
    organization = scenario.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert "contoso" in message(organization, "Ready")
    assert scenario.control.world()["connectors"] == []


def test_a_decision_made_a_moment_before_the_connector_goes_is_not_garbage_collected(scenario: Scenario) -> None:
    scenario.ready()
    scenario.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(ORGANIZATION, "contoso-contoso", scenario.namespace)
    organization = scenario.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert not is_generated(organization)


def test_a_decision_made_while_the_connector_is_suspended_is_not_garbage_collected(scenario: Scenario) -> None:
    scenario.ready()
    scenario.apply(scenario.manifest(suspend=True))
    scenario.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(ORGANIZATION, "contoso-contoso", scenario.namespace)
    organization = scenario.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert not is_generated(organization)


def test_a_declared_one_waits_for_its_connector(scenario: Scenario) -> None:
    scenario.declare("tailspin", onboarding="Onboarded")
    early = scenario.wait_organization("tailspin", "Ready", "False", "ConnectorNotFound")
    assert condition(early, "Stalled") == {}
    scenario.ready()
    scenario.wait_onboarded("contoso", "fabrikam", "tailspin")
    scenario.wait_organization("tailspin", "Ready", "True", "Onboarded")
    assert all_names(scenario) == {"contoso-contoso", "contoso-fabrikam", "tailspin"}


def test_of_two_declared_ones_the_older_decides_and_the_other_says_conflict(scenario: Scenario) -> None:
    scenario.declare("fabrikam", name="older", onboarding="Excluded")
    scenario.wait_organization("older", "Ready", "False", "ConnectorNotFound")
    until_second = scenario.kube.get(ORGANIZATION, "older", scenario.namespace) or {}
    scenario.declare("Fabrikam", name="younger", onboarding="Onboarded")
    scenario.ready()
    first, second = ("older", "younger") if _is_older(scenario, until_second, "younger") else ("younger", "older")
    scenario.wait_organization(first, "Ready", "True", {"older": "Excluded", "younger": "Onboarded"}[first])
    conflict = scenario.wait_organization(second, "Ready", "False", "Conflict")
    assert first in message(conflict, "Ready")
    assert condition(conflict, "Stalled")["status"] == "True"
    scenario.kube.delete(ORGANIZATION, first, scenario.namespace)
    scenario.wait_organization(second, "Ready", "True")
    assert all_names(scenario) == {"contoso-contoso", second}


def test_somebodys_labels_and_owners_stay_where_ours_go(scenario: Scenario) -> None:
    scenario.ready()
    owner = scenario.kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-a-team", "namespace": scenario.namespace}}
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "of-a-team", "uid": owner["metadata"]["uid"]}
    manifest = scenario.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    manifest["metadata"] |= {"labels": {"team": "blue"}, "ownerReferences": [reference]}
    scenario.apply(manifest)
    released = scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Excluded")
    assert released["metadata"]["labels"] == {"team": "blue"}
    assert [reference["uid"] for reference in released["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]


def test_a_decision_that_is_taken_back_leaves_the_resource_to_its_owner(scenario: Scenario) -> None:
    scenario.ready()
    scenario.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scenario.wait_onboarded("contoso")
    scenario.declare("fabrikam", name="contoso-fabrikam")
    scenario.wait_onboarded("contoso", "fabrikam")
    undecided = scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    assert not is_generated(undecided)


def test_a_generated_one_that_somebody_deletes_comes_back(scenario: Scenario) -> None:
    scenario.ready()
    deleted_uid = scenario.organizations()["fabrikam"]["metadata"]["uid"]
    scenario.kube.delete(ORGANIZATION, "contoso-fabrikam", scenario.namespace)
    scenario.kube.wait(
        ORGANIZATION, "contoso-fabrikam", scenario.namespace, until=lambda body: body["metadata"]["uid"] != deleted_uid
    )
    scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")


def test_a_name_that_is_taken_is_stepped_around(scenario: Scenario) -> None:
    scenario.declare("tailspin", name="contoso-fabrikam", onboarding="Excluded")
    scenario.ready()
    body = scenario.organizations()["fabrikam"]
    assert body["metadata"]["name"].startswith("contoso-fabrikam-")
    assert is_generated(body)


def test_an_organization_of_a_connector_beside_it_is_told_by_the_connectors_id(scenario: Scenario) -> None:
    holder = scenario.ready("first", organizations={"names": ["fabrikam"]})
    scenario.new_code("another-code")
    own_code = {"codeSecretRef": {"name": "another-code", "key": "code"}}
    scenario.apply(scenario.manifest("second", organizations={"names": ["fabrikam"]}, authorization=own_code))
    stalled = scenario.wait("Ready", "False", "OrganizationConflict", name="second")
    assert condition(stalled, "Stalled")["status"] == "True"
    unavailable = scenario.wait_organization("second-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert unavailable["status"]["conflictingConnector"].lower() == holder["status"]["connectorId"].lower()
    assert unavailable["status"]["onboardingState"] == "OnboardedByOtherConnector"
    assert unavailable["status"]["conflictingConnector"] in message(unavailable, "Ready")
    scenario.kube.delete(KIND, "first", scenario.namespace)
    freed = scenario.wait_organization("second-fabrikam", "Ready", "True", "Onboarded")
    assert "conflictingConnector" not in freed["status"]
    scenario.wait("Ready", "True", name="second")


def test_an_organization_of_another_namespaces_connector_is_told_without_a_name(
    scenario: Scenario, neighbour: Scenario
) -> None:
    neighbour.ready("theirs", organizations={"names": ["fabrikam"]})
    scenario.new_code()
    scenario.apply(scenario.manifest("ours"))
    unavailable = scenario.wait_organization("ours-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert unavailable["status"]["conflictingConnector"] == "another connector of this cluster"
    conflict = scenario.wait("OrganizationsAvailable", "False", "OrganizationConflict", name="ours")
    for body in (unavailable, conflict):
        assert "theirs" not in str(body["status"])
        assert neighbour.namespace not in str(body["status"])


def test_an_organization_of_a_connector_that_only_azure_knows_is_told_by_its_id(scenario: Scenario) -> None:
    elsewhere = scenario.in_portal("elsewhere", organizations=["fabrikam"])
    scenario.new_code()
    scenario.apply(scenario.manifest())
    unavailable = scenario.wait_organization("contoso-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert unavailable["status"]["conflictingConnector"].lower() == elsewhere.lower()
    scenario.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")


def _is_older(scenario: Scenario, first: Manifest, second: str) -> bool:
    """Whether it is older; a creationTimestamp has whole seconds, and of two in one second the uid decides."""
    other = scenario.kube.get(ORGANIZATION, second, scenario.namespace) or {}
    ages = [(body["metadata"]["creationTimestamp"], body["metadata"]["uid"]) for body in (first, other)]
    return ages[0] < ages[1]
