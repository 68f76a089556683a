"""DevOpsOrganizations, generated and declared, under the hands of those who apply manifests."""

from __future__ import annotations

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.appliers import APPLIERS, Applier, ArgoCd, Flux
from tests.support.scenarios.scenario import KIND, ORGANIZATION, Scene, message

LABELS = {"defender-devops.io/generated", "defender-devops.io/connector"}

appliers = pytest.mark.parametrize("applier", APPLIERS, ids=lambda applier: applier.__name__)
pruners = pytest.mark.parametrize("applier", [ArgoCd, Flux], ids=lambda applier: applier.__name__)


def is_generated(body: Manifest) -> bool:
    """Whether the operator holds it for its own, in every way in which it says so."""
    metadata = body["metadata"]
    labelled, owned = metadata.get("labels", {}).keys() >= LABELS, bool(metadata.get("ownerReferences"))
    assert labelled == owned, metadata
    return owned


def version(scene: Scene, name: str) -> str:
    """The resourceVersion of an organization's resource."""
    found = scene.kube.get(ORGANIZATION, name, scene.namespace)
    assert found is not None
    return str(found["metadata"]["resourceVersion"])


def all_names(scene: Scene) -> set[str]:
    """Names of all resources of organizations."""
    return {each["metadata"]["name"] for each in scene.kube.list_all(ORGANIZATION, scene.namespace)}


def test_generated_ones_say_which_organization_and_decide_nothing(scene: Scene) -> None:
    ready = scene.ready()
    for name, body in scene.organizations().items():
        assert body["spec"] == {"connectorRef": {"name": "contoso"}, "organization": name}
        assert is_generated(body)
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["blockOwnerDeletion"]) == (ready["metadata"]["uid"], False)
        assert "finalizers" not in body["metadata"]


@appliers
@pytest.mark.parametrize("name", ["contoso-fabrikam", "somebodys-own-name"])
def test_a_decision_in_git_is_carried_out_and_becomes_its_owners(
    scene: Scene, applier: type[Applier], name: str
) -> None:
    scene.ready()
    git = applier(scene.kube)
    manifest = scene.organization_manifest("FABRIKAM", name=name, onboarding="Excluded")
    if name == "contoso-fabrikam":
        manifest["spec"]["organization"] = "fabrikam"  # the organization of a resource cannot change, nor its case
    git.sync(manifest)
    scene.wait_organization(name, "Ready", "True", "Excluded")
    scene.wait_onboarded("contoso")
    scene.wait("Ready", "True")
    assert all_names(scene) == {"contoso-contoso", name}
    assert not is_generated(scene.kube.get(ORGANIZATION, name, scene.namespace) or {})
    before = version(scene, name)
    for _ in range(2):
        scene.wait_request("AzureDevOpsOrgs_ListAvailable")
        git.sync(manifest)
    assert version(scene, name) == before


@pruners
def test_a_generated_one_that_was_copied_into_git_with_its_labels_is_not_fought_over(
    scene: Scene, applier: type[Applier]
) -> None:
    scene.ready()
    git = applier(scene.kube)
    manifest = scene.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Onboarded")
    manifest["metadata"]["labels"] = dict(scene.organizations()["fabrikam"]["metadata"]["labels"])
    for _ in range(2):
        git.sync(manifest)
        scene.kube.wait(
            ORGANIZATION,
            "contoso-fabrikam",
            scene.namespace,
            until=lambda body: not body["metadata"].get("ownerReferences"),
        )
        scene.wait_request("Resources_Query")
    git.sync(manifest)
    scene.look()
    copied = scene.kube.get(ORGANIZATION, "contoso-fabrikam", scene.namespace)
    assert copied is not None
    assert copied["metadata"]["labels"].keys() >= LABELS
    assert not copied["metadata"].get("ownerReferences")


@pruners
def test_what_a_tool_tracks_is_let_go_even_without_a_decision(scene: Scene, applier: type[Applier]) -> None:
    scene.ready()
    git = applier(scene.kube)
    git.sync(scene.organization_manifest("fabrikam", name="contoso-fabrikam"))
    scene.kube.wait(ORGANIZATION, "contoso-fabrikam", scene.namespace, until=lambda body: not is_generated(body))
    assert scene.onboarded() == {"contoso", "fabrikam"}


@pruners
def test_what_leaves_git_is_pruned_and_then_generated_again(scene: Scene, applier: type[Applier]) -> None:
    scene.ready()
    git = applier(scene.kube)
    git.sync(scene.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Excluded"))
    scene.wait_onboarded("contoso")
    scene.kube.wait(ORGANIZATION, "contoso-fabrikam", scene.namespace, until=lambda body: not is_generated(body))
    git.sync()
    scene.wait_onboarded("contoso", "fabrikam")
    scene.kube.wait(ORGANIZATION, "contoso-fabrikam", scene.namespace, until=is_generated)
    scene.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    git.sync()
    assert all_names(scene) == {"contoso-contoso", "contoso-fabrikam"}


@appliers
@pytest.mark.parametrize("propagation", ["Foreground", "Background", "Orphan"])
def test_a_declared_one_outlives_its_connector(scene: Scene, applier: type[Applier], propagation: str) -> None:
    scene.ready()
    applier(scene.kube).sync(
        scene.organization_manifest("fabrikam", name="contoso-fabrikam", pullRequestAnnotations={"mode": "Disabled"})
    )
    scene.kube.wait(ORGANIZATION, "contoso-fabrikam", scene.namespace, until=lambda body: not is_generated(body))
    scene.kube.delete(KIND, "contoso", scene.namespace, propagation=propagation)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    if propagation != "Orphan":
        scene.kube.wait_gone(ORGANIZATION, "contoso-contoso", scene.namespace)
    left = scene.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert "contoso" in message(left, "Ready")
    assert scene.control.world()["connectors"] == []


def test_a_decision_made_a_moment_before_the_connector_goes_is_not_garbage_collected(scene: Scene) -> None:
    scene.ready()
    scene.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(ORGANIZATION, "contoso-contoso", scene.namespace)
    left = scene.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert not is_generated(left)


def test_a_decision_made_while_the_connector_is_suspended_is_not_garbage_collected(scene: Scene) -> None:
    scene.ready()
    scene.apply(scene.manifest(suspend=True))
    scene.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(ORGANIZATION, "contoso-contoso", scene.namespace)
    left = scene.wait_organization("contoso-fabrikam", "Ready", "False", "ConnectorNotFound")
    assert not is_generated(left)


def test_a_declared_one_waits_for_its_connector(scene: Scene) -> None:
    scene.declare("tailspin", onboarding="Onboarded")
    early = scene.wait_organization("tailspin", "Ready", "False", "ConnectorNotFound")
    assert condition(early, "Stalled") == {}
    scene.ready()
    scene.wait_onboarded("contoso", "fabrikam", "tailspin")
    scene.wait_organization("tailspin", "Ready", "True", "Onboarded")
    assert all_names(scene) == {"contoso-contoso", "contoso-fabrikam", "tailspin"}


def test_of_two_declared_ones_the_older_decides_and_the_other_says_conflict(scene: Scene) -> None:
    scene.declare("fabrikam", name="older", onboarding="Excluded")
    scene.wait_organization("older", "Ready", "False", "ConnectorNotFound")
    until_second = scene.kube.get(ORGANIZATION, "older", scene.namespace) or {}
    scene.declare("Fabrikam", name="younger", onboarding="Onboarded")
    scene.ready()
    first, second = ("older", "younger") if _is_older(scene, until_second, "younger") else ("younger", "older")
    scene.wait_organization(first, "Ready", "True", {"older": "Excluded", "younger": "Onboarded"}[first])
    lost = scene.wait_organization(second, "Ready", "False", "Conflict")
    assert first in message(lost, "Ready")
    assert condition(lost, "Stalled")["status"] == "True"
    scene.kube.delete(ORGANIZATION, first, scene.namespace)
    scene.wait_organization(second, "Ready", "True")
    assert all_names(scene) == {"contoso-contoso", second}


def test_somebodys_labels_and_owners_stay_where_ours_go(scene: Scene) -> None:
    scene.ready()
    owner = scene.kube.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-a-team", "namespace": scene.namespace}}
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "of-a-team", "uid": owner["metadata"]["uid"]}
    manifest = scene.organization_manifest("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    manifest["metadata"] |= {"labels": {"team": "blue"}, "ownerReferences": [reference]}
    scene.apply(manifest)
    released = scene.wait_organization("contoso-fabrikam", "Ready", "True", "Excluded")
    assert released["metadata"]["labels"] == {"team": "blue"}
    assert [each["uid"] for each in released["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]


def test_a_decision_that_is_taken_back_leaves_the_resource_to_its_owner(scene: Scene) -> None:
    scene.ready()
    scene.declare("fabrikam", name="contoso-fabrikam", onboarding="Excluded")
    scene.wait_onboarded("contoso")
    scene.declare("fabrikam", name="contoso-fabrikam")
    scene.wait_onboarded("contoso", "fabrikam")
    undecided = scene.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    assert not is_generated(undecided)


def test_a_generated_one_that_somebody_deletes_comes_back(scene: Scene) -> None:
    scene.ready()
    gone = scene.organizations()["fabrikam"]["metadata"]["uid"]
    scene.kube.delete(ORGANIZATION, "contoso-fabrikam", scene.namespace)
    scene.kube.wait(
        ORGANIZATION, "contoso-fabrikam", scene.namespace, until=lambda body: body["metadata"]["uid"] != gone
    )
    scene.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")


def test_a_name_that_is_taken_is_stepped_around(scene: Scene) -> None:
    scene.declare("tailspin", name="contoso-fabrikam", onboarding="Excluded")
    scene.ready()
    body = scene.organizations()["fabrikam"]
    assert body["metadata"]["name"].startswith("contoso-fabrikam-")
    assert is_generated(body)


def test_an_organization_of_a_connector_beside_it_is_told_by_the_connectors_id(scene: Scene) -> None:
    holder = scene.ready("first", organizations={"names": ["fabrikam"]})
    scene.new_code("another-code")
    own_code = {"codeSecretRef": {"name": "another-code", "key": "code"}}
    scene.apply(scene.manifest("second", organizations={"names": ["fabrikam"]}, authorization=own_code))
    stalled = scene.wait("Ready", "False", "OrganizationConflict", name="second")
    assert condition(stalled, "Stalled")["status"] == "True"
    held = scene.wait_organization("second-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert held["status"]["conflictingConnector"].lower() == holder["status"]["connectorId"].lower()
    assert held["status"]["onboardingState"] == "OnboardedByOtherConnector"
    assert held["status"]["conflictingConnector"] in message(held, "Ready")
    scene.kube.delete(KIND, "first", scene.namespace)
    freed = scene.wait_organization("second-fabrikam", "Ready", "True", "Onboarded")
    assert "conflictingConnector" not in freed["status"]
    scene.wait("Ready", "True", name="second")


def test_an_organization_of_another_namespaces_connector_is_told_without_a_name(scene: Scene, neighbour: Scene) -> None:
    neighbour.ready("theirs", organizations={"names": ["fabrikam"]})
    scene.new_code()
    scene.apply(scene.manifest("ours"))
    held = scene.wait_organization("ours-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert held["status"]["conflictingConnector"] == "another connector of this cluster"
    conflict = scene.wait("OrganizationsAvailable", "False", "OrganizationConflict", name="ours")
    for body in (held, conflict):
        assert "theirs" not in str(body["status"])
        assert neighbour.namespace not in str(body["status"])


def test_an_organization_of_a_connector_that_only_azure_knows_is_told_by_its_id(scene: Scene) -> None:
    elsewhere = scene.in_portal("elsewhere", organizations=["fabrikam"])
    scene.new_code()
    scene.apply(scene.manifest())
    held = scene.wait_organization("contoso-fabrikam", "Ready", "False", "HeldByOtherConnector")
    assert held["status"]["conflictingConnector"].lower() == elsewhere.lower()
    scene.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")


def _is_older(scene: Scene, first: Manifest, second: str) -> bool:
    """Whether it is older to the second, which is all that a creationTimestamp tells; else the uid decides."""
    other = scene.kube.get(ORGANIZATION, second, scene.namespace) or {}
    ages = [(each["metadata"]["creationTimestamp"], each["metadata"]["uid"]) for each in (first, other)]
    return ages[0] < ages[1]
