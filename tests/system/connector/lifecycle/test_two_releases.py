"""Two releases of the operator that watch the same namespace: one manages its connectors, and the other takes over."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.stack import Operator
from sandbox.stack.operator import NAMESPACE
from tests.support.scenarios.scenario import KIND, Scenario, wait_for

Run = Callable[..., Operator]


def test_a_release_takes_over_from_one_that_no_longer_exists(own_scenario: Scenario, run: Run) -> None:
    scenario, lease = own_scenario, f"first-{own_scenario.namespace}"
    first = run(operator_name="first", lease_name=lease)
    body = scenario.ready()
    assert body["status"]["operator"] == {"name": "first", "lease": f"{NAMESPACE}/{lease}"}
    first.stop()
    second = run(operator_name="second")
    log = second.process.log
    wait_for(lambda: "another installation of the operator" in log.read_text(), "the second one does not report it")
    scenario.kube.patch(KIND, "contoso", {"spec": {"azure": {"tags": {"team": "b"}}}}, scenario.namespace)
    since = scenario.control.last()
    # A lease that is not renewed any more may be that of a restart: the second one waits.
    assert scenario.writes(since) == []
    scenario.kube.delete("Lease", lease, NAMESPACE)
    second.stop()
    run(operator_name="second")
    body = scenario.wait("Ready", "True")
    assert body["status"]["operator"]["name"] == "second"
    azure_connector = scenario.in_azure()
    assert azure_connector is not None
    assert azure_connector["tags"]["team"] == "b"


def test_a_release_with_the_name_of_a_former_one_takes_over_at_once(own_scenario: Scenario, run: Run) -> None:
    scenario = own_scenario
    first = run(operator_name="release")
    scenario.ready()
    first.process.kill()
    run(operator_name="release")
    scenario.kube.patch(KIND, "contoso", {"spec": {"azure": {"tags": {"team": "b"}}}}, scenario.namespace)
    wait_for(lambda: (scenario.in_azure() or {}).get("tags", {}).get("team") == "b", "nobody manages the connector")
