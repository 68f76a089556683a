"""docs/install-aks.md on the sandbox: every command is run as a reader would, and the connector becomes Ready.

The stand-ins are `az` and `docker`, the wait for a node to start the pod, and the person in the portal (step 6).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient, binary
from sandbox.stack import Cloud
from tests.support.chart.helm import ROOT
from tests.support.chart.install_page import PAGE, write_azure_programs
from tests.support.chart.installed_operator import release_of, run_installed_operator
from tests.support.pages import Block, Shell, shell_blocks, write_program
from tests.support.scenarios.scenario import KIND
from tests.system.chart.conftest import TEAM, crds, delete_crds

pytestmark = pytest.mark.early

ACCOUNT = "mdc-devops-connector@contoso.com"
AZURE = {
    "subscription": "22222222-2222-2222-2222-222222222222",
    "resourceGroup": "rg-devops-security",
    "location": "westeurope",
}


@pytest.fixture
def reader(empty_cluster: Cluster, tmp_path: Path) -> Shell:
    """A shell in a clone of the repository, with the programs of the page."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_azure_programs(programs)
    write_program(programs, "helm", f'exec {binary("helm")} "$@"')
    # No node runs the pod: the operator is started in its place.
    write_program(programs, "kubectl", f'case "$*" in *rollout*) exit;; esac; exec {binary("kubectl")} "$@"')
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "deploy").symlink_to(ROOT / "deploy")
    return Shell(tmp_path, clone, {"KUBECONFIG": str(empty_cluster.kubeconfig)})


@pytest.fixture
def new_cluster(empty_cluster: Cluster, api: KubernetesClient) -> Iterator[Cluster]:
    """The empty cluster; what the page has installed is removed afterwards."""
    yield empty_cluster
    for body in api.list_all(KIND, TEAM) if crds(api) else ():
        api.patch(KIND, body["metadata"]["name"], {"metadata": {"finalizers": None}}, TEAM)
    api.delete("Namespace", TEAM)
    release_of(empty_cluster).uninstall()
    delete_crds(api)


def test_a_reader_of_the_page_has_a_ready_connector_with_a_sign_in_page(
    new_cluster: Cluster, api: KubernetesClient, trusting_cloud: Cloud, tmp_path: Path, reader: Shell
) -> None:
    outputs: list[tuple[Block, str]] = []
    with ExitStack() as operators, ControlClient(trusting_cloud.control) as control:
        control.reset()
        control.add_connector(name="contoso", account=ACCOUNT, organizations=None, **AZURE)  # step 6, in the portal
        for number, block in enumerate(shell_blocks(PAGE)):
            outputs.append((block, reader.run(block)))
            if "helm upgrade" in block.commands:
                operators.close()
                release, folder = release_of(new_cluster), tmp_path / f"pod-{number}"
                operators.enter_context(run_installed_operator(new_cluster, api, trusting_cloud, release, folder))
        connector = api.get(KIND, "contoso", TEAM)
    assert connector is not None
    adopted = next(output for block, output in outputs if block.heading.startswith("7."))
    assert "azuredevopsconnector.defender-devops.io/contoso condition met" in adopted
    assert outputs[-1][1].splitlines()[-1] == connector["status"]["signIn"]["url"]
