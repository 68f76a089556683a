"""What somebody changes in Azure: found within one refresh, and put back or reported."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.azure_user import ArmCaller
from tests.support.scenarios.scenario import ACCOUNT, GROUP, SUBSCRIPTION, Scene, message, wait_for

READER = "88888888-8888-8888-8888-888888888888"
CONNECTOR_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Security/securityConnectors/contoso"
)
FEATURES: dict[str, Any] = {
    "azure": {"tags": {"owner": "platform"}},
    "pullRequestAnnotations": {"mode": "Enabled", "minimumSeverity": "Medium"},
    "agentlessScanning": {"mode": "Enabled"},
    "securityReaders": [{"objectId": READER, "principalType": "Group"}],
}
OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}


def settled(scene: Scene, **spec: object) -> Manifest:
    """A connector with every feature, after the last of its operations."""
    scene.ready(**{**FEATURES, **spec})
    return scene.wait("Provisioned", "True")


def tags(scene: Scene) -> dict[str, str]:
    """Tags of the connector in Azure."""
    azure = scene.in_azure()
    assert azure is not None
    found: dict[str, str] = azure["tags"]
    return found


def test_every_feature_is_set_once_and_left_alone(scene: Scene, somebody: ArmCaller) -> None:
    settled(scene)
    wait_for(lambda: somebody.annotations("fabrikam")["state"] == "Enabled", "annotations")
    assert somebody.configuration()["agentlessConfiguration"]["agentlessEnabled"] == "Enabled"
    scene.look()
    since = scene.control.last()
    scene.look()
    scene.look()
    assert scene.writes(since) == []
    assert sorted(scene.writes()) == [
        "AzureDevOpsOrgs_Update",
        "AzureDevOpsOrgs_Update",
        "DevOpsConfigurations_CreateOrUpdate",
        "RoleAssignments_CreateOrUpdate",
        "SecurityConnectors_CreateOrUpdate",
    ]


def test_tags_that_somebody_takes_off_or_changes_come_back_and_those_of_others_stay(scene: Scene) -> None:
    settled(scene)
    before = tags(scene)
    since = scene.control.last()
    scene.change_in_portal(tags={"owner": "nobody", "cost-center": "4711"})
    wait_for(lambda: tags(scene) == before | {"cost-center": "4711"}, "tags")
    scene.wait("Ready", "True")
    assert scene.writes(since) == ["SecurityConnectors_Update"]


def test_auto_discovery_that_somebody_switches_on_is_switched_off(scene: Scene, somebody: ArmCaller) -> None:
    settled(scene)
    since = scene.control.last()
    scene.change_in_portal(autoDiscovery="Enabled")
    wait_for(lambda: somebody.configuration()["autoDiscovery"] == "Disabled", "auto-discovery")
    scene.look()
    scene.wait("Provisioned", "True")
    assert scene.onboarded() == {"contoso", "fabrikam"}
    assert scene.writes(since) == ["DevOpsConfigurations_Update"]


@pytest.mark.parametrize("left", [["contoso"], ["contoso", "fabrikam", "tailspin"]], ids=["taken out", "taken in"])
def test_an_organization_that_somebody_takes_out_or_in_is_put_back(scene: Scene, left: list[str]) -> None:
    settled(scene)
    since = scene.control.last()
    scene.change_in_portal(organizations=left)
    scene.wait_onboarded("contoso", "fabrikam")
    scene.wait("Ready", "True")
    assert "DevOpsConfigurations_Update" in scene.writes(since)
    assert scene.writes(since).count("DevOpsConfigurations_Update") == 1
    for each in ("contoso", "fabrikam"):
        scene.wait_organization(f"contoso-{each}", "Ready", "True", "Onboarded")


@pytest.mark.parametrize(
    ("state", "severity"), [("Disabled", "Medium"), ("Enabled", "Low")], ids=["switched off", "another severity"]
)
def test_annotations_that_somebody_changes_are_set_again(
    scene: Scene, somebody: ArmCaller, state: str, severity: str
) -> None:
    settled(scene)
    wait_for(lambda: somebody.annotations("fabrikam")["state"] == "Enabled", "annotations at first")
    scene.look()
    somebody.set_annotations("fabrikam", state=state, severity=severity)
    wait_for(lambda: _differs(somebody, state, severity), "somebody's change")
    wait_for(lambda: not _differs(somebody, state, severity), "annotations again")
    assert somebody.annotations("fabrikam")["state"] == "Enabled"


def _differs(somebody: ArmCaller, state: str, severity: str) -> bool:
    found = somebody.annotations("fabrikam")
    severities = [each["minimumSeverityLevel"] for each in found["categoryConfigurations"]]
    return found["state"] == state and (state == "Disabled" or severities == [severity])


def test_scanning_that_somebody_switches_off_is_switched_on(scene: Scene, somebody: ArmCaller) -> None:
    settled(scene)
    off = {"agentlessEnabled": "Disabled", "agentlessAutoDiscovery": "Disabled", "inventoryListType": "Exclusion"}
    scene.change_in_portal(agentless=off)
    wait_for(
        lambda: somebody.configuration()["agentlessConfiguration"]["agentlessEnabled"] == "Enabled",
        "agentless scanning",
    )


def test_a_readers_role_that_somebody_takes_is_given_again(scene: Scene) -> None:
    settled(scene)
    since = scene.control.last()
    scene.control.unassign_role("Security Reader", READER, CONNECTOR_ID)
    wait_for(lambda: scene.writes(since) == ["RoleAssignments_CreateOrUpdate"], "role assignment")


def test_what_changed_while_the_connector_was_suspended_is_put_back_afterwards(scene: Scene) -> None:
    settled(scene)
    scene.apply(scene.manifest(**FEATURES, suspend=True))
    scene.wait_until(lambda body: condition(body, "Ready")["reason"] == "Suspended")
    before, since = tags(scene), scene.control.last()
    scene.change_in_portal(tags={"owner": "nobody"})
    scene.wait_request("Resources_Query", times=2)
    assert scene.writes(since) == []
    scene.apply(scene.manifest(**FEATURES))
    wait_for(lambda: tags(scene) == before, "tags")
    scene.wait("Ready", "True")


@pytest.mark.parametrize("trouble", ["it has no rows below connectors", "it refuses to answer"])
def test_without_resource_graph_drift_is_found_within_a_check_interval(
    scene: Scene, somebody: ArmCaller, trouble: str
) -> None:
    if trouble == "it refuses to answer":
        scene.control.fault(path="Microsoft.ResourceGraph", status=403, times=None, body={"error": {"code": "Nope"}})
    else:
        scene.control.settings(resourceGraphChildren=False)
    settled(scene)
    before = tags(scene)
    scene.change_in_portal(autoDiscovery="Enabled", removeTags=["owner"])
    wait_for(lambda: tags(scene) == before, "tags")
    wait_for(lambda: somebody.configuration()["autoDiscovery"] == "Disabled", "auto-discovery")
    scene.wait_request("AzureDevOpsOrgs_List")  # it sees that its own change is done
    scene.change_in_portal(organizations=["contoso"])
    scene.wait_onboarded("contoso", "fabrikam")
    scene.wait("Ready", "True")


def test_a_connector_deleted_in_the_portal_is_told_at_once_and_not_made_with_the_old_code(scene: Scene) -> None:
    settled(scene)
    since = scene.control.last()
    scene.delete_in_portal()
    lost = scene.wait("Provisioned", "False", "ConnectorNotFound")
    assert CONNECTOR_ID.rpartition("/")[2] in message(lost, "Provisioned")
    lost = scene.wait("ReauthRequired", "True")
    for part in (ACCOUNT, "deleted in Azure", "Secret code"):
        assert part in message(lost, "ReauthRequired")
    assert condition(lost, "Ready")["status"] == "False"
    assert condition(lost, "Stalled")["status"] == "True"
    for each in ("contoso-contoso", "contoso-fabrikam"):
        scene.wait_organization(each, "Ready", "False")
    scene.wait_request("Resources_Query", times=2)
    assert scene.writes(since) == []
    scene.new_code()
    scene.wait("Ready", "True")
    scene.wait("ReauthRequired", "False")
    scene.wait_onboarded("contoso", "fabrikam")
    scene.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    assert tags(scene).keys() == {"owner", *OWNER_TAGS}


def test_an_adopted_connector_deleted_in_the_portal_is_adopted_again_once_a_person_made_it_anew(scene: Scene) -> None:
    scene.in_portal()
    adopt: dict[str, Any] = {"authorization": {"method": "Adopt", "codeSecretRef": None}}
    scene.apply(scene.manifest(**adopt))
    scene.wait("Ready", "True")
    scene.delete_in_portal()
    lost = scene.wait("ReauthRequired", "True")
    assert "portal" in message(lost, "ReauthRequired")
    scene.in_portal(organizations=["contoso"])
    scene.wait("Ready", "True")
    scene.wait("ReauthRequired", "False")
    scene.wait_onboarded("contoso", "fabrikam")


def test_a_deleted_configuration_is_a_lost_authorization(scene: Scene, somebody: ArmCaller) -> None:
    settled(scene)
    somebody.delete_configuration()
    lost = scene.wait("Provisioned", "False", "ConnectorNotFound")
    assert "DevOps configuration" in message(lost, "Provisioned")
    scene.wait("ReauthRequired", "True")
    scene.new_code()
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "fabrikam")


def test_observe_says_what_differs_and_writes_nothing(scene: Scene) -> None:
    scene.in_portal(tags={"owner": "nobody"}, organizations=["contoso"])
    since = scene.control.last()
    observe: dict[str, Any] = {
        "managementPolicy": "Observe",
        "azure": {"tags": {"owner": "platform"}},
        "authorization": {"method": "Adopt", "codeSecretRef": None},
    }
    scene.apply(scene.manifest(**observe))
    drifted = scene.wait("Provisioned", "False", "DriftDetected")
    for part in ("owner", "fabrikam"):
        assert part in message(drifted, "Provisioned")
    assert condition(drifted, "Authorized")["status"] == "True"
    assert condition(drifted, "Stalled")["reason"] == "DriftDetected"
    scene.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")
    scene.wait_organization("contoso-fabrikam", "Ready", "False", "DriftDetected")
    scene.change_in_portal(tags={"owner": "platform"}, organizations=["contoso", "fabrikam"])
    scene.wait("Provisioned", "True")
    scene.wait("Ready", "True")
    scene.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    scene.look()
    assert scene.writes(since) == []
    assert tags(scene) == {"owner": "platform"}


def test_from_observe_to_manage_everything_is_put_right(scene: Scene) -> None:
    scene.in_portal(tags={"owner": "nobody"}, organizations=["contoso"])
    adopt: dict[str, Any] = {
        "azure": {"tags": {"owner": "platform"}},
        "authorization": {"method": "Adopt", "codeSecretRef": None},
    }
    scene.apply(scene.manifest(**adopt, managementPolicy="Observe"))
    scene.wait("Provisioned", "False", "DriftDetected")
    scene.apply(scene.manifest(**adopt, managementPolicy="Manage"))
    scene.wait("Ready", "True")
    scene.wait_onboarded("contoso", "fabrikam")
    assert tags(scene).keys() == {"owner", *OWNER_TAGS}


def test_a_requested_look_comes_at_once_and_is_acknowledged(scene: Scene) -> None:
    settled(scene)
    since = scene.control.last()
    annotation = {"defender-devops.io/reconcile-requested-at": "now"}
    scene.kube.patch("AzureDevOpsConnector", "contoso", {"metadata": {"annotations": annotation}}, scene.namespace)
    scene.wait_until(lambda body: body["status"].get("lastHandledReconcileAt") == "now", timeout=5)
    assert scene.control.journal(since=since, operation="SecurityConnectors_Get")
