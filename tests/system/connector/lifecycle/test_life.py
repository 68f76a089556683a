"""A connector's life, through the front door."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, ORGANIZATION, SUBSCRIPTION, Scenario, message

Run = Callable[..., Operator]


def test_a_code_makes_a_connector_ready_with_its_organizations_and_is_sent_once(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest())
    ready = scenario.wait("Ready", "True")
    assert not {"Reconciling", "Stalled"} & {condition_["type"] for condition_ in ready["status"]["conditions"]}
    assert ready["metadata"]["finalizers"] == ["defender-devops.io/finalizer"]
    assert ready["status"]["azure"]["created"] is True
    organizations = scenario.organizations()
    assert organizations.keys() == {"contoso", "fabrikam"}
    assert all(condition(organization, "Ready")["reason"] == "Onboarded" for organization in organizations.values())
    assert scenario.writes() == ["SecurityConnectors_CreateOrUpdate", "DevOpsConfigurations_CreateOrUpdate"]
    (sent_hash,) = [code_hash for entry in scenario.control.journal() for code_hash in entry.get("codes", [])]
    assert sent_hash == ready["status"]["authorization"]["codeHash"]


def test_a_connector_of_the_portal_is_adopted_and_left_there(scenario: Scenario) -> None:
    scenario.control.call(
        "POST",
        "/connectors",
        subscription=SUBSCRIPTION,
        resourceGroup=GROUP,
        name="contoso",
        account=ACCOUNT,
        location="westeurope",
        autoDiscovery="Enabled",
    )
    since = scenario.control.last()
    manifest = scenario.manifest(
        organizations={"mode": "AllAndFuture", "names": None}, authorization={"method": "Adopt", "codeSecretRef": None}
    )
    scenario.apply(manifest)
    ready = scenario.wait("Ready", "True")
    assert ready["status"]["azure"]["created"] is False
    assert scenario.writes(since) == ["SecurityConnectors_Update"]
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    (azure_connector,) = scenario.control.world()["connectors"]
    assert azure_connector["id"].endswith("/contoso")
    assert not {"defender-devops-owner", "defender-devops-resource"} & azure_connector.get("tags", {}).keys()


def test_deleting_a_connector_that_we_made_leaves_azure_clean(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest())
    scenario.wait("Ready", "True")
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    assert scenario.control.world()["connectors"] == []
    for name in ("contoso-contoso", "contoso-fabrikam"):
        scenario.kube.wait_deleted(ORGANIZATION, name, scenario.namespace)


def test_discovery_is_counted_and_comes_to_an_end(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(organizations={"names": ["contoso"]}))
    discovered = scenario.wait("Discovered", "True", timeout=60)
    assert discovered["status"]["discovery"]["repositories"]["discovered"] == 33
    assert discovered["status"]["discovery"]["completedAt"]


def test_lost_access_says_who_must_do_what_and_goes_back_by_itself(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest())
    scenario.wait("Ready", "True")
    scenario.control.remove_access(ACCOUNT)
    connector = scenario.wait("ReauthRequired", "True", "AuthorizationLost")
    assert ACCOUNT in message(connector, "ReauthRequired")
    assert "Secret code" in message(connector, "ReauthRequired")
    assert condition(connector, "Ready")["status"] == "False"
    assert condition(connector, "Stalled")["status"] == "True"
    scenario.control.restore_access(ACCOUNT)
    scenario.wait("ReauthRequired", "False")
    scenario.wait("Ready", "True")


def test_an_organization_that_the_account_loses_makes_the_connector_unready(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.remove_access(ACCOUNT, "fabrikam")
    connector = scenario.wait("Ready", "False", "OrganizationNotFound")
    assert "no longer reaches fabrikam" in message(connector, "OrganizationsAvailable")
    assert condition(connector, "Stalled")["status"] == "True"
    scenario.control.restore_access(ACCOUNT, "fabrikam")
    scenario.wait("Ready", "True")


def test_a_code_of_an_account_without_the_selected_organization_makes_the_connector_unready(scenario: Scenario) -> None:
    """The portal does not show who authorized, and the connector's own list still has the organization as onboarded."""
    scenario.ready(organizations={"names": ["fabrikam"]})
    scenario.secret("code", code=scenario.control.issue_code("alex@contoso.com"))
    connector = scenario.wait("Ready", "False", "OrganizationNotFound")
    for part in ("no longer reaches fabrikam", ACCOUNT, "authorize again"):
        assert part in message(connector, "OrganizationsAvailable")
    scenario.new_code()
    scenario.wait("Ready", "True")


def test_an_edit_of_the_spec_ends_a_long_back_off_within_a_second(own_scenario: Scenario, run: Run) -> None:
    scenario = own_scenario
    run(backoff_initial="600", backoff_maximum="600")
    scenario.new_code()
    scenario.apply(scenario.manifest(azure={"resourceGroup": "rg-of-nobody", "tags": {"team": "one"}}))
    scenario.wait("Provisioned", "False", "InvalidSpec")
    scenario.apply(scenario.manifest(azure={"resourceGroup": "rg-of-nobody", "tags": {"team": "two"}}))
    edited = time.monotonic()
    scenario.kube.wait(
        KIND,
        "contoso",
        scenario.namespace,
        until=lambda body: body["status"]["observedGeneration"] == body["metadata"]["generation"],
        timeout=10,
    )
    assert time.monotonic() - edited < 1


@pytest.mark.parametrize(
    ("change", "kind", "reason", "phrase"),
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
    scenario: Scenario, change: dict[str, object], kind: str, reason: str, phrase: str
) -> None:
    scenario.new_code()
    scenario.secret("wrong", client_secret="not-the-secret")
    scenario.apply(scenario.manifest(**change))
    connector = scenario.wait(kind, "False", reason)
    assert phrase in message(connector, kind)


def test_a_missing_code_is_taken_as_soon_as_it_is_there(scenario: Scenario) -> None:
    scenario.apply(scenario.manifest())
    scenario.wait("Authorized", "False", "AwaitingAuthorization")
    scenario.new_code()
    scenario.wait("Ready", "True")


def test_nothing_is_written_when_nothing_changes(scenario: Scenario) -> None:
    scenario.new_code()
    scenario.apply(scenario.manifest(organizations={"names": ["fabrikam"]}))
    discovered = scenario.wait("Discovered", "True", timeout=60)
    since = scenario.control.last()
    # Three checks of the authorization go by: each is a request in the journal.
    for _ in range(3):
        entries = scenario.control.journal(
            since=scenario.control.last(), operation="AzureDevOpsOrgs_ListAvailable", wait=10
        )
        assert entries
    assert scenario.writes(since) == []
    assert scenario.connector()["metadata"]["resourceVersion"] == discovered["metadata"]["resourceVersion"]
