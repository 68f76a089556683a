"""The operator as a process outside of the cluster, and its prerequisites in the cluster."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import yaml

from sandbox.cluster.client import KubernetesClient
from sandbox.cluster.ports import free_ports
from sandbox.process import ManagedProcess

__all__ = ["NAMESPACE", "Operator", "install_crds", "prepare_namespace"]

NAMESPACE = "defender-devops"

_CRDS = Path(__file__).parents[2] / "deploy" / "crds"
_READY_SECONDS = 60


class Operator:
    """A running operator; a context manager that stops it.

    Attributes:
        process: the process of the operator.
        metrics: base URL of /livez, /readyz and /metrics.
    """

    def __init__(self, process: ManagedProcess, metrics: str) -> None:
        self.process = process
        self.metrics = metrics

    @classmethod
    def start(cls, log: Path, environment: Mapping[str, str], *, ready: bool = True) -> Self:
        """Start `python -m defender_devops` and wait until it is ready.

        Args:
            log: log file.
            environment: its variables, in addition to ours except AZURE_* and DEFENDER_DEVOPS_*.
            ready: whether to wait for readiness.

        Raises:
            ProcessFailed: it ended or did not become ready; the message has the end of its log.
        """
        (port,) = free_ports(1)
        process = ManagedProcess(
            "operator",
            [sys.executable, "-m", "defender_devops"],
            log=log,
            env={
                # The environment of the developer must not configure the operator.
                **{name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "DEFENDER_"))},
                "DEFENDER_DEVOPS_NAMESPACE": NAMESPACE,
                # A lease of its own: several may run in one cluster, and none waits for the lease of a killed one.
                "DEFENDER_DEVOPS_LEASE_NAME": f"operator-{uuid.uuid4().hex}",
                # One name for all: an operator that starts where another was killed takes its connectors over at once.
                "DEFENDER_DEVOPS_OPERATOR_NAME": "sandbox",
                "DEFENDER_DEVOPS_METRICS_HOST": "127.0.0.1",
                "DEFENDER_DEVOPS_METRICS_PORT": str(port),
                **environment,
            },
            grace=10,
        )
        operator = cls(process, f"http://127.0.0.1:{port}")
        if ready:
            operator.wait_ready()
        return operator

    def wait_ready(self) -> None:
        """Wait for /readyz; stop the process if it does not become ready."""
        try:
            self.process.wait_until_responding(f"{self.metrics}/readyz", timeout=_READY_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """Stop it and return its exit status."""
        return self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def install_crds(client: KubernetesClient) -> None:
    """Apply deploy/crds and wait until the API server serves both kinds."""
    client.apply_all(
        manifest for path in sorted(_CRDS.glob("*.yaml")) for manifest in yaml.safe_load_all(path.read_text())
    )


def prepare_namespace(client: KubernetesClient, name: str = NAMESPACE) -> None:
    """Create a namespace if necessary: the operator's own has its lease and keys."""
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
