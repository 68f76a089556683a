"""The environment of the demo: cluster, cloud and operator, connected as on a real cluster."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import Manifest
from sandbox.cluster.credentials import write_secret
from sandbox.cluster.ports import free_ports
from sandbox.process import ProcessFailed
from sandbox.stack import Cloud, Operator
from sandbox.stack.chart import Release, package_chart
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from sandbox.stack.service_account import ProjectedTokens

__all__ = ["NAMESPACE", "Environment"]

NAMESPACE = "defender-devops"
"""Namespace of the operator."""

_OPERATOR_IN_AZURE = {
    "enabled": True,
    "webhook": False,
    "clientId": "66666666-6666-6666-6666-666666666666",
    "tenantId": "11111111-1111-1111-1111-111111111111",
}
"""The application of the default world with a federated credential for the chart's service account."""

_SPEED = 120
"""Discovery takes hours in Azure; here an hour is half a minute."""

_INTERVALS = {
    "refreshInterval": 2,
    "checkInterval": 3,
    "discoverySettleInterval": 12,
    "postureInterval": 3,
    "pipelineRequestInterval": 0.05,
}
"""Seconds; shorter than the defaults by about the factor of the simulated clock."""


_COMMAND_SECONDS = 60


class Environment:
    """Started part by part, stopped as a whole.

    Args:
        folder: folder for all files.
        audit_policy: audit policy of the API server, whose log is `audit.log`.
    """

    def __init__(self, folder: Path, *, audit_policy: Path | None = None) -> None:
        self.folder = folder
        self._audit_policy = audit_policy
        self._running = ExitStack()
        self.cluster: Cluster
        self.cloud: Cloud
        self.kubernetes: KubernetesClient
        self.control: ControlClient
        self.release: Release
        self.tokens: ProjectedTokens
        self.operator: Operator

    def start_cluster(self) -> None:
        """Start an API server with controllers."""
        self.cluster = self._running.enter_context(
            Cluster.start(self.folder / "cluster", audit_policy=self._audit_policy)
        )
        self.kubernetes = self._running.enter_context(self.cluster.client())

    def start_cloud(self) -> None:
        """Start a cloud that trusts the API server's tokens."""
        federation = ("--federation-issuer", self.cluster.issuer, "--federation-jwks", self.cluster.jwks)
        self.cloud = self._running.enter_context(
            Cloud.start(self.folder / "cloud", "--speed", str(_SPEED), *federation)
        )
        self.control = self._running.enter_context(ControlClient(self.cloud.control))

    def install_chart(self, connectors: Sequence[Manifest]) -> None:
        """Install the chart, with a grant of the operator's own identity for the namespaces that use it."""
        values: dict[str, Any] = {
            "workloadIdentity": _OPERATOR_IN_AZURE,
            "identityGrants": _grants(connectors),
            "settings": _INTERVALS,
            "extraEnv": [{"name": name, "value": value} for name, value in self.cloud.environment().items()],
        }
        self.release = Release.install(self.cluster, NAMESPACE, package_chart(self.folder / "chart"), values)

    def start_operator(self) -> None:
        """Start the operator as the chart's service account, with the chart's variables."""
        self.tokens = self._running.enter_context(
            ProjectedTokens(self.cluster, NAMESPACE, self.release.service_account, self.folder / "pod")
        )
        (port,) = free_ports(1)
        pages = {
            "DEFENDER_DEVOPS_SIGNIN_URL": f"http://localhost:{port}/signin",
            "DEFENDER_DEVOPS_SIGNIN_HOST": "127.0.0.1",
            "DEFENDER_DEVOPS_SIGNIN_PORT": str(port),
        }
        variables = {**self.release.environment(), **self.tokens.environment(), **pages}
        del variables["DEFENDER_DEVOPS_METRICS_PORT"]  # Operator uses a free port instead
        self.operator = self._running.enter_context(Operator.start(self.folder / "operator.log", variables))

    def run_command(self, *arguments: str) -> str:
        """Run `kubectl defender-devops` as a person who is signed in to Azure, and return its output.

        Raises:
            ProcessFailed: it failed; the message has its errors.
        """
        result = subprocess.run(
            [sys.executable, "-m", "defender_devops.cli", *arguments],
            env={**os.environ, **self._user_variables()},
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )
        if result.returncode:
            raise ProcessFailed(
                f"{' '.join(arguments)}: exit status {result.returncode}\n{result.stdout}{result.stderr}"
            )
        return result.stdout + result.stderr

    def write_user_variables(self) -> Path:
        """Write the variables of a person's shell, and return the file."""
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in self._user_variables().items())
        write_secret(self.folder / "env", "".join(lines))
        return self.folder / "env"

    def _user_variables(self) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            **self.cloud.environment(),
            **CLIENT_SECRET_IDENTITY,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        }

    def check(self) -> None:
        """Raise ProcessFailed if any part has ended."""
        self.cluster.check()
        self.cloud.process.check()
        self.operator.process.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, trace)


def _grants(connectors: Sequence[Manifest]) -> list[dict[str, str]]:
    """Return grants for connectors without an identity of their own."""
    granted = {
        (
            connector["metadata"]["namespace"],
            connector["spec"]["azure"]["tenantId"],
            connector["spec"]["azure"]["subscriptionId"],
        )
        for connector in connectors
        if "identity" not in connector["spec"]["azure"]
    }
    names = ("namespace", "tenantId", "subscriptionId")
    return [dict(zip(names, values, strict=True)) for values in sorted(granted)]
