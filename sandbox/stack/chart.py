"""The operator's chart, packaged and installed by the real helm; its pods do not run, because there is no node."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from sandbox.cluster import Cluster
from sandbox.cluster.binaries import binary
from sandbox.cluster.client import KubernetesClient, Manifest

__all__ = ["NAME", "Release", "package_chart"]

NAME = "defender-devops-operator"
"""Name of the chart and of every release here."""

_CHART = Path(__file__).parents[2] / "deploy" / "helm" / NAME


def package_chart(folder: Path, *, version: str | None = None) -> Path:
    """`helm package`: the archive that is published.

    Args:
        folder: folder for the archive.
        version: chart version; None uses the chart's own.

    Raises:
        subprocess.CalledProcessError: helm failed; its message is in `stderr`.
    """
    chosen = ["--version", version] if version else []
    return Path(_helm("package", _CHART, "--destination", folder, *chosen).rpartition(": ")[2].strip())


@dataclass(frozen=True)
class Release:
    """An installed Helm release.

    Attributes:
        kubeconfig: kubeconfig of its cluster.
        namespace: namespace of the release.
        manifests: all objects of the release.
        notes: output of helm, with NOTES.txt.
    """

    kubeconfig: Path
    namespace: str
    manifests: list[Manifest]
    notes: str

    @classmethod
    def install(cls, cluster: Cluster, namespace: str, archive: Path, values: Mapping[str, object]) -> Self:
        """`helm upgrade --install`, and wait until the API server serves the chart's resources.

        Raises:
            subprocess.CalledProcessError: helm failed; its message is in `stderr`.
        """
        target = ("--namespace", namespace, "--kubeconfig", cluster.kubeconfig)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values, file)
            file.flush()
            notes = _helm("upgrade", NAME, archive, "--install", "--create-namespace", "--values", file.name, *target)
        manifests = [manifest for manifest in yaml.safe_load_all(_helm("get", "manifest", NAME, *target)) if manifest]
        with cluster.client() as client:
            for manifest in manifests:
                if manifest["kind"] == "CustomResourceDefinition":
                    client.wait_established(manifest["metadata"]["name"])
        return cls(cluster.kubeconfig, namespace, manifests, notes)

    def uninstall(self) -> None:
        """`helm uninstall`."""
        _helm("uninstall", NAME, "--namespace", self.namespace, "--kubeconfig", self.kubeconfig)

    @property
    def service_account(self) -> str:
        """The service account of the operator's pods."""
        return str(self._pod["serviceAccountName"])

    def pods(self, client: KubernetesClient) -> list[str]:
        """Return the names of the Deployment's pods, in whose place a process can run."""
        (labels,) = (deployment["spec"]["selector"]["matchLabels"] for deployment in self._deployments)
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        return [manifest["metadata"]["name"] for manifest in client.list_all("Pod", self.namespace, labels=selector)]

    def environment(self, pod: str = "") -> dict[str, str]:
        """Return the variables of the operator's container that have a value or refer to metadata of the pod."""
        fields = {"metadata.namespace": self.namespace, "metadata.name": pod}
        variables: dict[str, str] = {}
        for entry in self._pod["containers"][0].get("env", []):
            # Other sources, such as Secrets, exist only in the pod.
            value = entry.get("value") or fields.get(entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath"))
            if value:
                variables[entry["name"]] = str(value)
        return variables

    @property
    def _deployments(self) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == "Deployment"]

    @property
    def _pod(self) -> dict[str, Any]:
        (deployment,) = self._deployments
        pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
        return pod


def _helm(*arguments: str | Path) -> str:
    # helm reads the API's resources before it creates the CRDs. In the cache that it shares with kubectl this list
    # would make the user's first `kubectl get defender` fail.
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "KUBECACHEDIR": cache}
        command = [binary("helm"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
