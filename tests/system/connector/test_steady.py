"""Where nothing changes nothing is written, and next to nothing is read: idle costs queries, not connectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cloud.world.load import DEFAULT_WORLD
from sandbox.cluster import KubernetesClient
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud, Operator
from tests.support.scenarios.scenario import ACCOUNT, GROUP, KIND, ORGANIZATION, SUBSCRIPTION, TENANT, Scenario

CONNECTORS = 100
REFRESH, CHECK = 10, 20
"""Seconds, as many to one another as the defaults are."""

SETTINGS = {
    "DEFENDER_DEVOPS_REFRESH_INTERVAL": str(REFRESH),
    "DEFENDER_DEVOPS_CHECK_INTERVAL": str(CHECK),
    "DEFENDER_DEVOPS_RESOURCE_GRAPH_LAG": "1",
    "DEFENDER_DEVOPS_DISCOVERY_SETTLE_INTERVAL": "2",
}
PLAN = "Pricings_Get"
PROBE = "AzureDevOpsOrgs_ListAvailable"
"""What alone shows whether an authorization still works: asked of each connector once in a check interval."""

WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
WATCHED = ("azuredevopsconnectors", "devopsorganizations", "events", "secrets")


@pytest.fixture
def many(
    start_cloud: Callable[..., Cloud],
    start_operator: Callable[..., Operator],
    own_settings: dict[str, str],
    kube: KubernetesClient,
    tmp_path: Path,
) -> Iterator[Scenario]:
    """A cloud with a hundred connectors that people have made and authorized, and an operator."""
    world: dict[str, Any] = yaml.safe_load(DEFAULT_WORLD.read_text(encoding="utf-8"))
    world["generate"] = {
        "tenant": TENANT,
        "account": ACCOUNT,
        "subscription": SUBSCRIPTION,
        "resourceGroup": GROUP,
        "connectors": CONNECTORS,
        "organizations": CONNECTORS,
        "repositories": 10 * CONNECTORS,
    }
    file = tmp_path / "world.yaml"
    file.write_text(yaml.safe_dump(world), encoding="utf-8")
    cloud = start_cloud("--world", file, "--speed", "3600")
    start_operator(cloud, own_settings | SETTINGS)
    (namespace,) = yaml.safe_load(own_settings["DEFENDER_DEVOPS_NAMESPACES"])
    with ControlClient(cloud.control) as control:
        scenario = Scenario(kube, control, namespace)
        yield scenario
        scenario.leave()


def adopt(scenario: Scenario, number: int) -> Manifest:
    """The manifest that takes one of the connectors over as it is."""
    name, organization = f"connector-{number:04}", f"org-{number:04}"
    return scenario.manifest(
        name, organizations={"names": [organization]}, authorization={"method": "Adopt", "codeSecretRef": None}
    )


def versions(scenario: Scenario) -> dict[tuple[str, str], str]:
    """resourceVersion of everything of ours."""
    return {
        (kind, body["metadata"]["name"]): body["metadata"]["resourceVersion"]
        for kind in (KIND, ORGANIZATION)
        for body in scenario.kube.list_all(kind, scenario.namespace)
    }


def kubernetes_writes(kube: KubernetesClient) -> Counter[str]:
    """Requests that the API server has counted, for what an operator of ours could write."""
    text = kube.request("GET", "/metrics")
    writes: Counter[str] = Counter()
    for labels, value in re.findall(r"^apiserver_request_total\{(.*)\} (\S+)$", text, re.MULTILINE):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if label["verb"] in WRITES and label["resource"] in WATCHED:
            writes[f"{label['verb']} {label['resource']}/{label['subresource']}".rstrip("/")] += int(float(value))
    return writes


@pytest.mark.long
def test_over_two_refreshes_of_a_hundred_connectors_nothing_is_written_and_under_five_requests_read(
    many: Scenario,
) -> None:
    for number in range(1, CONNECTORS + 1):
        many.apply(adopt(many, number))
    for number in range(1, CONNECTORS + 1):
        many.wait("Discovered", "True", name=f"connector-{number:04}", timeout=120)
    ready = [condition(body, "Ready")["status"] for body in many.kube.list_all(KIND, many.namespace)]
    assert ready == ["True"] * CONNECTORS
    many.wait_request("Resources_Query", times=2)  # the last poll that returns the operator's own writes
    since, previous_versions, counted = many.control.last(), versions(many), kubernetes_writes(many.kube)
    assert len(previous_versions) == 2 * CONNECTORS
    assert sum(counted.values()) > 2 * CONNECTORS, "the API server counts what was written before"
    many.wait_request("Resources_Query", times=3)  # from the first to the third there are two intervals
    assert kubernetes_writes(many.kube) - counted == Counter()
    assert versions(many) == previous_versions
    requests = many.control.journal(since=since, service="arm")
    assert [entry for entry in requests if entry.get("effects")] == []
    probes = Counter(entry["path"] for entry in requests if entry["operation"] == PROBE)
    operations = Counter(entry["operation"] for entry in requests)
    assert operations.keys() <= {PROBE, PLAN, "Resources_Query"}
    assert 3 <= operations["Resources_Query"] < 5, operations
    assert operations[PLAN] <= 2, "once in a check interval for all connectors of the subscription"
    assert max(probes.values(), default=0) <= 2, "once in a check interval, which began before"
