"""The operator before its CRDs: it says which one is missing, waits, and goes on, as with tools that order nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from sandbox.cluster import Cluster
from sandbox.loopback import get
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from sandbox.stack.operator import install_crds, prepare_namespace
from tests.conftest import StartCloud
from tests.support.manifests import connector
from tests.support.scenarios.scenario import wait_for

CRDS = Path(__file__).parents[3] / "deploy/crds"


NAMES = ("azuredevopsconnectors.defender-devops.io", "devopsorganizations.defender-devops.io")


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster in which nobody else needs the CRDs."""
    with Cluster.start(tmp_path_factory.mktemp("own") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def empty_cluster(own_cluster: Cluster) -> Cluster:
    """That cluster without the CRDs, which the test before may have installed."""
    with own_cluster.client() as kube:
        installed = [name for name in NAMES if kube.get("CustomResourceDefinition", name)]
        if NAMES[0] in installed:
            for body in kube.list_all("AzureDevOpsConnector", "defender-devops"):
                name = body["metadata"]["name"]
                kube.patch("AzureDevOpsConnector", name, {"metadata": {"finalizers": None}}, "defender-devops")
        for name in installed:
            kube.delete("CustomResourceDefinition", name)
        for name in installed:
            kube.wait_deleted("CustomResourceDefinition", name)
    return own_cluster


@pytest.fixture(scope="module")
def cloud(start_cloud: StartCloud) -> Cloud:
    """One for all tests: no connector is reconciled."""
    return start_cloud()


@pytest.mark.parametrize("namespaces", ["[]", '["defender-devops"]'], ids=["all namespaces", "one namespace"])
def test_the_operator_waits_for_its_crds_and_goes_on(
    empty_cluster: Cluster, cloud: Cloud, tmp_path: Path, namespaces: str
) -> None:
    log = tmp_path / "operator.log"
    environment = {
        "KUBECONFIG": str(empty_cluster.kubeconfig),
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "DEFENDER_DEVOPS_NAMESPACES": namespaces,
    }
    with empty_cluster.client() as kube:
        prepare_namespace(kube)
        with Operator.start(log, environment, ready=False) as operator:

            def readiness() -> str:
                try:
                    return get(f"{operator.metrics}/readyz").text
                except httpx.TransportError:
                    return ""

            wait_for(lambda: "devopsorganizations.defender-devops.io is missing" in readiness(), "not reported")
            organizations, connectors = sorted(CRDS.glob("*.yaml"), key=lambda path: "connector" in path.name)
            for manifest in yaml.safe_load_all(organizations.read_text()):
                kube.apply(manifest)
            wait_for(lambda: "azuredevopsconnectors.defender-devops.io is missing" in readiness(), "not reported")
            assert connectors.exists()
            install_crds(kube)
            operator.wait_ready()
            manifest = connector("suspend: true", namespace="defender-devops")
            kube.apply(manifest)
            kube.wait(
                manifest["kind"],
                manifest["metadata"]["name"],
                "defender-devops",
                until=lambda body: (body.get("status") or {}).get("observedGeneration") == 1,
            )
            operator.process.check()
    text = log.read_text()
    assert text.count("a CustomResourceDefinition is missing") == 2, "once for each"
    assert "never awaited" not in text
    assert "Traceback" not in text


def test_an_operator_that_waits_for_its_crds_stops_cleanly(
    empty_cluster: Cluster, cloud: Cloud, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    environment = {"KUBECONFIG": str(empty_cluster.kubeconfig), **cloud.environment(), **CLIENT_SECRET_IDENTITY}
    with empty_cluster.client() as kube:
        prepare_namespace(kube)
    with Operator.start(log, environment, ready=False) as operator:
        wait_for(lambda: "a CustomResourceDefinition is missing" in log.read_text(), "not reported")
        assert operator.stop() == 0
    assert "Traceback" not in log.read_text()
