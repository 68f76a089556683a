"""A connector's life, through the front door."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, ORGANIZATION, SUBSCRIPTION, Scene, message

Run = Callable[..., Operator]


def test_a_code_makes_a_connector_ready_with_its_organizations_and_is_sent_once(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest())
    ready = scene.wait("Ready", "True")
    assert not {"Reconciling", "Stalled"} & {each["type"] for each in ready["status"]["conditions"]}
    assert ready["metadata"]["finalizers"] == ["defender-devops.io/finalizer"]
    assert ready["status"]["azure"]["created"] is True
    organizations = scene.organizations()
    assert organizations.keys() == {"contoso", "fabrikam"}
    assert all(condition(each, "Ready")["reason"] == "Onboarded" for each in organizations.values())
    assert scene.writes() == ["SecurityConnectors_CreateOrUpdate", "DevOpsConfigurations_CreateOrUpdate"]
    (spent,) = [each for entry in scene.control.journal() for each in entry.get("codes", [])]
    assert spent == ready["status"]["authorization"]["codeHash"]


def test_a_connector_of_the_portal_is_adopted_and_left_there(scene: Scene) -> None:
    scene.control.call(
        "POST",
        "/connectors",
        subscription=SUBSCRIPTION,
        resourceGroup=GROUP,
        name="contoso",
        account=ACCOUNT,
        location="westeurope",
        autoDiscovery="Enabled",
    )
    before = scene.control.last()
    manifest = scene.manifest(
        organizations={"mode": "AllAndFuture", "names": None}, authorization={"method": "Adopt", "codeSecretRef": None}
    )
    scene.apply(manifest)
    ready = scene.wait("Ready", "True")
    assert ready["status"]["azure"]["created"] is False
    assert scene.writes(before) == ["SecurityConnectors_Update"]
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    (left,) = scene.control.world()["connectors"]
    assert left["id"].endswith("/contoso")
    assert not {"defender-devops-owner", "defender-devops-resource"} & left.get("tags", {}).keys()


def test_deleting_a_connector_that_we_made_leaves_azure_clean(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest())
    scene.wait("Ready", "True")
    scene.kube.delete(KIND, "contoso", scene.namespace)
    scene.kube.wait_gone(KIND, "contoso", scene.namespace)
    assert scene.control.world()["connectors"] == []
    for each in ("contoso-contoso", "contoso-fabrikam"):
        scene.kube.wait_gone(ORGANIZATION, each, scene.namespace)


def test_discovery_is_counted_and_comes_to_an_end(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest(organizations={"names": ["contoso"]}))
    done = scene.wait("Discovered", "True", timeout=60)
    assert done["status"]["discovery"]["repositories"]["discovered"] == 33
    assert done["status"]["discovery"]["completedAt"]


def test_lost_access_says_who_must_do_what_and_goes_back_by_itself(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest())
    scene.wait("Ready", "True")
    scene.control.remove_access(ACCOUNT)
    lost = scene.wait("ReauthRequired", "True", "AuthorizationLost")
    assert ACCOUNT in message(lost, "ReauthRequired")
    assert "Secret code" in message(lost, "ReauthRequired")
    assert condition(lost, "Ready")["status"] == "False"
    assert condition(lost, "Stalled")["status"] == "True"
    scene.control.restore_access(ACCOUNT)
    scene.wait("ReauthRequired", "False")
    scene.wait("Ready", "True")


def test_an_edit_of_the_spec_ends_a_long_back_off_within_a_second(own_scene: Scene, run: Run) -> None:
    scene = own_scene
    run(backoff_initial="600", backoff_maximum="600")
    scene.new_code()
    scene.apply(scene.manifest(azure={"resourceGroup": "rg-of-nobody", "tags": {"team": "one"}}))
    scene.wait("Provisioned", "False", "InvalidSpec")
    scene.apply(scene.manifest(azure={"resourceGroup": "rg-of-nobody", "tags": {"team": "two"}}))
    edited = time.monotonic()
    scene.kube.wait(
        KIND,
        "contoso",
        scene.namespace,
        until=lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"],
        timeout=10,
    )
    assert time.monotonic() - edited < 1


@pytest.mark.parametrize(
    ("change", "kind", "reason", "words"),
    [
        ({"azure": {"location": "antarctica"}}, "Provisioned", "RegionNotSupported", "antarctica"),
        ({"azure": {"resourceGroup": "rg-of-nobody"}}, "Provisioned", "InvalidSpec", "rg-of-nobody"),
        (
            {"azure": {"subscriptionId": "00000000-0000-0000-0000-00000000dead"}},
            "Provisioned",
            "CredentialsMissing",
            "identityGrants",
        ),
        (
            {"authorization": {"codeSecretRef": {"name": "nowhere", "key": "code"}}},
            "Authorized",
            "AwaitingAuthorization",
            "nowhere",
        ),
        (
            {
                "azure": {
                    "identity": {
                        "type": "ClientSecret",
                        "clientId": "55555555-5555-5555-5555-555555555555",
                        "secretRef": {"name": "wrong", "key": "client-secret"},
                    }
                }
            },
            "Provisioned",
            "CredentialsMissing",
            "secret",
        ),
    ],
    ids=["region", "resource group", "grant", "code secret", "client secret"],
)
def test_bad_input_ends_in_a_condition_that_says_what_to_do(
    scene: Scene, change: dict[str, object], kind: str, reason: str, words: str
) -> None:
    scene.new_code()
    scene.secret("wrong", client_secret="not-the-secret")
    scene.apply(scene.manifest(**change))
    said = scene.wait(kind, "False", reason)
    assert words in message(said, kind)


def test_a_missing_code_is_taken_as_soon_as_it_is_there(scene: Scene) -> None:
    scene.apply(scene.manifest())
    scene.wait("Authorized", "False", "AwaitingAuthorization")
    scene.new_code()
    scene.wait("Ready", "True")


def test_nothing_is_written_when_nothing_changes(scene: Scene) -> None:
    scene.new_code()
    scene.apply(scene.manifest(organizations={"names": ["fabrikam"]}))
    before = scene.wait("Discovered", "True", timeout=60)
    since = scene.control.last()
    # Three checks of the authorization go by: each is a request in the journal.
    for _ in range(3):
        entries = scene.control.journal(since=scene.control.last(), operation="AzureDevOpsOrgs_ListAvailable", wait=10)
        assert entries
    assert scene.writes(since) == []
    assert scene.connector()["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
