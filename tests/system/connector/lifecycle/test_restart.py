"""An operator that starts again beside connectors at rest: what it asks for, and what it does not miss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.cluster.client import condition
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ACCOUNT, KIND, ORGANIZATION, Scenario

Run = Callable[..., Operator]
PROBE = "AzureDevOpsOrgs_ListAvailable"
HOURLY = {"check_interval": "3600", "terminal_retry_interval": "3600"}
"""So seldom that no check of an authorization is due during a test, but for one that falls into its seconds."""

_UNTIL_DISCOVERED = 9 * 3600.0
"""Seconds of Azure's time: Defender begins within eight hours."""


def statuses(scenario: Scenario) -> dict[str, Any]:
    """resourceVersion and status of everything of ours."""
    return {
        f"{kind} {body['metadata']['name']}": (body["metadata"]["resourceVersion"], body["status"])
        for kind in (KIND, ORGANIZATION)
        for body in scenario.kube.list_all(kind, scenario.namespace)
    }


def at_rest(scenario: Scenario) -> None:
    """Wait until a connector is Ready, everything is discovered and Resource Graph has returned all of it."""
    scenario.ready()
    scenario.wait_until(lambda body: condition(body, "PostureAvailable"))
    scenario.control.move(_UNTIL_DISCOVERED)
    scenario.wait("Discovered", "True", timeout=90)
    scenario.wait_request("Resources_Query", times=3)


@pytest.mark.parametrize("is_killed", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restart_at_rest_reads_and_writes_nothing(own_scenario: Scenario, run: Run, *, is_killed: bool) -> None:
    operator = run(**HOURLY)
    at_rest(own_scenario)
    previous = statuses(own_scenario)
    if is_killed:
        operator.process.kill()
    else:
        assert operator.stop() == 0
    since = own_scenario.control.last()
    run(**HOURLY)
    own_scenario.wait_request("Resources_Query", times=3)
    operations = [entry["operation"] for entry in own_scenario.control.journal(since=since, service="arm")]
    assert set(operations) - {PROBE} == {"Resources_Query"}
    assert operations.count(PROBE) <= 1
    assert statuses(own_scenario) == previous


def test_drift_of_the_time_without_an_operator_is_corrected(own_scenario: Scenario, run: Run) -> None:
    operator = run(**HOURLY)
    at_rest(own_scenario)
    operator.stop()
    own_scenario.change_in_portal(organizations=["contoso"])
    run(**HOURLY)
    own_scenario.wait_onboarded("contoso", "fabrikam")
    own_scenario.wait("Ready", "True")


def test_a_connector_that_was_deleted_in_azure_meanwhile_is_reported(own_scenario: Scenario, run: Run) -> None:
    operator = run(**HOURLY)
    at_rest(own_scenario)
    operator.stop()
    own_scenario.delete_in_portal()
    run(**HOURLY)
    own_scenario.wait("Ready", "False", "ConnectorNotFound")


def test_an_edit_of_the_time_without_an_operator_is_carried_out(own_scenario: Scenario, run: Run) -> None:
    operator = run(**HOURLY)
    at_rest(own_scenario)
    operator.stop()
    own_scenario.apply(own_scenario.manifest(organizations={"mode": "Selected", "names": ["contoso"]}))
    run(**HOURLY)
    own_scenario.wait_onboarded("contoso")
    own_scenario.wait("Ready", "True")


def test_a_lost_authorization_is_detected_within_the_check_interval(own_scenario: Scenario, run: Run) -> None:
    operator = run(**HOURLY)
    at_rest(own_scenario)
    operator.stop()
    own_scenario.control.remove_access(ACCOUNT)
    run(check_interval="5")
    own_scenario.wait("Authorized", "False", "AuthorizationLost")
