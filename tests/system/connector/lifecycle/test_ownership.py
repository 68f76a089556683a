"""Whose a connector in Azure is: adoption, taking over, and no tug-of-war."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import KIND, Scenario, message, wait_for

OWNER, RESOURCE = "defender-devops-owner", "defender-devops-resource"
ADOPT: dict[str, Any] = {"authorization": {"method": "Adopt", "codeSecretRef": None}}
THEIRS = {OWNER: "another-cluster/another-uid", RESOURCE: "there/theirs"}


def owner(scenario: Scenario) -> str:
    """What the owner's tag says."""
    azure = scenario.in_azure()
    assert azure is not None
    return str(azure["tags"].get(OWNER, ""))


def test_what_is_made_here_says_whose_it_is(scenario: Scenario) -> None:
    ready = scenario.ready()
    azure = scenario.in_azure()
    assert azure is not None
    cluster, uid = azure["tags"][OWNER].split("/")
    system = scenario.kube.get("Namespace", "kube-system")
    assert system is not None
    assert (cluster, uid) == (system["metadata"]["uid"], ready["metadata"]["uid"])
    assert azure["tags"][RESOURCE] == f"{scenario.namespace}/contoso"


def test_a_connector_of_nobody_is_adopted_with_its_own_tags(scenario: Scenario) -> None:
    scenario.in_portal(tags={"cost-center": "4711"}, organizations=["contoso", "fabrikam"])
    scenario.apply(scenario.manifest(**ADOPT))
    adopted = scenario.wait("Ready", "True")
    azure = scenario.in_azure()
    assert azure is not None
    assert azure["tags"].keys() == {"cost-center", OWNER, RESOURCE}
    assert adopted["status"]["azure"]["created"] is False


def test_adopt_waits_for_a_person_to_make_the_connector(scenario: Scenario) -> None:
    scenario.apply(scenario.manifest(**ADOPT))
    waiting = scenario.wait("Provisioned", "False", "ConnectorNotFound")
    assert "Defender portal" in message(waiting, "Ready")
    assert condition(waiting, "Reconciling")["status"] == "True"
    scenario.in_portal()
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")


def test_a_connector_found_where_a_code_lies_ready_keeps_its_authorization(scenario: Scenario) -> None:
    scenario.in_portal(organizations=["contoso", "fabrikam"])
    since = scenario.control.last()
    scenario.ready()
    assert scenario.writes(since) == ["SecurityConnectors_Update"]
    scenario.new_code()
    scenario.wait_until(lambda body: len(body["status"]["authorization"].get("spentCodeHashes") or []) == 1)
    # The hash is written before the code is sent, and Ready was True all the time.
    wait_for(
        lambda: scenario.writes(since) == ["SecurityConnectors_Update", "DevOpsConfigurations_CreateOrUpdate"],
        "the code was not sent",
    )
    scenario.wait("Ready", "True")


def test_always_takes_over_once_and_gives_way_when_it_is_taken_back(scenario: Scenario) -> None:
    scenario.in_portal(tags=THEIRS, organizations=["contoso", "fabrikam"])
    scenario.apply(scenario.manifest(**ADOPT, adoptionPolicy="Always"))
    ready = scenario.wait("Ready", "True")
    assert owner(scenario).endswith(ready["metadata"]["uid"])
    since = scenario.control.last()
    scenario.change_in_portal(tags=THEIRS)
    connector = scenario.wait("Provisioned", "False", "OwnershipLost")
    assert "there/theirs" in message(connector, "Provisioned")
    assert condition(connector, "Stalled")["reason"] == "OwnershipLost"
    assert condition(connector, "ReauthRequired")["status"] == "False"
    scenario.wait_request("Resources_Query", times=2)
    assert scenario.writes(since) == []
    scenario.change_in_portal(removeTags=[OWNER, RESOURCE])
    scenario.wait("Ready", "True")
    assert owner(scenario).endswith(ready["metadata"]["uid"])


def test_of_two_resources_for_one_connector_the_second_stands_back(scenario: Scenario) -> None:
    first = scenario.ready()
    manifest = scenario.manifest("second", azure={"connectorName": "contoso"})
    since = scenario.control.last()
    scenario.apply(manifest)
    connector = scenario.wait("Provisioned", "False", "NotAdopted", name="second")
    for part in (f"{scenario.namespace}/contoso", "deletionPolicy Detach", "adoptionPolicy"):
        assert part in message(connector, "Provisioned")
    scenario.kube.delete(KIND, "second", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "second", scenario.namespace)
    assert scenario.writes(since) == []
    assert owner(scenario).endswith(first["metadata"]["uid"])


def test_always_does_not_adopt_a_connector_while_its_owner_exists(scenario: Scenario) -> None:
    first = scenario.ready()
    since = scenario.control.last()
    scenario.apply(scenario.manifest("second", **ADOPT, azure={"connectorName": "contoso"}, adoptionPolicy="Always"))
    connector = scenario.wait("Provisioned", "False", "NotAdopted", name="second")
    assert "exists in this cluster" in message(connector, "Provisioned")
    scenario.wait_request("Resources_Query", times=2)
    scenario.kube.delete(KIND, "second", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "second", scenario.namespace)
    assert scenario.writes(since) == []
    assert owner(scenario).endswith(first["metadata"]["uid"])
    scenario.wait("Ready", "True")


def test_a_connector_is_handed_over_from_one_resource_to_another(scenario: Scenario) -> None:
    scenario.ready()
    successor = scenario.apply(scenario.manifest("second", azure={"connectorName": "contoso"}))
    scenario.wait("Provisioned", "False", "NotAdopted", name="second")
    scenario.apply(scenario.manifest(deletionPolicy="Detach"))
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    scenario.wait("Ready", "True", name="second")
    assert owner(scenario).endswith(successor["metadata"]["uid"])
    assert scenario.onboarded() == {"contoso", "fabrikam"}


@pytest.mark.parametrize("state", [{"suspend": True}, {"managementPolicy": "Observe"}], ids=["suspended", "observed"])
def test_an_owner_that_no_longer_exists_counts_as_none(scenario: Scenario, state: dict[str, Any]) -> None:
    deleted_owner = scenario.ready()
    scenario.apply(scenario.manifest(**state))
    scenario.wait_until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"])
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    assert owner(scenario).endswith(deleted_owner["metadata"]["uid"])  # nobody took the tags off
    scenario.apply(scenario.manifest())
    again = scenario.wait("Ready", "True")
    assert owner(scenario).endswith(again["metadata"]["uid"])


def test_a_connector_whose_tags_were_removed_is_not_adopted_while_its_owner_exists(scenario: Scenario) -> None:
    """The owner adds the tags again when it notices; until then another resource must not be quicker."""
    first = scenario.ready()
    scenario.apply(scenario.manifest("second", **ADOPT, azure={"connectorName": "contoso"}, adoptionPolicy="Always"))
    scenario.wait("Provisioned", "False", "NotAdopted", name="second")
    scenario.apply(scenario.manifest(suspend=True))  # so that it does not notice
    scenario.wait_until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"])
    since = scenario.control.last()
    scenario.change_in_portal(removeTags=[OWNER, RESOURCE])
    scenario.wait_until(
        lambda body: "which has created or adopted it in this cluster" in message(body, "Provisioned"), name="second"
    )
    scenario.wait_request("Resources_Query", times=2)
    assert scenario.writes(since) == []
    scenario.apply(scenario.manifest())
    scenario.wait("Ready", "True")
    assert owner(scenario).endswith(first["metadata"]["uid"])
    scenario.wait("Provisioned", "False", "NotAdopted", name="second")


def test_a_changed_cluster_id_is_reported_and_nothing_is_taken_or_released(
    own_scenario: Scenario, run: Callable[..., Operator]
) -> None:
    scenario, operator = own_scenario, run()
    ready = scenario.ready()
    tag = owner(scenario)
    cluster = tag.partition("/")[0]
    operator.stop()
    since = scenario.control.last()
    renamed = run(cluster_id="renamed")
    connector = scenario.wait("Provisioned", "False", "OwnershipLost")
    for part in (
        "clusterId",
        f"Set clusterId to {cluster} again",
        f"set the tag to renamed/{ready['metadata']['uid']}",
    ):
        assert part in message(connector, "Provisioned")
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    blocked = scenario.wait("Ready", "False", "DeletionBlocked")
    assert "clusterId" in message(blocked, "Ready")
    assert scenario.writes(since) == []
    assert owner(scenario) == tag
    renamed.stop()
    run()
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    assert scenario.in_azure() is None
