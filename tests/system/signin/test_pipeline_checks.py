"""Pipeline checks of the operator as a process: what it sends, what it keeps, and what a restart repeats."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

import pytest

from defender_devops.api.azure_types import AgentlessConfiguration
from defender_devops.api.names import PIPELINE_EVIDENCE_SECRET_TYPE, pipeline_evidence_secret_name
from defender_devops.api.pipelines.states import PipelineReason
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.reconcile.facts.pipelines import assess_repositories
from defender_devops.reconcile.observe.pipelines.evidence_store import decode_state
from defender_devops.reconcile.observe.pipelines.sweep_state import SweepState
from sandbox.cluster import Cluster
from tests.support.command_line import command_line
from tests.support.scenarios.sign_in_scenario import SignInScenario

PIPELINES = {"pipelineChecks": {"mode": "Enabled"}}
SCAN = "steps:\n- task: MicrosoftSecurityDevOps@1\n"


def state_of(body: dict[str, Any]) -> SweepState | None:
    """Return the state that a Secret holds."""
    return decode_state(base64.b64decode(body.get("data", {}).get("evidence", "")))


def wait_until_checked(scenario: SignInScenario, organization: str = "contoso", *, timeout: float = 60) -> SweepState:
    """Wait until a check has ended, and return what it has read."""
    name = pipeline_evidence_secret_name("contoso", organization)

    def is_finished(body: dict[str, Any]) -> bool:
        state = state_of(body)
        return state is not None and state.finished_at is not None

    body = scenario.kube.wait("Secret", name, scenario.namespace, until=is_finished, timeout=timeout)
    assert body["type"] == PIPELINE_EVIDENCE_SECRET_TYPE
    assert body["metadata"]["ownerReferences"][0]["uid"] == scenario.connector()["metadata"]["uid"]
    state = state_of(body)
    assert state is not None
    return state


def pipeline_requests(scenario: SignInScenario) -> Counter[str]:
    """Return the number of requests of pipeline checks by operation."""
    counts: Counter[str] = Counter()
    for operation in ("Definitions_List", "Artifacts_List", "Builds_GetBuildLog", "Configurations_List", "Builds_List"):
        counts[operation] = len(scenario.control.journal(operation=operation))
    return counts


def test_pipelines_are_checked_once_that_is_enabled_and_no_request_is_sent_before(scenario: SignInScenario) -> None:
    project = "/organizations/contoso/projects/webshop"
    scenario.control.call("PATCH", f"{project}/repositories/storefront", files={"azure-pipelines.yml": SCAN})
    scenario.control.call("POST", f"{project}/pipelines", name="storefront-ci", repository="storefront", builds=[{}])
    scenario.connect()
    scenario.sign_in()
    scenario.wait("SignedIn", "True", timeout=30)
    assert pipeline_requests(scenario).total() == 0
    scenario.connect(**PIPELINES)
    state = wait_until_checked(scenario)
    assessments = assess_repositories(
        state.evidence(), AgentlessConfiguration(enabled=False), "contoso", state.finished_at
    )
    reasons = {item.repository: item.reason for item in assessments}
    assert reasons["storefront"] is PipelineReason.ARTIFACT_PUBLISHED
    wait_until_checked(scenario, "fabrikam")
    requests = pipeline_requests(scenario)
    assert requests["Artifacts_List"] >= 1
    # Nothing is read again before the interval has passed.
    scenario.wait_observed()
    assert pipeline_requests(scenario) == requests


def test_the_command_line_lists_each_repository_without_a_request(
    scenario: SignInScenario, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = "/organizations/contoso/projects/webshop"
    scenario.control.call("PATCH", f"{project}/repositories/storefront", files={"azure-pipelines.yml": SCAN})
    scenario.control.call("POST", f"{project}/pipelines", name="storefront-ci", repository="storefront", builds=[{}])
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    scenario.connect()
    scenario.sign_in()
    name = f"{scenario.namespace}/contoso"
    with command_line(capsys) as run:
        disabled = run("pipelines", name)
        assert (disabled.exit_code, disabled.out) == (ExitCode.NOT_OK, "")
        assert "pipelines are not checked. Enable the checks" in disabled.err
        scenario.connect(**PIPELINES)
        wait_until_checked(scenario)
        wait_until_checked(scenario, "fabrikam")
        requests = pipeline_requests(scenario)
        listed = run("pipelines", name, "--organization", "Contoso", "-o", "json")
        table = run("pipelines", name, "--organization", "contoso", "--state", "ran")
        status = run("status", name)
    assert pipeline_requests(scenario) == requests
    content = json.loads(listed.out)
    entry = next(item for item in content["repositories"] if item["repository"] == "storefront")
    assert (entry["state"], entry["reason"], entry["pipeline"]) == ("ran", "ArtifactPublished", "storefront-ci")
    assert table.out.splitlines()[1].split()[:3] == ["contoso/webshop/storefront", "ran", "ArtifactPublished"]
    # The list agrees with the numbers in the status, and each repository is listed once.
    (organization,) = content["organizations"]
    body = scenario.kube.wait(
        "DevOpsOrganization", "contoso-contoso", scenario.namespace, until=_has_numbers, timeout=60
    )
    assert organization["repositories"] == body["status"]["pipelines"]["repositories"]
    assert sum(organization["repositories"].values()) == len(content["repositories"])
    missing = organization["repositories"]["missing"]
    assert f"{missing} of " in listed.err
    assert "repositories not scanned" in status.out


def _has_numbers(body: dict[str, Any]) -> bool:
    return "repositories" in (body.get("status") or {}).get("pipelines", {})
