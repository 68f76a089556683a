"""Address and credentials of the API server: from the pod's service account, else from a kubeconfig.

Tokens in files are rotated, so files are read again after a minute. A kubeconfig's exec command may be slow, so it runs
again shortly before its credential expires. Either is read again immediately when the server answers 401.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader, load_kube_config
from pydantic import SecretStr

from defender_devops.errors import KubernetesRefused, KubernetesUnavailable

__all__ = ["Credentials", "CredentialsLoader"]

_FILE_RELOAD_INTERVAL: Final = 60.0
_EXPIRY_MARGIN: Final = 60.0
"""Seconds before the expiry of an exec command's credential at which the command runs again."""

_MIN_LIFETIME: Final = 10.0
"""Seconds for which any credential is kept, even an expired one: an exec command must not run for each request."""

_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
"""Raised by the library for YAML that is not a kubeconfig."""


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
        server_name: the name that the server's certificate has to hold, or None for the address's.
        proxy: address of an HTTP proxy, or None.
        namespace: the one that the kubeconfig's context or the pod stands for, or None.
    """

    server: str
    token: SecretStr | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    insecure: bool = False
    server_name: str | None = None
    proxy: str | None = None
    namespace: str | None = None

    def tls(self) -> ssl.SSLContext:
        """Settings for TLS."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def tls_identity(self) -> object:
        """Equal as long as `tls` would give the same: files, and when each was written."""
        files = (self.ca_file, self.certificate_file, self.key_file)
        return self.insecure, tuple((file, Path(file).stat().st_mtime_ns) for file in files if file)


class CredentialsLoader:
    """Gives credentials that are good now. Several clients may share it.

    Args:
        context: of the kubeconfig; its current one where None.
    """

    def __init__(self, context: str | None = None) -> None:
        self._context = context
        self._known: Credentials | None = None
        self._read_again_at = 0.0
        self._lock = asyncio.Lock()

    async def credentials(self, *, refused: SecretStr | bool | None = None) -> Credentials:
        """The credentials.

        Args:
            refused: the token that the server did not take (True: whichever it was). It is read again at once, unless
                somebody has done so in the meantime.

        Raises:
            KubernetesRefused: there is no usable configuration.
            KubernetesUnavailable: the kubeconfig's exec command gave nothing.
        """
        if self._is_good(refused) and self._known is not None:
            return self._known
        async with self._lock:
            if self._known is None or not self._is_good(refused):
                self._known, good_for = await _load(self._context)
                self._read_again_at = time.monotonic() + good_for
            return self._known

    def _is_good(self, refused: SecretStr | bool | None) -> bool:
        if refused is True or self._known is None or time.monotonic() >= self._read_again_at:
            return False
        return not refused or self._known.token != refused


async def _load(context: str | None) -> tuple[Credentials, float]:
    """Credentials, and for how many seconds they need not be read again."""
    configuration, good_for = Configuration(), _FILE_RELOAD_INTERVAL
    try:
        if SERVICE_HOST_ENV_NAME in os.environ and not os.environ.get("KUBECONFIG") and context is None:
            load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
            namespace = _pod_namespace()
        else:
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=os.environ.get("KUBECONFIG"),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
            namespace = loader.current_context["context"].get("namespace")
            good_for = _good_for(loader, configuration)
    except (ConfigException, OSError, yaml.YAMLError, *_MALFORMED) as error:
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
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
        namespace=namespace,
    ), good_for


def _pod_namespace() -> str | None:
    return _NAMESPACE_FILE.read_text().strip() if _NAMESPACE_FILE.exists() else None


def _good_for(loader: KubeConfigLoader, configuration: Configuration) -> float:
    """How long a kubeconfig's credentials need not be read again, in seconds."""
    user = loader._user  # noqa: SLF001 - as the library's own refresh_token does: there is no other way to ask
    if user is None or "exec" not in user:
        return _FILE_RELOAD_INTERVAL
    if not configuration.api_key.get("BearerToken") and not configuration.cert_file:
        # The library logs the cause and goes on without credentials, which would end in a puzzling 401 or 403.
        raise KubernetesUnavailable(
            "The exec command of the kubeconfig gave no credential; run `kubectl version` to see what it says."
        )
    expires: datetime | None = getattr(loader, "exec_plugin_expiry", None)
    if expires is None:
        return float("inf")  # until the server refuses it, as kubectl does
    return max((expires - datetime.now(UTC)).total_seconds() - _EXPIRY_MARGIN, _MIN_LIFETIME)
