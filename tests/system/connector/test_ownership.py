"""Whose a connector in Azure is: adoption, taking over, and no tug-of-war."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import KIND, Scene, message

OWNER, RESOURCE = "defender-devops-owner", "defender-devops-resource"
ADOPT: dict[str, Any] = {"authorization": {"method": "Adopt", "codeSecretRef": None}}
THEIRS = {OWNER: "another-cluster/another-uid", RESOURCE: "there/theirs"}


def owner(scene: Scene) -> str:
    """What the owner's tag says."""
    azure = scene.in_azure()
    assert azure is not None
    return str(azure["tags"].get(OWNER, ""))


def test_what_is_made_here_says_whose_it_is(scene: Scene) -> None:
    ready = scene.ready()
    azure = scene.in_azure()
    assert azure is not None
    cluster, uid = azure["tags"][OWNER].split("/")
    system = scene.kube.get("Namespace", "kube-system")
    assert system is not None
    assert (cluster, uid) == (system["metadata"]["uid"], ready["metadata"]["uid"])
    assert azure["tags"][RESOURCE] == f"{scene.namespace}/contoso"


def test_a_connector_of_nobody_is_adopted_with_its_own_tags(scene: Scene) -> None:
    scene.in_portal(tags={"cost-center": "4711"}, organizations=["contoso", "fabrikam"])
    scene.apply(scene.manifest(**ADOPT))
    adopted = scene.wait("Ready", "True")
    azure = scene.in_azure()
    assert azure is not None
    assert azure["tags"].keys() == {"cost-center", OWNER, RESOURCE}
    assert adopted["status"]["azure"]["created"] is False


def test_adopt_waits_for_a_person_to_make_the_connector(scene: Scene) -> None:
    scene.apply(scene.manifest(**ADOPT))
    waiting = scene.wait("Provisioned", "False", "ConnectorNotFound")
    assert "Defender portal" in message(waiting, "Ready")
    assert condition(waiting, "Reconciling")["status"] == "True"
    scene.in_portal()
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "fabrikam")


def test_a_connector_found_where_a_code_lies_ready_keeps_its_authorization(scene: Scene) -> None:
    scene.in_portal(organizations=["contoso", "fabrikam"])
    since = scene.control.last()
    scene.ready()
    assert scene.writes(since) == ["SecurityConnectors_Update"]
    scene.new_code()
    scene.wait_until(lambda body: len(body["status"]["authorization"].get("spentCodeHashes") or []) == 1)
    scene.wait("Ready", "True")
    assert scene.writes(since) == ["SecurityConnectors_Update", "DevOpsConfigurations_CreateOrUpdate"]


def test_always_takes_over_once_and_gives_way_when_it_is_taken_back(scene: Scene) -> None:
    scene.in_portal(tags=THEIRS, organizations=["contoso", "fabrikam"])
    scene.apply(scene.manifest(**ADOPT, adoptionPolicy="Always"))
    ready = scene.wait("Ready", "True")
    assert owner(scene).endswith(ready["metadata"]["uid"])
    since = scene.control.last()
    scene.change_in_portal(tags=THEIRS)
    lost = scene.wait("Provisioned", "False", "OwnershipLost")
    assert "there/theirs" in message(lost, "Provisioned")
    assert condition(lost, "Stalled")["reason"] == "OwnershipLost"
    assert condition(lost, "ReauthRequired")["status"] == "False"
    scene.wait_request("Resources_Query", times=2)
    assert scene.writes(since) == []
    scene.change_in_portal(removeTags=[OWNER, RESOURCE])
    scene.wait("Ready", "True")
    assert owner(scene).endswith(ready["metadata"]["uid"])


def test_of_two_resources_for_one_connector_the_second_stands_back(scene: Scene) -> None:
    first = scene.ready()
    manifest = scene.manifest("second", azure={"connectorName": "contoso"})
    since = scene.control.last()
    scene.apply(manifest)
    told = scene.wait("Provisioned", "False", "NotAdopted", name="second")
    for part in (f"{scene.namespace}/contoso", "deletionPolicy Detach", "adoptionPolicy"):
        assert part in message(told, "Provisioned")
    scene.kube.delete(KIND, "second", scene.namespace)
    scene.kube.wait_gone(KIND, "second", scene.namespace)
    assert scene.writes(since) == []
    assert owner(scene).endswith(first["metadata"]["uid"])


def test_a_connector_is_handed_over_from_one_resource_to_another(scene: Scene) -> None:
    scene.ready()
    successor = scene.apply(scene.manifest("second", azure={"connectorName": "contoso"}))
    scene.wait("Provisioned", "False", "NotAdopted", name="second")
    scene.apply(scene.manifest(deletionPolicy="Detach"))
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    scene.wait("Ready", "True", name="second")
    assert owner(scene).endswith(successor["metadata"]["uid"])
    assert scene.onboarded() == {"contoso", "fabrikam"}


@pytest.mark.parametrize("state", [{"suspend": True}, {"managementPolicy": "Observe"}], ids=["suspended", "observed"])
def test_an_owner_that_no_longer_exists_counts_as_none(scene: Scene, state: dict[str, Any]) -> None:
    gone = scene.ready()
    scene.apply(scene.manifest(**state))
    scene.wait_until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"])
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    assert owner(scene).endswith(gone["metadata"]["uid"])  # nobody took the tags off
    scene.apply(scene.manifest())
    again = scene.wait("Ready", "True")
    assert owner(scene).endswith(again["metadata"]["uid"])
