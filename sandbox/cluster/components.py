"""Command lines of etcd, kube-apiserver and kube-controller-manager."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sandbox.cluster.credentials import Credentials

__all__ = ["Layout", "controller_manager_command", "etcd_command", "kube_apiserver_command"]

_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
)
"""The controllers that are useful without nodes and volumes."""


@dataclass(frozen=True)
class Layout:
    """Folder and loopback ports of a cluster."""

    folder: Path
    etcd_port: int
    etcd_peer_port: int
    server_port: int

    @property
    def etcd(self) -> str:
        """URL of etcd's client port."""
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def server(self) -> str:
        """URL of the API server, which is also the issuer of service account tokens."""
        return f"https://127.0.0.1:{self.server_port}"


def etcd_command(program: Path, layout: Layout) -> list[str | Path]:
    """Return the command of etcd, without fsync: the data need not survive a crash."""
    return [
        program,
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={layout.etcd}",
        f"--advertise-client-urls={layout.etcd}",
        f"--listen-peer-urls=http://127.0.0.1:{layout.etcd_peer_port}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def kube_apiserver_command(
    program: Path, layout: Layout, credentials: Credentials, *, audit_policy: Path | None, audit_log: Path
) -> list[str | Path]:
    """Return the command of kube-apiserver with RBAC, default admission and TokenRequest.

    Tokens for other audiences, such as Entra ID's, need no flag: TokenRequest issues them as requested, and
    `--api-audiences` makes the API itself reject them.
    """
    command: list[str | Path] = [
        program,
        f"--etcd-servers={layout.etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.server_port}",
        f"--tls-cert-file={credentials.certificate}",
        f"--tls-private-key-file={credentials.certificate_key}",
        f"--token-auth-file={credentials.tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={layout.server}",
        f"--api-audiences={layout.server},https://kubernetes.default.svc",
        f"--service-account-key-file={credentials.service_account_public_key}",
        f"--service-account-signing-key-file={credentials.service_account_key}",
        "--service-account-extend-token-expiration=false",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",  # no Service leads to 127.0.0.1; without the option a stop takes longer
        "--profiling=false",
    ]
    if audit_policy:
        command += [f"--audit-policy-file={audit_policy}", f"--audit-log-path={audit_log}"]
    return command


def controller_manager_command(program: Path, credentials: Credentials, *, kubeconfig: Path) -> list[str | Path]:
    """Return the command of the controllers. With the default of 20 requests a second they start 5 s later."""
    return [
        program,
        f"--controllers={','.join(_CONTROLLERS)}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        f"--kubeconfig={kubeconfig}",
        f"--root-ca-file={credentials.ca}",
        f"--service-account-private-key-file={credentials.service_account_key}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    ]
