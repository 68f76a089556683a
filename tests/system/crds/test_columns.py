"""What kubectl prints of the resources fits a line of 100 characters unless `-o wide` asks for more."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from defender_devops.api.reasons import REASONS, ConditionType
from sandbox.cluster import Cluster, KubernetesClient, binary
from tests.support.chart.helm import ROOT

CONNECTOR, ORGANIZATION = "adventure-works", "adventure-works-adventure-works"
"""The longest names of the examples and of the simulated cloud."""

OF_CONNECTORS = ("Ready", "AwaitingAuthorization", "ConnectorNotFound", "ProviderNotRegistered", "OrganizationNotFound")
OF_ORGANIZATIONS = tuple(reason for reason in REASONS[ConditionType.ONBOARDED])


def ready(status: str, reason: str) -> dict[str, object]:
    """A status with the condition Ready of a reason."""
    condition = {
        "type": "Ready",
        "status": status,
        "observedGeneration": 1,
        "reason": reason,
        "message": "x" * 200,
        "lastTransitionTime": "2026-11-24T05:17:11Z",
    }
    return {"conditions": [condition], "observedGeneration": 1}


@pytest.fixture
def resources(kube: KubernetesClient, namespace: str) -> None:
    connector = yaml.safe_load((ROOT / "examples/quickstart/connector.yaml").read_text())
    kube.create({**connector, "metadata": {"name": CONNECTOR, "namespace": namespace}})
    organization = {
        "apiVersion": "defender-devops.io/v1alpha1",
        "kind": "DevOpsOrganization",
        "metadata": {"name": ORGANIZATION, "namespace": namespace},
        "spec": {"connectorRef": {"name": CONNECTOR}, "organization": CONNECTOR},
    }
    kube.create(organization)


def set_reasons(kube: KubernetesClient, namespace: str, ready_status: str, connector: str, organization: str) -> None:
    discovery = {"percent": 100, "organizations": {"onboarded": 200}, "repositories": {"discovered": 12345}}
    posture = {"findings": "2C 14H", "affectedRepositories": 9}
    status = {**ready(ready_status, connector), "discovery": discovery, "posture": posture}
    kube.patch("AzureDevOpsConnector", CONNECTOR, {"status": status}, namespace, subresource="status")
    state = {"onboardingState": "OnboardedByOtherConnector", "posture": {"findings": "14H 60M"}}
    status = {**ready(ready_status, organization), **state}
    kube.patch("DevOpsOrganization", ORGANIZATION, {"status": status}, namespace, subresource="status")


def printed(kubeconfig: Path, namespace: str, *arguments: str) -> Sequence[str]:
    command = [binary("kubectl"), "--kubeconfig", kubeconfig, "--namespace", namespace, "get", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("what", ["defender", "adoc", "adoorg"])
def test_no_line_is_longer_than_a_hundred(kube: KubernetesClient, cluster: Cluster, namespace: str, what: str) -> None:
    states = [
        ("False", max(OF_CONNECTORS, key=len), max(OF_ORGANIZATIONS, key=len)),
        ("Unknown", "AzureUnavailable", "NotChecked"),
        ("True", "Ready", "Onboarded"),
    ]
    for ready_status, connector, organization in states:
        set_reasons(kube, namespace, ready_status, connector, organization)
        lines = printed(cluster.kubeconfig, namespace, what)
        assert any(connector in line or organization in line for line in lines)
        assert max(len(line.rstrip()) for line in lines) <= 100, "\n".join(lines)


@pytest.mark.usefixtures("resources")
def test_the_wide_output_has_the_rest(kube: KubernetesClient, cluster: Cluster, namespace: str) -> None:
    set_reasons(kube, namespace, "True", "Ready", "HeldByOtherConnector")
    text = "\n".join(printed(cluster.kubeconfig, namespace, "defender", "--output", "wide"))
    for value in (
        "westeurope",
        "12345",
        "200",
        "FINDINGS",
        "2C 14H",
        "OnboardedByOtherConnector",
        "14H 60M",
        "x" * 200,
    ):
        assert value in text
