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
from tests.support.scenarios.scenario import GROUP, KIND, ORGANIZATION, SUBSCRIPTION, Scene, message

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


def delete(scene: Scene, name: str = "contoso") -> None:
    """Ask for the connector's deletion."""
    scene.kube.delete(KIND, name, scene.namespace)


def wait_gone(scene: Scene, name: str = "contoso", timeout: float = 30) -> None:
    """Wait until the resource is gone."""
    scene.kube.wait_gone(KIND, name, scene.namespace, timeout=timeout)


def wait_blocked(scene: Scene) -> str:
    """Wait until it says that deletion is blocked; gives its words."""
    blocked = scene.wait("Ready", "False", "DeletionBlocked")
    assert condition(blocked, "Ready")["message"] == (
        condition(blocked, "Stalled") or condition(blocked, "Reconciling")
    ).get("message")
    return message(blocked, "Ready")


def do_as_told(scene: Scene, words: str) -> Manifest:
    """Run the kubectl command that a message ends with."""
    command = shlex.split(words[words.index("kubectl") :])
    assert command[:6] == ["kubectl", "-n", scene.namespace, "patch", "azuredevopsconnector", "contoso"]
    assert command[6:9] == ["--type", "merge", "-p"]
    (patch,) = command[9:]
    return scene.kube.patch(KIND, "contoso", json.loads(patch), scene.namespace)


def test_azure_down_blocks_a_deletion_until_it_is_back(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", status=503, times=None)
    delete(scene)
    words = wait_blocked(scene)
    assert "503" in words or "failed" in words
    assert condition(scene.connector(), "Reconciling")["reason"] == "DeletionBlocked"
    scene.control.clear_faults()
    wait_gone(scene)
    assert scene.in_azure() is None


def test_the_patch_that_a_blocked_deletion_tells_of_lets_go_of_the_connector(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scene)
    do_as_told(scene, wait_blocked(scene))
    wait_gone(scene)
    left = scene.in_azure()
    assert left is not None
    assert not OWNER_TAGS & left["tags"].keys()
    assert scene.onboarded() == {"contoso", "fabrikam"}


def test_letting_go_waits_for_no_azure(scene: Scene) -> None:
    scene.ready(deletionPolicy="Detach")
    scene.control.fault(service="arm", status=503, times=None)
    delete(scene)
    wait_gone(scene, timeout=15)
    left = scene.in_azure()
    assert left is not None
    assert left["tags"].keys() >= OWNER_TAGS


@pytest.mark.long  # the operator's patience is ten seconds
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_letting_go_waits_for_no_slow_azure(scene: Scene, method: str) -> None:
    scene.ready(deletionPolicy="Detach")
    scene.control.fault(service="arm", method=method, delay=60, times=None)
    delete(scene)
    wait_gone(scene, timeout=20)


def test_rights_that_are_gone_block_a_deletion_until_they_are_back(scene: Scene) -> None:
    scene.ready()
    scope = f"/subscriptions/{SUBSCRIPTION}"
    for role in ("Contributor", "Role Based Access Control Administrator"):
        scene.control.unassign_role(role, OPERATOR, scope)
    delete(scene)
    words = wait_blocked(scene)
    for part in ("Microsoft.Security/securityConnectors", "az role assignment create", "Detach"):
        assert part in words
    assert condition(scene.connector(), "Stalled")["reason"] == "DeletionBlocked"
    assert condition(scene.connector(), "Provisioned")["reason"] == "Forbidden"
    scene.control.assign_role("Contributor", OPERATOR, scope)
    wait_gone(scene)
    assert scene.in_azure() is None


LOCKED = {
    "error": {
        "code": "ScopeLocked",
        "message": "The scope cannot perform delete operation: the following scopes are locked: rg-devops-security.",
    }
}


def test_a_lock_blocks_a_deletion_until_it_is_taken_off(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=409, body=LOCKED, times=None)
    delete(scene)
    words = wait_blocked(scene)
    for part in ("locked: rg-devops-security", "Detach"):
        assert part in words
    scene.control.clear_faults()
    wait_gone(scene)
    assert scene.in_azure() is None


def test_an_entra_that_is_down_blocks_a_deletion_until_it_is_back(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="authority", status=503, times=None)
    scene.control.expire_tokens()
    delete(scene)
    assert "Entra ID" in wait_blocked(scene)
    assert condition(scene.connector(), "Reconciling")["reason"] == "DeletionBlocked"
    scene.control.clear_faults()
    wait_gone(scene)
    assert scene.in_azure() is None


def test_a_secret_that_does_not_open_its_identity_any_more_blocks_a_deletion_until_it_does(scene: Scene) -> None:
    scene.secret("azure", client_secret=TEAM_SECRET)
    scene.ready(**TEAMS_OWN)
    scene.secret("azure", client_secret="one-of-yesterday")
    delete(scene)
    words = wait_blocked(scene)
    assert "secret" in words.lower()
    assert "one-of-yesterday" not in words
    scene.secret("azure", client_secret=TEAM_SECRET)
    wait_gone(scene)
    assert scene.in_azure() is None


def test_a_connector_that_never_came_about_goes_though_it_was_never_allowed_to(ungranted: Scene) -> None:
    ungranted.new_code()
    ungranted.apply(ungranted.manifest())
    ungranted.wait("Provisioned", "False", "CredentialsMissing")
    delete(ungranted)
    wait_gone(ungranted)


def test_a_deletion_that_was_asked_for_by_name_waits_also_where_nothing_came_about(ungranted: Scene) -> None:
    ungranted.new_code()
    ungranted.apply(ungranted.manifest(deletionPolicy="Delete"))
    ungranted.wait("Provisioned", "False", "CredentialsMissing")
    delete(ungranted)
    do_as_told(ungranted, wait_blocked(ungranted))
    wait_gone(ungranted)


def test_a_resource_declared_for_a_connector_that_cannot_go_hears_of_it(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scene)
    words = wait_blocked(scene)
    scene.declare("tailspin", onboarding="Onboarded")
    told = scene.wait_organization("tailspin", "Ready", "False", "DeletionBlocked")
    assert "see its conditions" in message(told, "Ready")
    do_as_told(scene, words)
    wait_gone(scene)
    scene.wait_organization("tailspin", "Ready", "False", "ConnectorNotFound")
    assert scene.onboarded() == {"contoso", "fabrikam"}


def test_suspending_a_blocked_deletion_lets_it_go_without_a_word_to_azure(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=503, times=None)
    delete(scene)
    wait_blocked(scene)
    scene.kube.patch(KIND, "contoso", {"spec": {"suspend": True}}, scene.namespace)
    wait_gone(scene)
    left = scene.in_azure()
    assert left is not None
    assert left["tags"].keys() >= OWNER_TAGS


def test_credentials_that_were_in_use_serve_for_the_deletion_after_their_secret_is_gone(scene: Scene) -> None:
    scene.secret("azure", client_secret=TEAM_SECRET)
    scene.ready(**TEAMS_OWN)
    scene.kube.delete("Secret", "azure", scene.namespace)
    scene.wait("Provisioned", "False", "CredentialsMissing")
    delete(scene)
    wait_gone(scene)
    assert scene.in_azure() is None


def test_credentials_that_nobody_remembers_block_a_deletion_until_they_are_back(own_scene: Scene, run: Run) -> None:
    scene = own_scene
    operator = run()
    scene.secret("azure", client_secret="sandbox-secret")
    identity = {**TEAMS_OWN["azure"]["identity"], "clientId": "55555555-5555-5555-5555-555555555555"}
    scene.ready(azure={"identity": identity})
    operator.process.kill()
    scene.kube.delete("Secret", "azure", scene.namespace)
    delete(scene)
    run()
    words = wait_blocked(scene)
    assert f"Secret {scene.namespace}/azure" in words
    assert condition(scene.connector(), "Provisioned")["reason"] == "CredentialsMissing"
    scene.secret("azure", client_secret="sandbox-secret")
    wait_gone(scene)
    assert scene.in_azure() is None


@pytest.mark.parametrize("spec", [{}, TEAMS_OWN], ids=["the operator's identity", "an identity of its own"])
def test_a_namespace_that_goes_takes_its_connector_with_it(scene: Scene, spec: dict[str, Any]) -> None:
    scene.secret("azure", client_secret=TEAM_SECRET)
    scene.ready(**spec)
    scene.kube.delete("Namespace", scene.namespace)
    wait_gone(scene)
    assert scene.in_azure() is None
    scene.kube.wait_gone("Namespace", scene.namespace)


def test_a_namespace_that_goes_waits_for_a_blocked_connector_and_its_patch(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=503, times=None)
    scene.kube.delete("Namespace", scene.namespace)
    do_as_told(scene, wait_blocked(scene))
    scene.kube.wait_gone("Namespace", scene.namespace)
    assert scene.in_azure() is not None


def test_an_operation_under_way_does_not_hold_a_deletion_up(scene: Scene) -> None:
    scene.new_code()
    scene.control.fault(method="PUT", path="/devops/default$", operation={"outcome": "never"})
    scene.apply(scene.manifest())
    scene.wait("Provisioned", "False", "Provisioning")
    delete(scene)
    wait_gone(scene)
    assert scene.in_azure() is None


def test_a_connector_that_never_had_a_code_goes_at_once(scene: Scene) -> None:
    scene.apply(scene.manifest())
    scene.wait("Authorized", "False", "AwaitingAuthorization")
    delete(scene)
    wait_gone(scene)
    assert scene.writes() == []


@pytest.mark.parametrize("state", [{"suspend": True}, {"managementPolicy": "Observe"}], ids=["suspended", "observed"])
def test_what_is_suspended_or_observed_goes_without_a_word_to_azure(scene: Scene, state: dict[str, Any]) -> None:
    scene.ready()
    scene.apply(scene.manifest(**state))
    scene.wait_until(lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"])
    scene.control.fault(service="arm", path="securityConnectors", status=503, times=None)
    since = scene.control.last()
    delete(scene)
    wait_gone(scene, timeout=10)
    named = scene.control.journal(since=since, service="arm", path="securityConnectors/contoso$")
    assert [entry for entry in named if entry["method"] != "GET"] == []
    assert scene.onboarded() == {"contoso", "fabrikam"}


@pytest.mark.parametrize(
    ("policy", "stays"), [(None, True), ("Detach", True), ("Delete", False)], ids=["by default", "Detach", "Delete"]
)
def test_an_adopted_connector_stays_unless_its_deletion_is_asked_for(
    scene: Scene, policy: str | None, stays: bool
) -> None:
    scene.in_portal(organizations=["contoso", "fabrikam"])
    scene.apply(scene.manifest(**ADOPT, deletionPolicy=policy))
    scene.wait("Ready", "True")
    delete(scene)
    wait_gone(scene)
    left = scene.in_azure()
    assert (left is not None) == stays
    assert left is None or not OWNER_TAGS & left["tags"].keys()


def test_a_connector_that_was_made_here_stays_with_detach_and_can_be_adopted_again(scene: Scene) -> None:
    scene.ready(deletionPolicy="Detach")
    delete(scene)
    wait_gone(scene)
    left = scene.in_azure()
    assert left is not None
    assert not OWNER_TAGS & left["tags"].keys()
    since = scene.control.last()
    scene.apply(scene.manifest())
    again = scene.wait("Ready", "True")
    assert again["status"]["azure"]["created"] is False
    assert scene.writes(since) == ["SecurityConnectors_Update"]


def test_another_owners_connector_is_not_touched(scene: Scene) -> None:
    scene.ready(deletionPolicy="Delete")
    taken = {"defender-devops-owner": "another-cluster/another-uid", "defender-devops-resource": "there/theirs"}
    scene.change_in_portal(tags=taken)
    scene.wait("Provisioned", "False", "OwnershipLost")
    since = scene.control.last()
    delete(scene)
    wait_gone(scene)
    left = scene.in_azure()
    assert left is not None
    assert left["tags"] == taken
    assert scene.writes(since) == []


def test_a_connector_that_is_gone_already_holds_nothing_up(scene: Scene) -> None:
    scene.ready()
    scene.delete_in_portal()
    delete(scene)
    wait_gone(scene)


def test_a_resource_group_that_is_gone_holds_nothing_up(scene: Scene) -> None:
    scene.ready()
    scene.delete_in_portal()
    scene.control.change_subscription(SUBSCRIPTION, resourceGroups=[])
    delete(scene)
    wait_gone(scene)


def test_roles_that_were_given_go_before_the_connector(scene: Scene) -> None:
    scene.ready(securityReaders=[{"objectId": READER, "principalType": "Group"}])
    since = scene.control.last()
    delete(scene)
    wait_gone(scene)
    assert scene.writes(since) == ["RoleAssignments_Delete", "SecurityConnectors_Delete"]


def test_a_deletion_that_azure_throttles_comes_through(scene: Scene) -> None:
    scene.ready()
    scene.control.fault(service="arm", method="DELETE", status=429, headers={"Retry-After": "1"}, times=2)
    delete(scene)
    wait_gone(scene)
    assert scene.in_azure() is None


def test_after_a_deletion_the_same_manifest_makes_a_new_connector_with_a_new_code(scene: Scene) -> None:
    first = scene.ready()
    delete(scene)
    wait_gone(scene)
    scene.kube.wait_gone(ORGANIZATION, "contoso-contoso", scene.namespace)
    second = scene.ready()
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert scene.onboarded() == {"contoso", "fabrikam"}
    codes = [code for entry in scene.control.journal() for code in entry.get("codes", [])]
    assert len(codes) == len(set(codes)) == 2
    azure = scene.in_azure()
    assert azure is not None
    assert re.search(rf"/{second['metadata']['uid']}$", azure["tags"]["defender-devops-owner"])
    assert azure["id"].lower().split("/")[4] == GROUP
