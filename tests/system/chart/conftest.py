"""An empty cluster on which charts are installed, and the operator in place of their pods."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.cluster.client import Manifest, condition
from sandbox.stack import Cloud, Operator
from sandbox.stack.chart import Release, package_chart
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.support.chart.helm import NAMESPACE, RELEASE, ROOT
from tests.support.chart.install_page import write_azure_programs
from tests.support.chart.installed_operator import OPERATOR_IDENTITY, release_of, run_installed_operator
from tests.support.pages import Block, Shell, write_program
from tests.support.scenarios.scenario import KIND, SUBSCRIPTION, TENANT, Scenario

CRDS = ("azuredevopsconnectors.defender-devops.io", "devopsorganizations.defender-devops.io")

TEAM = "security"
"""Namespace of the connectors, as in docs/uninstall.md."""

OPERATING: dict[str, Any] = {
    "workloadIdentity": OPERATOR_IDENTITY,
    "identityGrants": [{"namespace": TEAM, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}],
    "settings": {"refreshInterval": 1, "checkInterval": 2},
}
"""Values for an operator on the sandbox."""

AZURE = {
    "subscription": SUBSCRIPTION,
    "resourceGroup": "rg-devops-security",
    "location": "westeurope",
}
"""Where the pages create connectors."""

Install = Callable[..., Release]
Follow = Callable[[Iterable[Block]], list[tuple[Block, str]]]
Operate = Callable[..., AbstractContextManager[Operator]]


def crds(api: KubernetesClient) -> list[str]:
    return [name for name in CRDS if api.get("CustomResourceDefinition", name)]


def delete_crds(api: KubernetesClient) -> None:
    for name in CRDS:
        api.delete("CustomResourceDefinition", name)
    wait_crds_deleted(api)


def wait_crds_deleted(api: KubernetesClient) -> None:
    """Wait until the API server has deleted the CRDs.

    That can take minutes for a CRD that was created a moment before: the storage of its resources is then not ready,
    and the API server tries again ever more rarely (operator-framework/operator-controller issue 1437).
    """
    for name in CRDS:
        api.wait_deleted("CustomResourceDefinition", name, timeout=300)


@pytest.fixture(scope="session")
def empty_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.start(tmp_path_factory.mktemp("empty-cluster")) as started:
        yield started


@pytest.fixture(scope="session")
def api(empty_cluster: Cluster) -> Iterator[KubernetesClient]:
    with empty_cluster.client() as client:
        yield client


@pytest.fixture
def install(empty_cluster: Cluster, api: KubernetesClient, tmp_path: Path) -> Iterator[Install]:
    """Install the packaged chart, or upgrade to it; uninstall it and delete the CRDs after the test."""
    installed: list[Release] = []

    def install(archive: Path | None = None, **values: object) -> Release:
        release = Release.install(empty_cluster, NAMESPACE, archive or package_chart(tmp_path), values)
        installed.append(release)
        return release

    yield install
    if api.get("ServiceAccount", RELEASE, NAMESPACE) is not None:
        installed[-1].uninstall()
    delete_crds(api)


@pytest.fixture(scope="session")
def trusting_cloud(empty_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud that trusts the cluster's service accounts."""
    federation = ("--federation-issuer", empty_cluster.issuer, "--federation-jwks", empty_cluster.jwks)
    with Cloud.start(tmp_path_factory.mktemp("cloud"), "--speed", "600", *federation) as started:
        yield started


@pytest.fixture
def scenario(api: KubernetesClient, trusting_cloud: Cloud) -> Iterator[Scenario]:
    """The team's namespace and a reset cloud. The finalizer of a remaining connector is removed."""
    with ControlClient(trusting_cloud.control) as control:
        control.reset()
        scenario = Scenario(api, control, TEAM)
        scenario.enter()
        yield scenario
        if crds(api):
            for body in api.list_all(KIND, TEAM):
                api.patch(KIND, body["metadata"]["name"], {"metadata": {"finalizers": None}}, TEAM)


@pytest.fixture
def operate(empty_cluster: Cluster, api: KubernetesClient, trusting_cloud: Cloud, tmp_path: Path) -> Operate:
    """Run the operator as a release's service account; `code` is the folder of another version's package."""
    return lambda release, code=None: run_installed_operator(
        empty_cluster, api, trusting_cloud, release, tmp_path / "pod", code=code
    )


@pytest.fixture
def reader(empty_cluster: Cluster, trusting_cloud: Cloud, tmp_path: Path) -> Shell:
    """A shell in a clone of the repository, with the programs of the pages, signed in to the simulated cloud."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_azure_programs(programs)
    write_program(programs, "helm", f'exec {binary("helm")} "$@"')
    # No node runs the pod: the operator is started in its place.
    write_program(programs, "kubectl", f'case "$*" in *rollout*) exit;; esac; exec {binary("kubectl")} "$@"')
    write_program(programs, "defender-devops", f'exec {Path(sys.executable).parent}/defender-devops "$@"')
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("deploy", "examples"):
        (clone / name).symlink_to(ROOT / name)
    signed_in = {**trusting_cloud.environment(), **CLIENT_SECRET_IDENTITY}
    return Shell(tmp_path, clone, {"KUBECONFIG": str(empty_cluster.kubeconfig), **signed_in})


@pytest.fixture
def new_cluster(empty_cluster: Cluster, api: KubernetesClient) -> Iterator[Cluster]:
    """The empty cluster; what a page has installed is removed afterwards."""
    yield empty_cluster
    for body in api.list_all(KIND, TEAM) if crds(api) else ():
        api.patch(KIND, body["metadata"]["name"], {"metadata": {"finalizers": None}}, TEAM)
    api.delete("Namespace", TEAM)
    api.wait_deleted("Namespace", TEAM)
    release_of(empty_cluster).uninstall()
    delete_crds(api)


@pytest.fixture
def follow(
    new_cluster: Cluster, api: KubernetesClient, trusting_cloud: Cloud, reader: Shell, tmp_path: Path
) -> Iterator[Follow]:
    """Run blocks of pages, and after each one that installs the chart the operator in place of its pod.

    Returns the blocks with their outputs.
    """
    with ExitStack() as operators:

        def follow(blocks: Iterable[Block]) -> list[tuple[Block, str]]:
            outputs = []
            for number, block in enumerate(blocks):
                outputs.append((block, reader.run(block)))
                if "helm upgrade" in block.commands:
                    operators.close()
                    release, folder = release_of(new_cluster), tmp_path / f"pod-{number}"
                    operators.enter_context(run_installed_operator(new_cluster, api, trusting_cloud, release, folder))
            return outputs

        yield follow


def persistent_parts(body: Manifest, earlier: Manifest) -> dict[str, Any]:
    """The parts that no upgrade may change: metadata, spec, and the Ready condition with its transition time.

    Of the spec the fields that it had before: the defaults of new fields are added when it is read, without a write,
    which would change the generation.
    """
    metadata = {
        name: body["metadata"].get(name) for name in ("uid", "generation", "labels", "annotations", "finalizers")
    }
    return {**metadata, "spec": common_fields(body["spec"], earlier["spec"]), "ready": condition(body, "Ready")}


def common_fields(value: Any, earlier: Any) -> Any:  # noqa: ANN401 - any JSON
    """The value with only those fields, at any depth, that it had before."""
    if isinstance(value, dict) and isinstance(earlier, dict):
        return {name: common_fields(field, earlier[name]) for name, field in value.items() if name in earlier}
    return value
