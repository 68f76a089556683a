"""docs/install-aks.md on the sandbox: every command is run as a reader would, and the connector becomes Ready.

The stand-ins are `az` and `docker`, the wait for a node to start the pod, and the person in the portal (step 6).
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, binary
from sandbox.stack import Cloud
from sandbox.stack.chart import Release
from tests.support.chart.helm import NAMESPACE, RELEASE, ROOT, helm
from tests.support.chart.install_page import PAGE, write_azure_programs
from tests.support.chart.installed_operator import run_installed_operator
from tests.support.pages import Block, Shell, shell_blocks, write_program

ACCOUNT = "mdc-devops-connector@contoso.com"
AZURE = {
    "subscription": "22222222-2222-2222-2222-222222222222",
    "resourceGroup": "rg-devops-security",
    "location": "westeurope",
}


def release_of(cluster: Cluster) -> Release:
    """The release that the page has installed."""
    target = ("--namespace", NAMESPACE, "--kubeconfig", cluster.kubeconfig)
    manifests = [m for m in yaml.safe_load_all(helm("get", "manifest", RELEASE, *target)) if m]
    return Release(cluster.kubeconfig, NAMESPACE, manifests, "")


@pytest.fixture
def reader(tmp_path: Path) -> Shell:
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
    return Shell(tmp_path, clone, {"KUBECONFIG": str(tmp_path / "cluster/kubeconfig")})


def test_a_reader_of_the_page_has_a_ready_connector_with_a_sign_in_page(tmp_path: Path, reader: Shell) -> None:
    blocks = list(shell_blocks(PAGE))
    outputs: list[tuple[Block, str]] = []
    with Cluster.start(tmp_path / "cluster") as cluster, ExitStack() as operators, cluster.client() as kube:
        federation = ("--federation-issuer", cluster.issuer, "--federation-jwks", cluster.jwks)
        with (
            Cloud.start(tmp_path / "cloud", "--speed", "600", *federation) as cloud,
            ControlClient(cloud.control) as control,
            operators,
        ):
            control.add_connector(name="contoso", account=ACCOUNT, organizations=None, **AZURE)  # step 6, in the portal
            for number, block in enumerate(blocks):
                outputs.append((block, reader.run(block)))
                if "helm upgrade" in block.commands:
                    operators.close()
                    folder = tmp_path / f"pod-{number}"
                    operators.enter_context(run_installed_operator(cluster, kube, cloud, release_of(cluster), folder))
            connector = kube.get("AzureDevOpsConnector", "contoso", "security")
    assert connector is not None
    adopted = next(output for block, output in outputs if block.heading.startswith("7."))
    assert "azuredevopsconnector.defender-devops.io/contoso condition met" in adopted
    assert outputs[-1][1].splitlines()[-1] == connector["status"]["signIn"]["url"]
