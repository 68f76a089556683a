"""The operator as the chart deploys it: with the settings and the service account that helm installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.ports import free_ports
from sandbox.stack import Cloud, Operator
from sandbox.stack.chart import NAME, Release
from sandbox.stack.service_account import ProjectedTokens
from tests.support.chart.helm import NAMESPACE, helm

__all__ = ["OPERATOR_IDENTITY", "release_of", "run_installed_operator"]

OPERATOR_IDENTITY: Mapping[str, object] = {
    "enabled": True,
    "webhook": False,
    "clientId": "66666666-6666-6666-6666-666666666666",
    "tenantId": "11111111-1111-1111-1111-111111111111",
}
"""Values of the chart for the sandbox's application that trusts its service account."""


def release_of(cluster: Cluster) -> Release:
    """Return the release that is installed, however that happened."""
    target = ("--namespace", NAMESPACE, "--kubeconfig", cluster.kubeconfig)
    manifests = [manifest for manifest in yaml.safe_load_all(helm("get", "manifest", NAME, *target)) if manifest]
    return Release(cluster.kubeconfig, NAMESPACE, manifests, "")


@contextmanager
def run_installed_operator(
    cluster: Cluster,
    kube: KubernetesClient,
    cloud: Cloud,
    release: Release,
    folder: Path,
    *,
    code: Path | None = None,
) -> Iterator[Operator]:
    """Run the operator in place of the release's first pod, until the end of the block.

    Args:
        cluster: where the release is installed.
        kube: its API, as administrator.
        cloud: trusts the service accounts of the cluster.
        release: has the settings and the service account.
        folder: for the pod's files and the log.
        code: folder with the package of another version of the operator; None runs this one.
    """
    with ProjectedTokens(cluster, release.namespace, release.service_account, folder) as tokens:
        (pod, *_) = release.pods(kube)
        variables = {
            "DEFENDER_DEVOPS_LEASE_NAME": NAME,  # the default, as for charts that do not set it
            **_webhook_variables(kube, release),
            **release.environment(pod),
            **tokens.environment(),
            **cloud.environment(),
            **_sign_in_pages(),
            **({"PYTHONPATH": str(code)} if code else {}),
        }
        del variables["DEFENDER_DEVOPS_METRICS_PORT"]  # a free port instead of the pod's
        with Operator.start(folder / "operator.log", variables) as operator:
            yield operator


def _webhook_variables(kube: KubernetesClient, release: Release) -> dict[str, str]:
    """Return the variables that the webhook of Azure workload identity adds to the pod, from the service account."""
    account = kube.get("ServiceAccount", release.service_account, release.namespace) or {}
    annotations = account.get("metadata", {}).get("annotations") or {}
    ids = {"AZURE_CLIENT_ID": "client-id", "AZURE_TENANT_ID": "tenant-id"}
    prefix = "azure.workload.identity"
    return {name: annotations[f"{prefix}/{key}"] for name, key in ids.items() if f"{prefix}/{key}" in annotations}


def _sign_in_pages() -> dict[str, str]:
    """Where the sign-in pages are, as there is no ingress in front of them."""
    (port,) = free_ports(1)
    return {
        "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
        "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
        "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
    }
