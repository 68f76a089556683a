"""What Defender for Cloud finds arrives in statuses and metrics, as numbers alone, and silence is never zero."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.loopback import get
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.scenarios.quick import QUICK, watching
from tests.support.scenarios.scenario import KIND, ORGANIZATION, Scenario, message

pytestmark = pytest.mark.early

TITLE = "Canary7f3a title of a finding"
EVIDENCE = "Canary91bc evidence of a finding"
RESOURCE_GRAPH = {"service": "arm", "path": "Microsoft.ResourceGraph/resources", "content": "assessments"}
"""The query for recommendations."""


def add(scenario: Scenario, organization: str, severity: str, category: str = "") -> str:
    """Add a recommendation of an organization, with texts that are easy to recognize; return its key."""
    return scenario.control.add_assessment(
        organization=organization,
        title=f"{TITLE} {severity}",
        severity=severity,
        category=category,
        additionalData={"where": EVIDENCE},
    )


def severities(body: Manifest) -> dict[str, int]:
    """The numbers by severity, without zeros."""
    posture: dict[str, Any] = (body.get("status") or {}).get("posture") or {}
    return {name: number for name, number in (posture.get("recommendations") or {}).items() if number}


def has_findings(scenario: Scenario, **numbers: int) -> Manifest:
    """Wait until the connector has these numbers; return it."""
    return scenario.wait_until(lambda body: severities(body) == numbers, timeout=90)


def metric(operator: Operator, name: str, scenario: Scenario) -> list[str]:
    """Lines of a metric about the scenario's namespace."""
    text = get(f"{operator.metrics}/metrics").text
    return [
        line
        for line in text.splitlines()
        if line.startswith(f"defender_devops_{name}{{") and f'namespace="{scenario.namespace}"' in line
    ]


def everything_visible(scenario: Scenario, operator: Operator) -> str:
    """Objects of the namespace with their events, metrics and log."""
    objects = [
        body for kind in (KIND, ORGANIZATION, "Event") for body in scenario.kube.list_all(kind, scenario.namespace)
    ]
    metrics = get(f"{operator.metrics}/metrics").text
    return "\n".join((json.dumps(objects), metrics, operator.process.log.read_text()))


NAMESPACES = tuple(f"findings-{number}" for number in range(4))
"""One for each test; only the operator of this module works in them."""


@pytest.fixture(scope="module")
def operator(cluster: Cluster, shared_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that counts recommendations every second; a query of the shared one would end others' waits."""
    environment = {
        "KUBECONFIG": str(cluster.kubeconfig),
        **shared_cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        **QUICK,
        **watching(NAMESPACES, NAMESPACES),
        "DEFENDER_DEVOPS_POSTURE_INTERVAL": "1",
    }
    with Operator.start(tmp_path_factory.mktemp("findings") / "operator.log", environment) as operator:
        yield operator


@pytest.fixture(scope="module")
def unused_namespaces() -> Iterator[str]:
    """The namespaces in turn."""
    return iter(NAMESPACES)


@pytest.fixture
def scenario(
    kube: KubernetesClient, cloud: Cloud, operator: Operator, unused_namespaces: Iterator[str]
) -> Iterator[Scenario]:
    """A namespace of that operator; the cloud begins anew."""
    with ControlClient(cloud.control) as control:
        scenario = Scenario(kube, control, next(unused_namespaces))
        scenario.enter()
        yield scenario
        scenario.leave()
    operator.process.check()


def test_findings_are_counted_in_statuses_and_metrics_without_their_texts(
    scenario: Scenario, operator: Operator
) -> None:
    scenario.ready()
    add(scenario, "contoso", "Critical", "ExposedSecrets")
    add(scenario, "contoso", "High", "CodeVulnerabilities")
    key = add(scenario, "fabrikam", "High")
    connector = has_findings(scenario, critical=1, high=2)
    connector = scenario.wait("PostureAvailable", "True", "ResultsAvailable")
    posture = connector["status"]["posture"]
    assert posture["categories"] == {"secrets": 1, "code": 1, "configuration": 1}
    assert posture["findings"] == "1C 2H"
    assert posture["coverage"]["secrets"] == "Partial"
    assert posture["coverage"]["api"] == "Unknown"
    assert condition(connector, "Ready")["status"] == "True"
    organization = scenario.wait_organization("contoso-contoso", "PostureAvailable", "True")
    assert severities(organization) == {"critical": 1, "high": 1}
    critical = [line for line in metric(operator, "recommendations", scenario) if 'severity="critical"' in line]
    assert any('organization="contoso"' in line and line.endswith(" 1.0") for line in critical)
    assert not any('category="api"' in line for line in critical)
    assert metric(operator, "posture_answer_age_seconds", scenario)

    scenario.control.resolve_assessment(key)
    connector = has_findings(scenario, critical=1, high=1)
    texts = everything_visible(scenario, operator)
    assert "posture" in texts
    assert not re.search(f"{TITLE}|{EVIDENCE}|finding-evidence|Canary", texts)

    scenario.kube.delete(KIND, "contoso", scenario.namespace)
    scenario.kube.wait_deleted(KIND, "contoso", scenario.namespace)
    assert metric(operator, "recommendations", scenario) == []


def test_an_organization_without_results_is_unknown_and_never_zero(scenario: Scenario) -> None:
    scenario.ready()
    add(scenario, "contoso", "High")
    scenario.wait_organization("contoso-contoso", "PostureAvailable", "True", timeout=90)
    connector = scenario.wait("PostureAvailable", "Unknown", "NoResultsYet")
    assert "fabrikam" in message(connector, "PostureAvailable")
    organization = scenario.wait_organization("contoso-fabrikam", "PostureAvailable", "Unknown", "NoResultsYet")
    assert "recommendations" not in (organization["status"].get("posture") or {})


def test_a_refused_query_keeps_the_numbers_and_says_so(scenario: Scenario) -> None:
    scenario.ready()
    add(scenario, "contoso", "High")
    add(scenario, "fabrikam", "Low")
    has_findings(scenario, high=1, low=1)
    error = {"error": {"code": "AuthorizationFailed", "message": "The client may not do that."}}
    scenario.control.fault(**RESOURCE_GRAPH, status=403, body=error, times=None)
    connector = scenario.wait("PostureAvailable", "Unknown", "QueryDenied")
    assert severities(connector) == {"high": 1, "low": 1}
    assert condition(connector, "Ready")["status"] == "True"
    scenario.control.clear_faults()
    scenario.wait("PostureAvailable", "True")


def test_a_feature_that_needs_the_plan_names_the_command_where_it_is_off(scenario: Scenario) -> None:
    subscription = scenario.manifest()["spec"]["azure"]["subscriptionId"]
    scenario.control.call("PATCH", f"/subscriptions/{subscription}", defenderCspm=False)
    scenario.ready(pullRequestAnnotations={"mode": "Enabled"})
    connector = scenario.wait("PrerequisitesMet", "False", "PrerequisitesNotMet")
    (prerequisite,) = connector["status"]["prerequisites"]
    assert (prerequisite["check"], prerequisite["status"]) == ("DefenderPlan", "False")
    assert (
        f"az security pricing create -n CloudPosture --tier standard --subscription {subscription}"
        in (prerequisite["message"])
    )
    scenario.control.call("PATCH", f"/subscriptions/{subscription}", defenderCspm=True)
    scenario.wait("PrerequisitesMet", "True")
