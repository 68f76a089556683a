"""Pipeline checks beside what Defender shows, and a large check whose operator is killed; each has its own operator."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from defender_devops.reconcile.observe.pipelines.sweep import SweepOptions
from sandbox.cloud.control.client import ControlClient
from sandbox.cloud.world.load import DEFAULT_WORLD
from sandbox.cloud.world.schema import WorldFile
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud, Operator
from tests.sandbox.cloud.direct import Direct
from tests.sandbox.test_pipeline_checks import Check
from tests.support.command_line import command_line
from tests.support.scenarios.scenario import ACCOUNT, GROUP, ORGANIZATION, SUBSCRIPTION, wait_for
from tests.support.scenarios.sign_in_scenario import SignInScenario
from tests.system.signin.conftest import Stage, working_in
from tests.system.signin.test_pipeline_checks import PIPELINES, SCAN, wait_until_checked

DAY = 86400.0
RESULTS_QUERY = {"service": "arm", "path": "Microsoft.ResourceGraph/resources", "content": "isRepository"}
"""The query for the repositories that have recommendations."""


@contextmanager
def open_scenario(kube: KubernetesClient, cloud: Cloud, log: Path, namespace: str) -> Iterator[SignInScenario]:
    """A namespace of the test's own, and the cloud as new."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    with ControlClient(cloud.control) as control:
        control.reset()
        yield SignInScenario(kube, control, namespace, cloud.ca, log)


@pytest.fixture
def scenario(kube: KubernetesClient, stage: Stage, tmp_path: Path, worker_id: str) -> Iterator[SignInScenario]:
    """A connector that was authorized four days ago."""
    with open_scenario(kube, stage.cloud, tmp_path / "operator.log", f"pipeline-results-{worker_id}") as scenario:
        scenario.connector_age = 4 * DAY
        yield scenario


@pytest.fixture
def operator(scenario: SignInScenario, stage: Stage) -> Iterator[Operator]:
    """An operator that reads recommendations every second."""
    settings = {**working_in(scenario.namespace), "DEFENDER_DEVOPS_POSTURE_INTERVAL": "1"}
    with stage.another_operator(scenario.log, **settings) as operator:
        yield operator
        scenario.leave()
    assert "Traceback" not in scenario.log.read_text()


def has_number(number: int | None) -> Callable[[Manifest], bool]:
    """Whether a DevOpsOrganization has this number of repositories without results; None: no number at all."""

    def holds(body: Manifest) -> bool:
        pipelines: dict[str, Any] = (body.get("status") or {}).get("pipelines") or {}
        return "repositories" in pipelines and pipelines.get("ranWithoutResults") == number

    return holds


def wait_for_number(scenario: SignInScenario, number: int | None) -> Manifest:
    """Wait for the number of repositories of contoso without results; return the resource."""
    return scenario.kube.wait(ORGANIZATION, "contoso-contoso", scenario.namespace, until=has_number(number), timeout=60)


def metric_lines(operator: Operator, scenario: SignInScenario) -> list[str]:
    """Lines of the metric of scans without results about the namespace's organization contoso."""
    text = httpx.get(f"{operator.metrics}/metrics", trust_env=False).text
    name = "defender_devops_pipeline_repositories_without_results{"
    labels = (f'namespace="{scenario.namespace}"', 'organization="contoso"')
    return [line for line in text.splitlines() if line.startswith(name) and all(label in line for label in labels)]


def test_a_scan_of_which_defender_shows_nothing_is_counted_and_named_until_it_shows_something(
    scenario: SignInScenario,
    operator: Operator,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    control = scenario.control
    # Every second repository has a finding: checkout has one, and catalog has none.
    control.generate_assessments(posture=False, perRepository=0.5)
    for name in ("checkout", "catalog"):
        control.change_repository("contoso", "webshop", name, files={"azure-pipelines.yml": SCAN})
        control.add_pipeline("contoso", "webshop", name=f"{name}-ci", repository=name, builds=[{"age": 3 * DAY}])
    scenario.connect(**PIPELINES)
    scenario.sign_in()
    body = wait_for_number(scenario, 1)
    assert body["status"]["pipelines"]["examplesWithoutResults"] == ["webshop/catalog"]
    assert body["status"]["pipelines"]["repositories"]["ran"] == 2
    assert "shows nothing of them, such as webshop/catalog" in condition(body, "PipelinesConfigured")["message"]
    wait_for(lambda: [line[-4:] for line in metric_lines(operator, scenario)] == [" 1.0"], "no metric")
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    requests = len(control.journal(operation="Artifacts_List"))
    with command_line(capsys) as run:
        arguments = ("--organization", "contoso", "--state", "ran", "-o", "json")
        listed = run("pipelines", f"{scenario.namespace}/contoso", *arguments)
    entries = {item["repository"]: item.get("results") for item in json.loads(listed.out)["repositories"]}
    assert entries == {"checkout": None, "catalog": "none"}
    assert "scans of 1 ran more than 48 hours ago" in listed.err

    # Refused, the number is unknown with the reason, and never zero.
    refusal = {"error": {"code": "AuthorizationFailed", "message": "No."}}
    fault = control.fault(**RESULTS_QUERY, status=403, body=refusal, times=None)
    assert fault
    control.add_assessment(
        organization="contoso", project="webshop", repository="catalog", title="A finding", severity="Low"
    )
    body = wait_for_number(scenario, None)
    assert not body["status"]["pipelines"].get("examplesWithoutResults")
    assert "results is not known: " in condition(body, "PipelinesConfigured")["message"]
    wait_for(lambda: metric_lines(operator, scenario) == [], "the metric stays")
    control.clear_faults()
    body = wait_for_number(scenario, 0)
    assert "shows nothing" not in condition(body, "PipelinesConfigured")["message"]
    assert len(control.journal(operation="Artifacts_List")) == requests, "no request to Azure DevOps"


@pytest.mark.usefixtures("operator")
def test_an_organization_that_defender_evaluates_only_now_is_unknown(scenario: SignInScenario) -> None:
    control = scenario.control
    control.change_repository("contoso", "webshop", "catalog", files={"azure-pipelines.yml": SCAN})
    control.add_pipeline("contoso", "webshop", name="catalog-ci", repository="catalog", builds=[{"age": 3 * DAY}])
    scenario.connector_age = DAY
    scenario.connect(**PIPELINES)
    scenario.sign_in()
    body = scenario.kube.wait(
        ORGANIZATION,
        "contoso-contoso",
        scenario.namespace,
        until=lambda body: "less than 48 hours" in condition(body, "PipelinesConfigured").get("message", ""),
        timeout=60,
    )
    assert "ranWithoutResults" not in body["status"]["pipelines"]


async def needed_requests(world: WorldFile) -> int:
    """Return the number of requests that a check of org-0001 needs which nothing interrupts."""
    check = Check(Direct(world), "org-0001", options=SweepOptions())
    check.direct.world.settings.throttling = False
    await check.run()
    return check.requests["build"]


@pytest.mark.parametrize("share", [0.5, pytest.param(0.1, marks=pytest.mark.long)])
def test_a_large_check_whose_operator_is_killed_goes_on_and_repeats_at_most_a_twentieth(
    share: float,
    kube: KubernetesClient,
    stage: Stage,
    start_cloud: Callable[..., Cloud],
    tmp_path: Path,
) -> None:
    world = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    world["generate"] = {
        "tenant": "contoso.com",
        "account": ACCOUNT,
        "subscription": SUBSCRIPTION,
        "resourceGroup": GROUP,
        "organizations": 1,
        "projects": 30,
        "repositories": 600,
        "pipelines": {},
    }
    file = tmp_path / "world.yaml"
    file.write_text(yaml.safe_dump(world))
    request_count = asyncio.run(needed_requests(WorldFile.parse(world)))
    assert request_count > 500
    cloud = start_cloud("--speed", "360", "--world", file)
    namespace = f"pipeline-kill-{os.getpid()}"
    # Only the check in question sends requests about builds.
    settings = {**cloud.environment(), **working_in(namespace), "DEFENDER_DEVOPS_CHECK_INTERVAL": "600"}
    with open_scenario(kube, cloud, tmp_path / "first.log", namespace) as scenario:
        scenario.organizations_of_connector = ("org-0001",)

        def count_requests() -> int:
            return len(scenario.control.journal(path="/org-0001/.*/_apis/build/"))

        with stage.another_operator(scenario.log, **settings) as first:
            scenario.connect(**PIPELINES)
            scenario.sign_in()
            wait_for(lambda: count_requests() >= share * request_count, "the check does not go on", timeout=120)
            first.process.kill()
        requests_before_kill = count_requests()
        with stage.another_operator(tmp_path / "second.log", **settings):
            state = wait_until_checked(scenario, "org-0001", timeout=120)
            requests = count_requests()
            scenario.leave()
        assert len(state.repositories) == 600
        assert requests_before_kill < 0.9 * request_count
        repetitions = requests - request_count
        assert -0.01 * request_count <= repetitions <= 0.05 * request_count, (
            request_count,
            requests_before_kill,
            requests,
        )
        assert scenario.control.usage()[ACCOUNT]["peak"] <= 200
