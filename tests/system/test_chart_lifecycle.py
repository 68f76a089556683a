"""Install, upgrade and uninstall with the real helm on a cluster that has nothing yet: no connector is ever lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import condition
from tests.support.helm import CHART, NAMESPACE, RELEASE, helm

CRDS = ("azuredevopsconnectors.defender-devops.io", "devopsorganizations.defender-devops.io")


class Release:
    """The chart, packed as it is published, on one cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._target = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", NAMESPACE]
        self._folder = folder

    def packed(self, version: str) -> str:
        """Path of the chart's archive, as that version."""
        return helm("package", CHART, "--version", version, "--destination", self._folder).split(": ", 1)[1].strip()

    def deploy(self, version: str = "0.1.0", **settings: str) -> str:
        """Install, or upgrade what is installed; returns the notes."""
        values = [f"--set={key}={value}" for key, value in settings.items()]
        return helm("upgrade", RELEASE, self.packed(version), "--install", "--create-namespace", *values, *self._target)

    def uninstall(self) -> None:
        helm("uninstall", RELEASE, "--ignore-not-found", *self._target)


@pytest.fixture(scope="module")
def empty_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("empty-cluster")) as started:
        yield started


@pytest.fixture(scope="module")
def api(empty_cluster: Cluster) -> Iterator[KubernetesClient]:
    with empty_cluster.client() as client:
        yield client


@pytest.fixture
def release(empty_cluster: Cluster, api: KubernetesClient, tmp_path: Path) -> Iterator[Release]:
    """Nothing installed yet, and nothing left behind for the next test."""
    release = Release(empty_cluster, tmp_path)
    yield release
    release.uninstall()
    for name in CRDS:
        api.delete("CustomResourceDefinition", name)
        api.wait_gone("CustomResourceDefinition", name)


def connector_of_notes(notes: str) -> dict[str, object]:
    """The connector that NOTES.txt tells people to create, with the blanks filled in."""
    text = re.search(r"<<END\n(.*?)\n\s+END", notes, re.DOTALL)
    assert text is not None
    blanks = {
        "<tenant>": "11111111-1111-1111-1111-111111111111",
        "<subscription>": "22222222-2222-2222-2222-222222222222",
        "<resource group>": "rg-devops-security",
        "<region of the connector>": "westeurope",
    }
    filled = re.sub("|".join(map(re.escape, blanks)), lambda found: blanks[found[0]], text[1])
    manifest: dict[str, object] = yaml.safe_load(filled)
    return manifest


def crds(api: KubernetesClient) -> list[str]:
    return [name for name in CRDS if api.get("CustomResourceDefinition", name)]


def wait_until_served(api: KubernetesClient) -> None:
    for name in CRDS:
        api.wait(
            "CustomResourceDefinition", name, until=lambda crd: condition(crd, "Established").get("status") == "True"
        )


def test_connectors_outlive_upgrade_and_uninstall_and_are_there_after_the_next_install(
    api: KubernetesClient, release: Release
) -> None:
    notes = release.deploy()
    wait_until_served(api)
    manifest = connector_of_notes(notes)
    api.create({**manifest, "metadata": {"name": "contoso", "namespace": NAMESPACE}})

    def uid() -> str:
        connector = api.get("AzureDevOpsConnector", "contoso", NAMESPACE)
        assert connector is not None
        found: str = connector["metadata"]["uid"]
        return found

    first = uid()
    release.deploy("0.2.0", replicaCount="2")
    assert uid() == first
    upgraded = api.list_all("CustomResourceDefinition", labels="helm.sh/chart=defender-devops-operator-0.2.0")
    assert [crd["metadata"]["name"] for crd in upgraded] == [*CRDS]
    release.uninstall()
    assert uid() == first
    assert api.get("ServiceAccount", RELEASE, NAMESPACE) is None
    assert ours(api) == []
    release.deploy("0.2.0")
    assert uid() == first


def test_uninstall_takes_the_crds_where_they_are_not_kept(api: KubernetesClient, release: Release) -> None:
    release.deploy(**{"crds.keep": "false"})
    assert crds(api) == [*CRDS]
    release.uninstall()
    for name in CRDS:
        api.wait_gone("CustomResourceDefinition", name)
    assert ours(api) == []


def test_chart_without_crds_installs_beside_those_of_somebody_else(api: KubernetesClient, release: Release) -> None:
    release.deploy(**{"crds.enabled": "false"})
    assert crds(api) == []
    assert api.get("ServiceAccount", RELEASE, NAMESPACE) is not None


def test_examples_that_the_chart_publishes_are_valid(api: KubernetesClient, release: Release) -> None:
    release.deploy()
    wait_until_served(api)
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    examples = yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    for example in examples:
        example["metadata"]["namespace"] = NAMESPACE
        api.apply(example, dry_run=True)
    assert {example["kind"] for example in examples} == {"AzureDevOpsConnector"}
    published = [crd["name"] for crd in yaml.safe_load(annotations["artifacthub.io/crds"])]
    assert published == [*CRDS]


def ours(api: KubernetesClient) -> list[str]:
    """Objects without a namespace that the release left behind, the CRDs aside."""
    labels = f"app.kubernetes.io/instance={RELEASE}"
    return [
        f"{kind}/{found['metadata']['name']}"
        for kind in ("ClusterRole", "ClusterRoleBinding")
        for found in api.list_all(kind, labels=labels)
    ]
