"""Service account tokens for a process outside of the cluster, as a pod would have them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import httpx

from sandbox.cluster import Cluster
from sandbox.cluster.client import ApiError, KubernetesClient
from sandbox.cluster.credentials import kubeconfig, write_secret

__all__ = ["ProjectedTokens"]

_ENTRA_AUDIENCE = "api://AzureADTokenExchange"
_TOKEN_SECONDS = 600
"""The shortest lifetime that the API server allows."""

_RENEWAL_SECONDS = 60.0


class ProjectedTokens:
    """Two tokens of a service account in files, renewed as the kubelet renews a pod's tokens.

    Attributes:
        kubeconfig: kubeconfig that uses the token for the API server.
        federated_token: file with the token for workload identity federation with Entra ID.
        renewals: number of times that both were written.
    """

    def __init__(self, cluster: Cluster, namespace: str, service_account: str, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.kubeconfig = folder / "kubeconfig"
        self.federated_token = folder / "azure-identity-token"
        self.renewals = 0
        self._cluster = cluster
        self._account = (service_account, namespace)
        self._api_token = folder / "token"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_ended, name="token renewal", daemon=True)

    def start(self) -> Self:
        """Write both tokens and start renewing them."""
        with self._cluster.client() as client:
            self._write(client)
        write_secret(self.kubeconfig, kubeconfig(self._cluster.server, self._cluster.ca, token_file=self._api_token))
        self._thread.start()
        return self

    def environment(self) -> dict[str, str]:
        """Return the variables that refer to both."""
        return {"KUBECONFIG": str(self.kubeconfig), "AZURE_FEDERATED_TOKEN_FILE": str(self.federated_token)}

    def stop(self) -> None:
        """Stop renewing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _write(self, client: KubernetesClient) -> None:
        write_secret(self._api_token, client.service_account_token(*self._account, seconds=_TOKEN_SECONDS))
        entra = client.service_account_token(*self._account, [_ENTRA_AUDIENCE], seconds=_TOKEN_SECONDS)
        write_secret(self.federated_token, entra)
        self.renewals += 1

    def _renew_until_ended(self) -> None:
        with self._cluster.client() as client:
            while not self._ended.wait(_RENEWAL_SECONDS):
                try:
                    self._write(client)
                except (ApiError, httpx.TransportError):
                    continue  # the next renewal is long before the tokens expire

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
