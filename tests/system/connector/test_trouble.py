"""Azure in trouble: nothing is lost, nothing is done twice that must not be, and no alarm is raised for what passes."""

from __future__ import annotations

from typing import Any

import pytest

from defender_devops.api.names import ANNOTATION_RECONCILE_REQUESTED_AT
from sandbox.cluster.client import condition
from tests.support.scenarios.scenario import ACCOUNT, KIND, Scenario, message

KINDS: dict[str, dict[str, Any]] = {
    "answers 500": {"status": 500},
    "answers 429": {"status": 429, "headers": {"Retry-After": "1"}},
    "cuts the connection before": {"cut": "before"},
    "cuts the connection after": {"cut": "after"},
}
CONNECTOR, CONFIGURATION = "securityConnectors/contoso$", "/devops/default$"
OPERATIONS = (
    ("GET", CONNECTOR),
    ("PUT", CONNECTOR),
    ("PATCH", CONNECTOR),
    ("DELETE", CONNECTOR),
    ("GET", CONFIGURATION),
    ("PATCH", CONFIGURATION),
    ("GET", "azureDevOpsOrgs$"),
    ("PATCH", "azureDevOpsOrgs/contoso$"),
    ("POST", "listAvailableAzureDevOpsOrgs$"),
    ("POST", "Microsoft.ResourceGraph/resources$"),
)
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_an_azure_that_fails_once_at_everything_makes_no_difference(scenario: Scenario, kind: str) -> None:
    for method, path in OPERATIONS:
        scenario.control.fault(service="arm", method=method, path=path, **KINDS[kind])
    scenario.ready()
    scenario.apply(
        scenario.manifest(
            azure={"tags": {"team": "blue"}},
            organizations={"names": ["contoso", "northwind"]},
            pullRequestAnnotations={"mode": "Enabled", "minimumSeverity": "High"},
        )
    )
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "northwind")
    scenario.wait_observed()
    scenario.wait("Provisioned", "True")
    writes = scenario.writes()
    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    assert scenario.in_azure() is None
    codes = [code for entry in scenario.control.journal() for code in entry.get("codes", [])]
    assert len(codes) == 1
    if kind == "cuts the connection after":
        # Who does not hear that it was done has to ask for it again; the end is the same.
        assert len(writes) <= 10
    else:
        assert sorted(writes) == [
            "AzureDevOpsOrgs_Update",
            "AzureDevOpsOrgs_Update",
            "DevOpsConfigurations_CreateOrUpdate",
            "DevOpsConfigurations_Update",
            "SecurityConnectors_CreateOrUpdate",
            "SecurityConnectors_Update",
        ]


@kinds
def test_a_code_is_sent_once_whatever_came_of_it(scenario: Scenario, kind: str) -> None:
    scenario.control.fault(service="arm", method="PUT", path=CONFIGURATION, **KINDS[kind])
    scenario.new_code()
    scenario.apply(scenario.manifest())
    if kind != "cuts the connection after":
        connector = scenario.wait("Authorized", "False", "AwaitingAuthorization")
        for part in ("sent before", "Secret code", ACCOUNT):
            assert part in message(connector, "Authorized")
        scenario.new_code()
    scenario.wait("Ready", "True")
    scenario.wait_onboarded("contoso", "fabrikam")
    requests = scenario.control.journal(service="arm", method="PUT", path=CONFIGURATION)
    assert len(requests) == (1 if kind == "cuts the connection after" else 2)


@pytest.mark.long  # what failed is asked for again a minute later
@pytest.mark.parametrize("outcome", ["failed", "canceled"])
def test_a_configuration_that_azure_does_not_bring_to_its_end_is_finished_without_another_code(
    scenario: Scenario, outcome: str
) -> None:
    scenario.control.fault(method="PUT", path=CONFIGURATION, operation={"outcome": outcome, "message": "storm"})
    scenario.new_code()
    scenario.apply(scenario.manifest())
    connector = scenario.wait_until(lambda body: "storm" in message(body, "Provisioned"))
    assert condition(connector, "Provisioned")["reason"] == "AzureUnavailable"
    assert condition(connector, "Reconciling")["status"] == "True"
    scenario.wait("Ready", "True", timeout=90)
    scenario.wait_onboarded("contoso", "fabrikam")
    codes = [code for entry in scenario.control.journal() for code in entry.get("codes", [])]
    assert len(codes) == 1


def test_an_outage_raises_no_alarm_about_a_connector_that_works(scenario: Scenario) -> None:
    scenario.ready(organizations={"names": ["tailspin"]})
    ready = scenario.wait("Discovered", "True", timeout=60)
    scenario.control.fault(service="arm", status=503, times=None)
    # First the probe of the authorization fails; when Resource Graph has failed for a while, everything is read again,
    # and that fails too. An outage may begin between the two, so that there is only the second failure.
    scenario.wait_request(path="securityConnectors/contoso$", times=3)
    during = scenario.connector()
    assert during["metadata"]["resourceVersion"] == ready["metadata"]["resourceVersion"]
    scenario.control.clear_faults()
    scenario.wait_observed()
    assert scenario.connector()["metadata"]["resourceVersion"] == ready["metadata"]["resourceVersion"]


def test_an_outage_while_something_is_to_be_done_is_told_and_done_afterwards(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="arm", status=503, times=None)
    scenario.apply(scenario.manifest(azure={"tags": {"team": "blue"}}))
    connector = scenario.wait("Provisioned", "False", "AzureUnavailable")
    assert condition(connector, "Ready")["status"] == "False"
    assert condition(connector, "Reconciling")["reason"] == "AzureUnavailable"
    assert condition(connector, "Stalled") == {}
    assert condition(connector, "Authorized")["status"] == "True"
    assert condition(connector, "ReauthRequired")["status"] == "False"
    scenario.control.clear_faults()
    scenario.wait("Ready", "True")
    assert (scenario.in_azure() or {})["tags"]["team"] == "blue"


def test_an_entra_that_is_down_is_an_outage_too(scenario: Scenario) -> None:
    scenario.ready()
    scenario.control.fault(service="authority", status=503, times=None)
    scenario.control.expire_tokens()
    scenario.apply(scenario.manifest(azure={"tags": {"team": "blue"}}))
    connector = scenario.wait("Provisioned", "False", "AzureUnavailable")
    assert "Entra ID" in message(connector, "Provisioned")
    assert condition(connector, "Stalled") == {}
    scenario.control.clear_faults()
    scenario.wait("Ready", "True")


def test_expired_tokens_are_renewed_without_a_word(scenario: Scenario) -> None:
    scenario.ready()
    version = scenario.wait("Discovered", "True", timeout=60)["metadata"]["resourceVersion"]
    scenario.control.expire_tokens()
    scenario.wait_observed()
    scenario.wait_observed()
    assert scenario.connector()["metadata"]["resourceVersion"] == version


GARBAGE: dict[str, dict[str, Any]] = {
    "204": {"status": 204},
    "an empty 200": {"status": 200},
    "an empty object": {"status": 200, "body": {}},
    "a list of null": {"status": 200, "body": {"value": [None]}},
    "properties of null": {"status": 200, "body": {"id": "/x", "properties": None}},
    "404 without a body": {"status": 404},
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_nothing_is_written_because_of_garbage(scenario: Scenario, garbage: str) -> None:
    scenario.ready()
    before = scenario.control.last()
    for path in (CONNECTOR, CONFIGURATION, "azureDevOpsOrgs$", "listAvailableAzureDevOpsOrgs$"):
        scenario.control.fault(service="arm", path=path, times=2, **GARBAGE[garbage])
    annotations = {ANNOTATION_RECONCILE_REQUESTED_AT: garbage}
    scenario.kube.patch(KIND, "contoso", {"metadata": {"annotations": annotations}}, scenario.namespace)
    connector = scenario.wait_until(lambda body: body["status"].get("lastHandledReconcileAt") == garbage)
    assert condition(connector, "Stalled") == {}
    scenario.wait("Ready", "True")
    scenario.wait_observed()
    assert scenario.writes(since=before) == []
    scenario.wait_onboarded("contoso", "fabrikam")
