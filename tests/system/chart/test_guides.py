"""The other guides on the sandbox: every command is run as a reader would, to the result that the page promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import condition
from sandbox.stack import Cloud
from sandbox.stack.chart import NAME
from tests.support.chart.helm import NAMESPACE, ROOT
from tests.support.chart.install_page import PAGE as AKS
from tests.support.chart.install_page import az_calls, write_azure_programs
from tests.support.pages import Block, shell_blocks
from tests.support.scenarios.scenario import ACCOUNT, KIND, TENANT
from tests.system.chart.conftest import AZURE, TEAM, Follow

pytestmark = pytest.mark.early

ANY_CLUSTER, AUDIT, GITOPS = (ROOT / f"docs/{name}.md" for name in ("install-any-cluster", "audit", "gitops"))

APP = "55555555-5555-5555-5555-555555555555"
"""The default world's application with a client secret."""


def sections(page: Path, *beginnings: str) -> list[Block]:
    """The blocks in the sections of a page whose headings begin so."""
    return [block for block in shell_blocks(page) if block.heading.startswith(beginnings)]


@pytest.fixture
def portal(trusting_cloud: Cloud) -> Iterator[ControlClient]:
    """A person in the portal has created and authorized the connector `contoso`."""
    with ControlClient(trusting_cloud.control) as control:
        control.reset()
        control.add_connector(name="contoso", account=ACCOUNT, organizations=None, **AZURE)
        yield control


def assert_ready(api: KubernetesClient, name: str = "contoso") -> dict[str, Any]:
    """The connector is Ready; return it."""
    connector = api.get(KIND, name, TEAM)
    assert connector is not None
    assert condition(connector, "Ready")["status"] == "True"
    return connector


@pytest.mark.usefixtures("portal")
def test_any_cluster_with_a_secret(api: KubernetesClient, follow: Follow, tmp_path: Path) -> None:
    outputs = {"ad app create": APP, "ad app credential reset": "sandbox-secret"}
    write_azure_programs(tmp_path / "bin", outputs)
    follow([*sections(AKS, "Install on AKS", "2."), *sections(ANY_CLUSTER, "2.", "4.", "Renew")])
    connector = assert_ready(api)
    assert connector["spec"]["azure"]["identity"]["clientId"] == APP
    release = api.get("Deployment", NAME, NAMESPACE)
    assert "AZURE_CLIENT_ID" not in yaml.safe_dump(release), "the operator has no identity of its own"


@pytest.mark.usefixtures("portal")
def test_any_cluster_with_an_issuer_and_its_security_officer_who_stops_everything(
    new_cluster: Cluster, api: KubernetesClient, follow: Follow, tmp_path: Path
) -> None:
    """Without the webhook of AKS; then the rights, the records, and how to revoke."""
    prepare = sections(AKS, "Install on AKS", "2.", "3.")
    follow([*prepare, *sections(ANY_CLUSTER, "2.", "3."), *sections(AKS, "7.")])
    assert_ready(api)
    (trust,) = (call for call in az_calls(tmp_path / "bin") if "federated-credential" in call)
    assert trust[trust.index("--issuer") + 1] == new_cluster.issuer
    outputs: dict[str, list[str]] = {}
    for block, output in follow(shell_blocks(AUDIT)):
        outputs.setdefault(block.heading, []).append(output)
    grants = outputs["In Azure"][1]
    assert AZURE["subscription"] in grants
    rights, writers = outputs["In the cluster"][:2]
    assert "azuredevopsconnectors.defender-devops.io" in rights
    assert rights.splitlines()[-1] == "yes", "it can read Secrets of kube-system, as the page says of the defaults"
    assert writers.startswith("no")
    assert "defender-devops-signin-key" in outputs["What is stored where?"][0]
    assert "contoso" in outputs["In the cluster"][2]
    deployment = api.get("Deployment", NAME, NAMESPACE)
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 0
    assert api.get("Secret", "defender-devops-signin-key", NAMESPACE) is None


CONTROLLERS = (
    ("argoproj.io", "v1alpha1", "Application"),
    ("source.toolkit.fluxcd.io", "v1", "GitRepository"),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"),
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease"),
)


def controller_crd(group: str, version: str, kind: str) -> dict[str, Any]:
    """A CRD of Argo CD or Flux that accepts every object of its kind."""
    plural = "gitrepositories" if kind == "GitRepository" else f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture
def gitops_controllers(api: KubernetesClient) -> Iterator[None]:
    """The API of Argo CD and Flux, without their controllers."""
    crds = [controller_crd(*controller) for controller in CONTROLLERS]
    for crd in crds:
        api.apply(crd)
        api.wait_established(crd["metadata"]["name"])
    for name in ("argocd", "flux-system"):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"}}
    api.apply(config)
    yield
    for crd in crds:
        api.delete("CustomResourceDefinition", crd["metadata"]["name"])


@pytest.mark.usefixtures("portal", "gitops_controllers")
def test_the_gitops_maintainer_brings_connectors_from_git_to_ready(api: KubernetesClient, follow: Follow) -> None:
    follow(sections(GITOPS, "1.", "2."))
    config = api.get("ConfigMap", "argocd-cm", "argocd")
    assert config is not None
    assert any("AzureDevOpsConnector" in key for key in config["data"])
    # What Argo CD and Flux do with these objects: the chart with their values, then the folder of connectors.
    applications = yaml.safe_load_all((ROOT / "deploy/gitops/argocd/applications.yaml").read_text())
    values = next(applications)["spec"]["source"]["helm"]["valuesObject"]
    identity = {"clientId": "66666666-6666-6666-6666-666666666666", "tenantId": TENANT, "webhook": False}
    values["workloadIdentity"] |= identity
    chart = f"helm upgrade {NAME} deploy/helm/{NAME} --install --namespace {NAMESPACE} --create-namespace"
    sync = f"cat > values.yaml <<'END'\n{yaml.safe_dump(values)}END\n{chart} --values values.yaml"
    connectors = "kubectl create namespace security\nkubectl apply --server-side --filename connectors/"
    follow([Block("operator", sync), Block("connectors", connectors)])
    outputs = follow(sections(GITOPS, "3.", "4.", "5."))
    assert_ready(api)
    assert "contoso" in outputs[0][1]
    assert "security/contoso" in outputs[-1][1]
