"""Where the API server is and who we are there: from the pod's service account, else from KUBECONFIG.

The library reads kubeconfigs and the pod's files; tokens in files change while we run, so both are read again when
they are a minute old and whenever the server no longer takes what we have.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from dataclasses import dataclass
from typing import Final

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config
from pydantic import SecretStr

from defender_devops.errors import KubernetesRefused

__all__ = ["Connection", "Credentials"]

_READ_AGAIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to speak to the API server.

    Attributes:
        server: address, without a slash at the end.
        token: value of the Authorization header's Bearer scheme, or None.
        ca_file: certificate authority, or None for the system's.
        certificate_file: client certificate, or None.
        key_file: its private key, or None.
        insecure: the server's certificate is not checked, as the kubeconfig asks.
    """

    server: str
    token: SecretStr | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    insecure: bool = False

    def tls(self) -> ssl.SSLContext:
        """Settings for TLS."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Connection:
    """Gives credentials that are good now."""

    def __init__(self) -> None:
        self._known: Credentials | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()

    async def credentials(self, *, refused: bool = False) -> Credentials:
        """The credentials.

        Args:
            refused: the server did not take the last ones: read them again at once.

        Raises:
            KubernetesRefused: there is no usable configuration.
        """
        async with self._lock:
            if self._known is None or refused or time.monotonic() - self._read_at > _READ_AGAIN:
                self._known = await _load()
                self._read_at = time.monotonic()
            return self._known


async def _load() -> Credentials:
    configuration = Configuration()
    try:
        if SERVICE_HOST_ENV_NAME in os.environ and not os.environ.get("KUBECONFIG"):
            load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise KubernetesRefused(
            f"There is no usable configuration of a Kubernetes cluster ({error}). Run in a pod, or set KUBECONFIG."
        ) from error
    scheme, _, token = str(configuration.api_key.get("BearerToken") or "").strip().partition(" ")
    return Credentials(
        server=str(configuration.host).rstrip("/"),
        token=SecretStr(token.strip()) if scheme.lower() == "bearer" and token else None,
        ca_file=configuration.ssl_ca_cert,
        certificate_file=configuration.cert_file,
        key_file=configuration.key_file,
        insecure=not configuration.verify_ssl,
    )
