"""The operator's chart as helm renders it: what a cluster without nodes can use of it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.cluster.binaries import binary
from sandbox.cluster.client import KubernetesClient, Manifest

__all__ = ["Release", "render"]

_CHART = Path(__file__).parents[2] / "deploy" / "helm" / "defender-devops-operator"
_WORKLOADS = {"Deployment"}


@dataclass(frozen=True)
class Release:
    """A rendered release.

    Attributes:
        namespace: where it would be installed.
        manifests: all of it.
    """

    namespace: str
    manifests: list[Manifest]

    @property
    def service_account(self) -> str:
        """The account that the operator's pods run as."""
        return str(self._pod["serviceAccountName"])

    def install(self, client: KubernetesClient) -> None:
        """Apply all of it but the pods, which have no node to run on: them the API server only validates."""
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        placed = [_placed(manifest, self.namespace) for manifest in self.manifests]
        client.apply_all((each for each in placed if each["kind"] not in _WORKLOADS), manager="helm")
        for manifest in placed:
            if manifest["kind"] in _WORKLOADS:
                client.apply(manifest, manager="helm", dry_run=True)

    def environment(self) -> dict[str, str]:
        """The variables that the chart gives the operator's container, as far as the chart knows their values."""
        given = self._pod["containers"][0].get("env", [])
        literal = {entry["name"]: str(entry["value"]) for entry in given if "value" in entry}
        own_namespace = {
            entry["name"]: self.namespace
            for entry in given
            if entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath") == "metadata.namespace"
        }
        return literal | own_namespace

    @property
    def _pod(self) -> dict[str, Any]:
        (deployment,) = (manifest for manifest in self.manifests if manifest["kind"] == "Deployment")
        pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
        return pod


def render(namespace: str, values: Mapping[str, object]) -> Release:
    """`helm template` with the real helm.

    Raises:
        subprocess.CalledProcessError: helm refuses; its words are in `stderr`.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        command = [str(binary("helm")), "template", "defender-devops-operator", str(_CHART)]
        command += ["--namespace", namespace, "--values", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Release(namespace, [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest])


def _placed(manifest: Manifest, namespace: str) -> Manifest:
    """Helm puts what names no namespace into the release's; cluster-wide kinds do not mind."""
    return {**manifest, "metadata": {"namespace": namespace, **manifest["metadata"]}}
