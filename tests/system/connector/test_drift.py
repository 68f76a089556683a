"""What somebody changes in Azure: found within one refresh, and put back or reported."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from tests.support.scenarios.azure_user import AzureUser
from tests.support.scenarios.scenario import ACCOUNT, GROUP, SUBSCRIPTION, Scenario, message, wait_for

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


def settled(scenario: Scenario, **spec: object) -> Manifest:
    """A connector with every feature, after the last of its operations."""
    scenario.ready(**{**FEATURES, **spec})
    return scenario.wait("Provisioned", "True")


def tags(scenario: Scenario) -> dict[str, str]:
    """Tags of the connector in Azure."""
    azure = scenario.in_azure()
    assert azure is not None
    azure_tags: dict[str, str] = azure["tags"]
    return azure_tags


def test_every_feature_is_set_once_and_left_alone(scenario: Scenario, azure_user: AzureUser) -> None:
    settled(scenario)
    wait_for(lambda: azure_user.annotations("fabrikam")["state"] == "Enabled", "annotations")
    assert azure_user.configuration()["agentlessConfiguration"]["agentlessEnabled"] == "Enabled"
    scenario.wait_observed()
    since = scenario.control.last()
    scenario.wait_observed()
    scenario.wait_observed()
    assert scenario.writes(since) == []
    assert sorted(scenario.writes()) == [
        "AzureDevOpsOrgs_Update",
        "AzureDevOpsOrgs_Update",
        "DevOpsConfigurations_CreateOrUpdate",
        "RoleAssignments_CreateOrUpdate",
        "SecurityConnectors_CreateOrUpdate",
    ]


def test_tags_that_somebody_takes_off_or_changes_come_back_and_those_of_others_stay(scenario: Scenario) -> None:
    settled(scenario)
    previous_tags = tags(scenario)
    since = scenario.control.last()
    scenario.change_in_portal(tags={"owner": "nobody", "cost-center": "4711"})
    wait_for(lambda: tags(scenario) == previous_tags | {"cost-center": "4711"}, "tags")
    scenario.wait("Ready", "True")
    assert scenario.writes(since) == ["SecurityConnectors_Update"]


def test_auto_discovery_that_somebody_switches_on_is_switched_off(scenario: Scenario, azure_user: AzureUser) -> None:
    settled(scenario)
    since = scenario.control.last()
    scenario.change_in_portal(autoDiscovery="Enabled")
    wait_for(lambda: azure_user.configuration()["autoDiscovery"] == "Disabled", "auto-discovery")
    scenario.wait_observed()
    scenario.wait("Provisioned", "True")
    assert scenario.onboarded() == {"contoso", "fabrikam"}
    assert scenario.writes(since) == ["DevOpsConfigurations_Update"]


@pytest.mark.parametrize("onboarded", [["contoso"], ["contoso", "fabrikam", "tailspin"]], ids=["taken out", "taken in"])
def test_an_organization_that_somebody_takes_out_or_in_is_put_back(scenario: Scenario, onboarded: list[str]) -> None:
    settled(scenario)
    since = scenario.control.last()
    scenario.change_in_portal(organizations=onboarded)
    scenario.wait_onboarded("contoso", "fabrikam")
    scenario.wait("Ready", "True")
    assert "DevOpsConfigurations_Update" in scenario.writes(since)
    assert scenario.writes(since).count("DevOpsConfigurations_Update") == 1
    for name in ("contoso", "fabrikam"):
        scenario.wait_organization(f"contoso-{name}", "Ready", "True", "Onboarded")


@pytest.mark.parametrize(
    ("state", "severity"), [("Disabled", "Medium"), ("Enabled", "Low")], ids=["switched off", "another severity"]
)
def test_annotations_that_somebody_changes_are_set_again(
    scenario: Scenario, azure_user: AzureUser, state: str, severity: str
) -> None:
    settled(scenario)
    wait_for(lambda: azure_user.annotations("fabrikam")["state"] == "Enabled", "annotations at first")
    scenario.wait_observed()
    azure_user.set_annotations("fabrikam", state=state, severity=severity)
    wait_for(lambda: _differs(azure_user, state, severity), "somebody's change")
    wait_for(lambda: not _differs(azure_user, state, severity), "annotations again")
    assert azure_user.annotations("fabrikam")["state"] == "Enabled"


def _differs(azure_user: AzureUser, state: str, severity: str) -> bool:
    annotations = azure_user.annotations("fabrikam")
    severities = [category["minimumSeverityLevel"] for category in annotations["categoryConfigurations"]]
    return annotations["state"] == state and (state == "Disabled" or severities == [severity])


def test_scanning_that_somebody_switches_off_is_switched_on(scenario: Scenario, azure_user: AzureUser) -> None:
    settled(scenario)
    off = {"agentlessEnabled": "Disabled", "agentlessAutoDiscovery": "Disabled", "inventoryListType": "Exclusion"}
    scenario.change_in_portal(agentless=off)
    wait_for(
        lambda: azure_user.configuration()["agentlessConfiguration"]["agentlessEnabled"] == "Enabled",
        "agentless scanning",
    )


def test_a_readers_role_that_somebody_takes_is_given_again(scenario: Scenario) -> None:
    settled(scenario)
    since = scenario.control.last()
    scenario.control.unassign_role("Security Reader", READER, CONNECTOR_ID)
    wait_for(lambda: scenario.writes(since) == ["RoleAssignments_CreateOrUpdate"], "role assignment")


def test_what_changed_while_the_connector_was_suspended_is_put_back_afterwards(scenario: Scenario) -> None:
    settled(scenario)
    scenario.apply(scenario.manifest(**FEATURES, suspend=True))
    scenario.wait_until(lambda body: condition(body, "Ready")["reason"] == "Suspended")
    previous_tags, since = tags(scenario), scenario.control.last()
    scenario.change_in_portal(tags={"owner": "nobody"})
    scenario.wait_request("Resources_Query", times=2)
    assert scenario.writes(since) == []
    scenario.apply(scenario.manifest(**FEATURES))
    wait_for(lambda: tags(scenario) == previous_tags, "tags")
    scenario.wait("Ready", "True")


@pytest.mark.parametrize("trouble", ["it has no rows below connectors", "it refuses to answer"])
def test_without_resource_graph_drift_is_found_within_a_check_interval(
    scenario: Scenario, azure_user: AzureUser, trouble: str
) -> None:
    if trouble == "it refuses to answer":
        scenario.control.fault(path="Microsoft.ResourceGraph", status=403, times=None, body={"error": {"code": "Nope"}})
    else:
        scenario.control.settings(resourceGraphChildren=False)
    settled(scenario)
    previous_tags = tags(scenario)
    scenario.change_in_portal(autoDiscovery="Enabled", removeTags=["owner"])
    wait_for(lambda: tags(scenario) == previous_tags, "tags")
    wait_for(lambda: azure_user.configuration()["autoDiscovery"] == "Disabled", "auto-discovery")
    scenario.wait_request("AzureDevOpsOrgs_List")  # it sees that its own change is done
    scenario.change_in_portal(organizations=["contoso"])
    scenario.wait_onboarded("contoso", "fabrikam")
    scenario.wait("Ready", "True")


def test_a_connector_deleted_in_the_portal_is_told_at_once_and_not_made_with_the_old_code(scenario: Scenario) -> None:
    settled(scenario)
    since = scenario.control.last()
    scenario.delete_in_portal()
    connector = scenario.wait("Provisioned", "False", "ConnectorNotFound")
    assert CONNECTOR_ID.rpartition("/")[2] in message(connector, "Provisioned")
    connector = scenario.wait("ReauthRequired", "True")
    for part in (ACCOUNT, "deleted in Azure", "Secret code"):
        assert part in message(connector, "ReauthRequired")
    assert condition(connector, "Ready")["status"] == "False"
    assert condition(connector, "Stalled")["status"] == "True"
    for name in ("contoso-contoso", "contoso-fabrikam"):
        scenario.wait_organization(name, "Ready", "False")
    scenario.wait_request("Resources_Query", times=2)
    assert scenario.writes(since) == []
    scenario.new_code()
    scenario.wait("Ready", "True")
    scenario.wait("ReauthRequired", "False")
    scenario.wait_onboarded("contoso", "fabrikam")
    scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    assert tags(scenario).keys() == {"owner", *OWNER_TAGS}


def test_an_adopted_connector_deleted_in_the_portal_is_adopted_again_once_a_person_made_it_anew(
    scenario: Scenario,
) -> None:
    scenario.in_portal()
    adopt: dict[str, Any] = {"authorization": {"method": "Adopt", "codeSecretRef": None}}
    scenario.apply(scenario.manifest(**adopt))
    scenario.wait("Ready", "True")
    scenario.delete_in_portal()
    connector = scenario.wait("ReauthRequired", "True")
    assert "portal" in message(connector, "ReauthRequired")
    scenario.in_portal(organizations=["contoso"])
    scenario.wait("Ready", "True")
    scenario.wait("ReauthRequired", "False")
    scenario.wait_onboarded("contoso", "fabrikam")


def test_a_deleted_configuration_is_a_lost_authorization(scenario: Scenario, azure_user: AzureUser) -> None:
    settled(scenario)
    azure_user.delete_configuration()
    connector = scenario.wait("Provisioned", "False", "ConnectorNotFound")
    assert "DevOps configuration" in message(connector, "Provisioned")
    scenario.wait("ReauthRequired", "True")
    scenario.new_code()
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")


def test_observe_says_what_differs_and_writes_nothing(scenario: Scenario) -> None:
    scenario.in_portal(tags={"owner": "nobody"}, organizations=["contoso"])
    since = scenario.control.last()
    observe: dict[str, Any] = {
        "managementPolicy": "Observe",
        "azure": {"tags": {"owner": "platform"}},
        "authorization": {"method": "Adopt", "codeSecretRef": None},
    }
    scenario.apply(scenario.manifest(**observe))
    drifted = scenario.wait("Provisioned", "False", "DriftDetected")
    for part in ("owner", "fabrikam"):
        assert part in message(drifted, "Provisioned")
    assert condition(drifted, "Authorized")["status"] == "True"
    assert condition(drifted, "Stalled")["reason"] == "DriftDetected"
    scenario.wait_organization("contoso-contoso", "Ready", "True", "Onboarded")
    scenario.wait_organization("contoso-fabrikam", "Ready", "False", "DriftDetected")
    scenario.change_in_portal(tags={"owner": "platform"}, organizations=["contoso", "fabrikam"])
    scenario.wait("Provisioned", "True")
    scenario.wait("Ready", "True")
    scenario.wait_organization("contoso-fabrikam", "Ready", "True", "Onboarded")
    scenario.wait_observed()
    assert scenario.writes(since) == []
    assert tags(scenario) == {"owner": "platform"}


def test_from_observe_to_manage_everything_is_put_right(scenario: Scenario) -> None:
    scenario.in_portal(tags={"owner": "nobody"}, organizations=["contoso"])
    adopt: dict[str, Any] = {
        "azure": {"tags": {"owner": "platform"}},
        "authorization": {"method": "Adopt", "codeSecretRef": None},
    }
    scenario.apply(scenario.manifest(**adopt, managementPolicy="Observe"))
    scenario.wait("Provisioned", "False", "DriftDetected")
    scenario.apply(scenario.manifest(**adopt, managementPolicy="Manage"))
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")
    assert tags(scenario).keys() == {"owner", *OWNER_TAGS}


def test_a_requested_look_comes_at_once_and_is_acknowledged(scenario: Scenario) -> None:
    settled(scenario)
    since = scenario.control.last()
    annotation = {"defender-devops.io/reconcile-requested-at": "now"}
    scenario.kube.patch(
        "AzureDevOpsConnector", "contoso", {"metadata": {"annotations": annotation}}, scenario.namespace
    )
    scenario.wait_until(lambda body: body["status"].get("lastHandledReconcileAt") == "now", timeout=5)
    assert scenario.control.journal(since=since, operation="SecurityConnectors_Get")
