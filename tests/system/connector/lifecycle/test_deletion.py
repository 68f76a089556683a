"""How a connector goes: in every state, whatever is broken, with nothing lost and nobody held up without a word."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Operator
from tests.support.scenarios.azure_world import OPERATOR, TEAM, TEAM_SECRET
from tests.support.scenarios.scenario import GROUP, KIND, ORGANIZATION, SUBSCRIPTION, Scenario, message, wait_for

pytestmark = pytest.mark.early

Run = Callable[..., Operator]

OWNER_TAGS = {"defender-devops-owner", "defender-devops-resource"}
READER = "88888888-8888-8888-8888-888888888888"
ADOPT: dict[str, Any] = {"authorization": {"method": "Adopt", "codeSecretRef": None}}
TEAMS_OWN: dict[str, Any] = {
    "azure": {
        "identity": {
            "type": "ClientSecret",
            "clientId": TEAM,
            "secretRef": {"name": "azure", "key": "client-secret"},
        }
    }
}


def delete(scenario: Scenario, name: str = "contoso") -> None:
    """Ask for the connector's deletion."""
    scenario.kube.delete(KIND, name, scenario.namespace)


def wait_deleted(scenario: Scenario, name: str = "contoso", timeout: float = 30) -> None:
    """Wait until the resource is gone."""
    scenario.kube.wait_deleted(KIND, name, scenario.namespace, timeout=timeout)


def wait_blocked(scenario: Scenario) -> str:
    """Wait until it says that deletion is blocked; gives its words."""
    blocked = scenario.wait("Ready", "False", "DeletionBlocked")
    assert condition(blocked, "Ready")["message"] == (
        condition(blocked, "Stalled") or condition(blocked, "Reconciling")
    ).get("message")
    return message(blocked, "Ready")


def do_as_told(scenario: Scenario, text: str) -> Manifest:
    """Run the kubectl command that a message ends with."""
    command = shlex.split(text[text.index("kubectl") :])
    assert command[:6] == ["kubectl", "-n", scenario.namespace, "patch", "azuredevopsconnector", "contoso"]
    assert command[6:9] == ["--type", "merge", "-p"]
    (patch,) = command[9:]
    return scenario.kube.patch(KIND, "contoso", json.loads(patch), scenario.namespace)


def test_azure_down_blocks_a_deletion_until_it_is_back(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", status=503, times=None)
    delete(scenario)
    text = wait_blocked(scenario)
    assert "503" in text or "failed" in text
    assert condition(scenario.connector(), "Reconciling")["reason"] == "DeletionBlocked"
    scenario.control.clear_faults()
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_the_patch_that_a_blocked_deletion_tells_of_lets_go_of_the_connector(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scenario)
    do_as_told(scenario, wait_blocked(scenario))
    wait_deleted(scenario)
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    assert not OWNER_TAGS & azure_connector["tags"].keys()
    assert scenario.onboarded() == {"contoso", "fabrikam"}


def command_of_remaining_tags(scenario: Scenario, uid: str) -> list[str]:
    """Wait for the event of a deletion that left owner tags in Azure, and return the command in it."""

    def notes() -> list[str]:
        events = scenario.kube.list_all("events.k8s.io/v1/Event", scenario.namespace)
        return [event["note"] for event in events if event["regarding"]["uid"] == uid and "owner tags" in event["note"]]

    wait_for(notes, "no event of the remaining tags")
    (note,) = notes()
    return shlex.split(note[note.index("az tag update") :])


@pytest.mark.parametrize("cause", ["Azure is down", "suspended"])
def test_letting_go_waits_for_no_azure_and_an_event_has_the_command_for_the_tags(
    scenario: Scenario, cause: str
) -> None:
    uid = scenario.ready(deletionPolicy="Detach")["metadata"]["uid"]
    if cause == "suspended":
        scenario.kube.patch(KIND, "contoso", {"spec": {"suspend": True}}, scenario.namespace)
    else:
        scenario.control.fault(service="arm", status=503, times=None)
    delete(scenario)
    wait_deleted(scenario, timeout=15)
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    owner_tags = {name: value for name, value in azure_connector["tags"].items() if name in OWNER_TAGS}
    assert owner_tags.keys() == OWNER_TAGS
    command = command_of_remaining_tags(scenario, uid)
    assert command[:6] == ["az", "tag", "update", "--operation", "Delete", "--resource-id"]
    assert command[6].lower() == azure_connector["id"].lower()
    assert command[7] == "--tags"
    assert dict(pair.split("=", 1) for pair in command[8:]) == owner_tags


@pytest.mark.long  # the operator's patience is ten seconds
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_letting_go_waits_for_no_slow_azure(scenario: Scenario, method: str) -> None:
    scenario.ready(deletionPolicy="Detach")
    scenario.control.fault(service="arm", method=method, delay=60, times=None)
    delete(scenario)
    wait_deleted(scenario, timeout=20)


def test_rights_that_are_gone_block_a_deletion_until_they_are_back(scenario: Scenario) -> None:
    scenario.ready()
    scope = f"/subscriptions/{SUBSCRIPTION}"
    for role in ("Contributor", "Role Based Access Control Administrator"):
        scenario.control.unassign_role(role, OPERATOR, scope)
    delete(scenario)
    text = wait_blocked(scenario)
    for part in ("Microsoft.Security/securityConnectors", "az role assignment create", "Detach"):
        assert part in text
    assert condition(scenario.connector(), "Stalled")["reason"] == "DeletionBlocked"
    assert condition(scenario.connector(), "Provisioned")["reason"] == "Forbidden"
    scenario.control.assign_role("Contributor", OPERATOR, scope)
    wait_deleted(scenario)
    assert scenario.in_azure() is None


NO_RIGHT = {
    "error": {
        "code": "AuthorizationFailed",
        "message": "The client does not have authorization to perform action "
        "'Microsoft.Security/securityConnectors/delete' over scope '/subscriptions/2'.",
    }
}

LOCKED = {
    "error": {
        "code": "ScopeLocked",
        "message": "The scope cannot perform delete operation: the following scopes are locked: rg-devops-security.",
    }
}


def test_a_lock_blocks_a_deletion_until_it_is_taken_off(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=409, body=LOCKED, times=None)
    delete(scenario)
    text = wait_blocked(scenario)
    for part in ("locked: rg-devops-security", "Detach"):
        assert part in text
    scenario.control.clear_faults()
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_an_entra_that_is_down_blocks_a_deletion_until_it_is_back(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="authority", status=503, times=None)
    scenario.control.expire_tokens()
    delete(scenario)
    assert "Entra ID" in wait_blocked(scenario)
    assert condition(scenario.connector(), "Reconciling")["reason"] == "DeletionBlocked"
    scenario.control.clear_faults()
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_a_secret_that_does_not_open_its_identity_any_more_blocks_a_deletion_until_it_does(scenario: Scenario) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**TEAMS_OWN)
    scenario.secret("azure", client_secret="one-of-yesterday")
    delete(scenario)
    text = wait_blocked(scenario)
    assert "secret" in text.lower()
    assert "one-of-yesterday" not in text
    scenario.secret("azure", client_secret=TEAM_SECRET)
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_a_connector_that_never_came_about_goes_though_it_was_never_allowed_to(ungranted_scenario: Scenario) -> None:
    ungranted_scenario.new_code()
    ungranted_scenario.apply(ungranted_scenario.manifest())
    ungranted_scenario.wait("Provisioned", "False", "CredentialsMissing")
    delete(ungranted_scenario)
    wait_deleted(ungranted_scenario)


def test_a_deletion_that_was_asked_for_by_name_waits_also_where_nothing_came_about(
    ungranted_scenario: Scenario,
) -> None:
    ungranted_scenario.new_code()
    ungranted_scenario.apply(ungranted_scenario.manifest(deletionPolicy="Delete"))
    ungranted_scenario.wait("Provisioned", "False", "CredentialsMissing")
    delete(ungranted_scenario)
    do_as_told(ungranted_scenario, wait_blocked(ungranted_scenario))
    wait_deleted(ungranted_scenario)


def test_a_resource_declared_for_a_connector_that_cannot_go_hears_of_it(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scenario)
    text = wait_blocked(scenario)
    scenario.declare("tailspin", onboarding="Onboarded")
    organization = scenario.wait_organization("tailspin", "Ready", "False", "DeletionBlocked")
    assert "see its conditions" in message(organization, "Ready")
    do_as_told(scenario, text)
    wait_deleted(scenario)
    scenario.wait_organization("tailspin", "Ready", "False", "ConnectorNotFound")
    assert scenario.onboarded() == {"contoso", "fabrikam"}


def test_suspending_a_blocked_deletion_lets_it_go_without_a_word_to_azure(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scenario)
    wait_blocked(scenario)
    scenario.kube.patch(KIND, "contoso", {"spec": {"suspend": True}}, scenario.namespace)
    wait_deleted(scenario)
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    assert azure_connector["tags"].keys() >= OWNER_TAGS


def test_credentials_that_were_in_use_serve_for_the_deletion_after_their_secret_is_gone(scenario: Scenario) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**TEAMS_OWN)
    scenario.kube.delete("Secret", "azure", scenario.namespace)
    scenario.wait("Provisioned", "False", "CredentialsMissing")
    delete(scenario)
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_credentials_that_nobody_remembers_block_a_deletion_until_they_are_back(
    own_scenario: Scenario, run: Run
) -> None:
    scenario = own_scenario
    operator = run()
    scenario.secret("azure", client_secret="sandbox-secret")
    identity = {**TEAMS_OWN["azure"]["identity"], "clientId": "55555555-5555-5555-5555-555555555555"}
    scenario.ready(azure={"identity": identity})
    operator.process.kill()
    scenario.kube.delete("Secret", "azure", scenario.namespace)
    delete(scenario)
    run()
    text = wait_blocked(scenario)
    assert f"Secret {scenario.namespace}/azure" in text
    assert condition(scenario.connector(), "Provisioned")["reason"] == "CredentialsMissing"
    scenario.secret("azure", client_secret="sandbox-secret")
    wait_deleted(scenario)
    assert scenario.in_azure() is None


@pytest.mark.parametrize("spec", [{}, TEAMS_OWN], ids=["the operator's identity", "an identity of its own"])
def test_a_namespace_that_goes_takes_its_connector_with_it(scenario: Scenario, spec: dict[str, Any]) -> None:
    scenario.secret("azure", client_secret=TEAM_SECRET)
    scenario.ready(**spec)
    scenario.kube.delete("Namespace", scenario.namespace)
    wait_deleted(scenario)
    assert scenario.in_azure() is None
    scenario.kube.wait_deleted("Namespace", scenario.namespace)


def test_a_namespace_that_goes_waits_for_a_blocked_connector_and_its_patch(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=503, times=None)
    scenario.kube.delete("Namespace", scenario.namespace)
    do_as_told(scenario, wait_blocked(scenario))
    scenario.kube.wait_deleted("Namespace", scenario.namespace)
    assert scenario.in_azure() is not None


def test_events_that_a_terminating_namespace_refuses_hold_nothing_up(own_scenario: Scenario, run: Run) -> None:
    """In a namespace that is being deleted nothing can be created: neither an event nor an organization."""
    scenario, operator = own_scenario, run()
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=403, times=None, body=NO_RIGHT)
    scenario.kube.delete("Namespace", scenario.namespace)
    assert "Detach" in wait_blocked(scenario)
    log = operator.process.log
    wait_for(lambda: "is being terminated" in log.read_text(), "no event was refused")
    scenario.control.clear_faults()
    wait_deleted(scenario)
    assert scenario.in_azure() is None
    scenario.kube.wait_deleted("Namespace", scenario.namespace)
    operator.process.check()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("spec", [{}, TEAMS_OWN], ids=["the operator's identity", "an identity of its own"])
def test_a_namespace_that_was_deleted_while_the_operator_was_down(
    own_scenario: Scenario, run: Run, spec: dict[str, Any]
) -> None:
    """Its Secrets are gone before the operator starts; with them its own identity, so that only Detach is left."""
    scenario, operator = own_scenario, run()
    if spec:
        scenario.secret("azure", client_secret="sandbox-secret")
        identity = {**spec["azure"]["identity"], "clientId": "55555555-5555-5555-5555-555555555555"}
        scenario.ready(azure={"identity": identity})
    else:
        scenario.ready()
    operator.process.kill()
    scenario.kube.delete("Namespace", scenario.namespace)
    scenario.kube.wait_deleted("Secret", "code", scenario.namespace)
    operator = run()
    if spec:
        text = wait_blocked(scenario)
        assert text.index("no Secret can be created in it") < text.index("Otherwise")
        do_as_told(scenario, text)
    wait_deleted(scenario)
    scenario.kube.wait_deleted("Namespace", scenario.namespace)
    azure_connector = scenario.in_azure()
    log = operator.process.log.read_text()
    if spec:
        assert azure_connector is not None
        assert "az tag update --operation Delete --resource-id" in log, "the event of it is refused in the namespace"
    else:
        assert azure_connector is None
    assert "Traceback" not in log


def test_an_operation_under_way_does_not_hold_a_deletion_up(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.control.fault(method="PUT", path="/devops/default$", operation={"outcome": "never"})
    scenario.apply(scenario.manifest())
    scenario.wait("Provisioned", "False", "Provisioning")
    delete(scenario)
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_a_connector_that_never_had_a_code_goes_at_once(scenario: Scenario) -> None:
    scenario.apply(scenario.manifest())
    scenario.wait("Authorized", "False", "AwaitingAuthorization")
    delete(scenario)
    wait_deleted(scenario)
    assert scenario.writes() == []


@pytest.mark.parametrize("state", [{"suspend": True}, {"managementPolicy": "Observe"}], ids=["suspended", "observed"])
def test_what_is_suspended_or_observed_goes_without_a_word_to_azure(scenario: Scenario, state: dict[str, Any]) -> None:
    scenario.ready()
    scenario.apply(scenario.manifest(**state))
    scenario.wait_until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"])
    scenario.control.fault(service="arm", path="securityConnectors", status=503, times=None)
    since = scenario.control.last()
    delete(scenario)
    wait_deleted(scenario, timeout=10)
    requests = scenario.control.journal(since=since, service="arm", path="securityConnectors/contoso$")
    assert [entry for entry in requests if entry["method"] != "GET"] == []
    assert scenario.onboarded() == {"contoso", "fabrikam"}


@pytest.mark.parametrize(
    ("policy", "stays"), [(None, True), ("Detach", True), ("Delete", False)], ids=["by default", "Detach", "Delete"]
)
def test_an_adopted_connector_stays_unless_its_deletion_is_asked_for(
    scenario: Scenario, policy: str | None, stays: bool
) -> None:
    scenario.in_portal(organizations=["contoso", "fabrikam"])
    scenario.apply(scenario.manifest(**ADOPT, deletionPolicy=policy))
    scenario.wait("Ready", "True")
    delete(scenario)
    wait_deleted(scenario)
    azure_connector = scenario.in_azure()
    assert (azure_connector is not None) == stays
    assert azure_connector is None or not OWNER_TAGS & azure_connector["tags"].keys()


def test_a_connector_that_was_made_here_stays_with_detach_and_can_be_adopted_again(scenario: Scenario) -> None:
    scenario.ready(deletionPolicy="Detach")
    delete(scenario)
    wait_deleted(scenario)
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    assert not OWNER_TAGS & azure_connector["tags"].keys()
    since = scenario.control.last()
    scenario.apply(scenario.manifest())
    again = scenario.wait("Ready", "True")
    assert again["status"]["azure"]["created"] is False
    assert scenario.writes(since) == ["SecurityConnectors_Update"]


def test_another_owners_connector_is_not_touched(scenario: Scenario) -> None:
    scenario.ready(deletionPolicy="Delete")
    foreign_tags = {"defender-devops-owner": "another-cluster/another-uid", "defender-devops-resource": "there/theirs"}
    scenario.change_in_portal(tags=foreign_tags)
    scenario.wait("Provisioned", "False", "OwnershipLost")
    since = scenario.control.last()
    delete(scenario)
    wait_deleted(scenario)
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    assert azure_connector["tags"] == foreign_tags
    assert scenario.writes(since) == []


def test_a_connector_that_is_gone_already_holds_nothing_up(scenario: Scenario) -> None:
    scenario.ready()
    scenario.delete_in_portal()
    delete(scenario)
    wait_deleted(scenario)


def test_a_resource_group_that_is_gone_holds_nothing_up(scenario: Scenario) -> None:
    scenario.ready()
    scenario.delete_in_portal()
    scenario.control.change_subscription(SUBSCRIPTION, resourceGroups=[])
    delete(scenario)
    wait_deleted(scenario)


def test_roles_that_were_given_go_before_the_connector(scenario: Scenario) -> None:
    scenario.ready(securityReaders=[{"objectId": READER, "principalType": "Group"}])
    since = scenario.control.last()
    delete(scenario)
    wait_deleted(scenario)
    assert scenario.writes(since) == ["RoleAssignments_Delete", "SecurityConnectors_Delete"]


def test_a_deletion_that_azure_throttles_comes_through(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", method="DELETE", status=429, headers={"Retry-After": "1"}, times=2)
    delete(scenario)
    wait_deleted(scenario)
    assert scenario.in_azure() is None


def test_after_a_deletion_the_same_manifest_makes_a_new_connector_with_a_new_code(scenario: Scenario) -> None:
    first = scenario.ready()
    delete(scenario)
    wait_deleted(scenario)
    scenario.kube.wait_deleted(ORGANIZATION, "contoso-contoso", scenario.namespace)
    second = scenario.ready()
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert scenario.onboarded() == {"contoso", "fabrikam"}
    codes = [code for entry in scenario.control.journal() for code in entry.get("codes", [])]
    assert len(codes) == len(set(codes)) == 2
    azure = scenario.in_azure()
    assert azure is not None
    assert re.search(rf"/{second['metadata']['uid']}$", azure["tags"]["defender-devops-owner"])
    assert azure["id"].lower().split("/")[4] == GROUP
