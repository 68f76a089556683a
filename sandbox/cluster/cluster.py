"""A real Kubernetes API server, with etcd and the controllers, as plain processes on the loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Self

import httpx

from sandbox.cluster.binaries import Binaries
from sandbox.cluster.client import ApiError, KubernetesClient
from sandbox.cluster.components import Layout, controller_manager_command, etcd_command, kube_apiserver_command
from sandbox.cluster.credentials import Credentials, kubeconfig, write_secret
from sandbox.cluster.ports import free_ports
from sandbox.process import ManagedProcess, ProcessFailed, stop_processes

__all__ = ["Cluster"]

_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"
_ETCD_SECONDS = 30
_SERVER_SECONDS = 90
_CONTROLLERS_SECONDS = 60
_GRACE_SECONDS = 3.0


class Cluster:
    """A running cluster; a context manager that stops it.

    Attributes:
        folder: its data, keys and logs.
        server: URL of the API server.
        ca: certificate authority that clients must trust.
        kubeconfig: kubeconfig of the administrator.
        admin_token: the administrator's bearer token.
        issuer: the `iss` of service account tokens; equal to `server`.
        jwks: file with the published keys that verify them.
        audit_log: audit log, if the cluster was started with an audit policy.
    """

    def __init__(self, layout: Layout, credentials: Credentials, *, audit_policy: Path | None) -> None:
        self.folder = layout.folder
        self.server = layout.server
        self.issuer = layout.server
        self.ca = credentials.ca
        self.admin_token = credentials.admin_token
        self.kubeconfig = self.folder / "kubeconfig"
        self.jwks = self.folder / "jwks.json"
        self.audit_log = self.folder / "audit.log"
        self._layout = layout
        self._credentials = credentials
        self._audit_policy = audit_policy
        self._processes: list[ManagedProcess] = []

    @classmethod
    def start(cls, folder: Path, *, audit_policy: Path | None = None) -> Self:
        """Start a new, empty cluster and wait until the API server and the controllers are ready.

        Args:
            folder: removed first if it has an earlier cluster.
            audit_policy: audit.k8s.io/v1 Policy for `audit_log`.

        Raises:
            ProcessFailed: a component ended or did not become ready; the message has the end of its log.
            BinaryError: a program is neither installed nor can be downloaded or built.
        """
        binaries = Binaries.find()
        # The ports are free when they are chosen, but may be bound by another process before they are used.
        for _ in range(_ATTEMPTS - 1):
            try:
                return cls._start_once(folder, binaries, audit_policy)
            except ProcessFailed as error:
                if _PORT_TAKEN not in str(error):
                    raise
        return cls._start_once(folder, binaries, audit_policy)

    @classmethod
    def _start_once(cls, folder: Path, binaries: Binaries, audit_policy: Path | None) -> Self:
        folder = folder.absolute()
        if (folder / "tokens.csv").exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout = Layout(folder, *free_ports(3))
        cluster = cls(layout, Credentials.create(folder), audit_policy=audit_policy)
        try:
            cluster._start_components(binaries)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def _start_components(self, binaries: Binaries) -> None:
        write_secret(self.kubeconfig, kubeconfig(self.server, self.ca, token=self.admin_token))
        etcd = self._run("etcd", etcd_command(binaries.etcd, self._layout))
        etcd.wait_until_responding(f"{self._layout.etcd}/health", timeout=_ETCD_SECONDS)
        with self.client() as client:
            self._start_api_server(binaries.kube_apiserver, client)
            self._start_controllers(binaries.kube_controller_manager, client)

    def _start_api_server(self, program: Path, client: KubernetesClient) -> None:
        command = kube_apiserver_command(
            program, self._layout, self._credentials, audit_policy=self._audit_policy, audit_log=self.audit_log
        )
        self._run("kube-apiserver", command).wait_until(lambda: _answer(client, "/readyz"), timeout=_SERVER_SECONDS)
        self.jwks.write_text(json.dumps(client.request("GET", "/openid/v1/jwks")))

    def _start_controllers(self, program: Path, client: KubernetesClient) -> None:
        """Start kube-controller-manager; it is ready when it has created the default service account."""
        access = self.folder / "controller-manager.kubeconfig"
        write_secret(access, kubeconfig(self.server, self.ca, token=self._credentials.controller_manager_token))
        command = controller_manager_command(program, self._credentials, kubeconfig=access)
        self._run("kube-controller-manager", command).wait_until(
            lambda: client.get("ServiceAccount", "default", "default"), timeout=_CONTROLLERS_SECONDS
        )

    def _run(self, name: str, command: list[str | Path]) -> ManagedProcess:
        process = ManagedProcess(name, command, log=self.folder / f"{name}.log", grace=_GRACE_SECONDS)
        self._processes.append(process)
        return process

    def client(self) -> KubernetesClient:
        """Return a client of the administrator; the caller closes it."""
        return KubernetesClient(self.server, self.ca, self.admin_token)

    def check(self) -> None:
        """Raise ProcessFailed if a component has ended."""
        for process in self._processes:
            process.check()

    def stop(self) -> None:
        """Stop all components; the folder is kept, logs included."""
        stop_processes(self._processes[::-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _answer(client: KubernetesClient, path: str) -> object | None:
    try:
        return client.request("GET", path) or None
    except (httpx.TransportError, ApiError):
        return None
