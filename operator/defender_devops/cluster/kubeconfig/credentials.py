"""Address and credentials of the API server: from the pod's service account, else from a kubeconfig.

Tokens in files are rotated, so files are read again after a minute. A kubeconfig's exec command may be slow, so it runs
again shortly before its credential expires. Either is read again immediately when the server answers 401.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import shutil
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from defender_devops.cluster.kubeconfig.exec_credential import ExecCredential, run_exec_command
from defender_devops.cluster.kubeconfig.files import (
    KubeconfigContext,
    decode_kubeconfig_field,
    invalid_kubeconfig,
    read_context,
)
from defender_devops.credentials.text import InvalidCredential, credential_text
from defender_devops.proxies import InvalidProxy, Proxy, parse_proxy, proxy_for

__all__ = ["Credentials", "CredentialsLoader"]

_FILE_RELOAD_INTERVAL: Final = 60.0
_EXPIRY_MARGIN: Final = 60.0
"""Seconds before the expiry of an exec command's credential at which the command runs again."""

_MIN_LIFETIME: Final = 10.0
"""Seconds for which any credential is kept, even an expired one: an exec command must not run for each request."""

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_PROXY_SCHEMES: Final = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client needs to connect to the API server.

    Attributes:
        server: address, without a slash at the end.
        token: bearer token, or None.
        ca_file: certificate authority, or None for the system's.
        certificate_file: client certificate, or None.
        key_file: its private key, or None.
        insecure: whether the server's certificate is not verified (insecure-skip-tls-verify).
        server_name: name that the server's certificate must have, or None for that in the address.
        proxy: HTTP proxy of all requests, or None.
        namespace: namespace of the kubeconfig's context or of the pod, or None.
        impersonation: request headers of the user to impersonate (`as` in a kubeconfig).
    """

    server: str
    token: SecretStr | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    insecure: bool = False
    server_name: str | None = None
    proxy: Proxy | None = None
    namespace: str | None = None
    impersonation: tuple[tuple[str, str], ...] = ()

    def tls(self) -> ssl.SSLContext:
        """Return a TLS context."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def tls_identity(self) -> object:
        """Return a value that changes when `tls` would return another context: files and their modification times."""
        files = (self.ca_file, self.certificate_file, self.key_file)
        return self.insecure, tuple((file, Path(file).stat().st_mtime_ns) for file in files if file)


class CredentialsLoader:
    """Provides valid credentials. Several clients may share one.

    Args:
        context: context of the kubeconfig; None for the current one.
    """

    def __init__(self, context: str | None = None) -> None:
        self._context = context
        self._cached: Credentials | None = None
        self._reload_at = 0.0
        self._lock = asyncio.Lock()

    async def credentials(self, *, refused: SecretStr | bool | None = None) -> Credentials:
        """Return the credentials.

        Args:
            refused: token that the server rejected (True: any). Credentials are loaded again, unless another caller has
                loaded others since.

        Raises:
            KubernetesRefused: there is no usable configuration.
            KubernetesUnavailable: the kubeconfig's exec command returned no credential.
        """
        if self._cached is not None and self._is_valid(self._cached, refused):
            return self._cached
        async with self._lock:
            if self._cached is None or not self._is_valid(self._cached, refused):
                self._cached, lifetime = await _load(self._context)
                self._reload_at = time.monotonic() + lifetime
            return self._cached

    def _is_valid(self, credentials: Credentials, refused: SecretStr | bool | None) -> bool:
        if refused is True or time.monotonic() >= self._reload_at:
            return False
        return not refused or credentials.token != refused


async def _load(context_name: str | None) -> tuple[Credentials, float]:
    """Return credentials, and the seconds for which they need not be loaded again."""
    if "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG") and context_name is None:
        return _in_cluster(), _FILE_RELOAD_INTERVAL
    context = read_context(context_name)
    user = context.user
    _reject_conflicts(context)
    token = _static_token(user)
    certificate_file = _file_of(user, "client-certificate")
    key_file = _file_of(user, "client-key")
    lifetime = _FILE_RELOAD_INTERVAL
    if user.get("exec") and token is None:  # a static token takes precedence, as for `kubectl --token`
        credential = await run_exec_command(context)
        token, lifetime = credential.token, _lifetime(credential)
        if credential.certificate is not None and credential.key is not None:
            certificate_file = _write_private(credential.certificate.encode())
            key_file = _write_private(credential.key.get_secret_value().encode())
    server = _server(context.cluster, has_tls=certificate_file is not None)
    credentials = Credentials(
        server=server,
        token=token,
        ca_file=_file_of(context.cluster, "certificate-authority"),
        certificate_file=certificate_file,
        key_file=key_file,
        insecure=bool(context.cluster.get("insecure-skip-tls-verify")),
        server_name=context.cluster.get("tls-server-name") or None,
        proxy=_proxy(context.cluster, server),
        namespace=context.namespace,
        impersonation=_impersonation(user),
    )
    for file in (credentials.ca_file, credentials.certificate_file, credentials.key_file):
        if file is not None and not os.access(file, os.R_OK):
            raise invalid_kubeconfig(f"{file} cannot be read")
    return credentials, lifetime


def _in_cluster() -> Credentials:
    """Return the credentials of the pod's service account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace_file = _SERVICE_ACCOUNT / "namespace"
    try:
        token = (_SERVICE_ACCOUNT / "token").read_text().strip()
        namespace = namespace_file.read_text().strip() if namespace_file.exists() else None
    except OSError as error:
        raise invalid_kubeconfig(f"{error.filename} cannot be read: {error.strerror}") from None
    if not token:
        raise invalid_kubeconfig(f"{_SERVICE_ACCOUNT / 'token'} is empty")
    address = f"[{host}]" if ":" in host else host
    ca_file = str(_SERVICE_ACCOUNT / "ca.crt")
    return Credentials(f"https://{address}:{port}", SecretStr(token), ca_file, namespace=namespace)


def _reject_conflicts(context: KubeconfigContext) -> None:
    """Reject combinations of fields that kubectl rejects, too."""
    cluster, user = context.cluster, context.user
    for fields, name in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")):
        if fields.get(name) and fields.get(f"{name}-data"):
            raise invalid_kubeconfig(f"{name} and {name}-data exclude each other")
    has_ca = cluster.get("certificate-authority") or cluster.get("certificate-authority-data")
    if cluster.get("insecure-skip-tls-verify") and has_ca:
        raise invalid_kubeconfig("insecure-skip-tls-verify and a certificate authority exclude each other")
    has_certificate, has_key = (
        bool(user.get(name) or user.get(f"{name}-data")) for name in ("client-certificate", "client-key")
    )
    if has_certificate != has_key:
        raise invalid_kubeconfig("client-certificate and client-key need each other")
    if not user.get("as") and (user.get("as-uid") or user.get("as-groups") or user.get("as-user-extra")):
        raise invalid_kubeconfig("as-uid, as-groups and as-user-extra need `as`")


def _static_token(user: Mapping[str, Any]) -> SecretStr | None:
    """Return the token of a kubeconfig. `tokenFile` takes precedence; `token` is used while the file is unreadable."""
    token = str(user.get("token") or "").strip()
    if user.get("tokenFile"):
        try:
            token = Path(user["tokenFile"]).read_text().strip() or token
        except (OSError, UnicodeDecodeError) as error:
            if not token:
                raise invalid_kubeconfig(
                    f"tokenFile {user['tokenFile']} cannot be read: {type(error).__name__}"
                ) from None
    try:
        text = credential_text(token)
    except InvalidCredential as error:
        raise invalid_kubeconfig(f"the token cannot be used: {error}") from None
    return text if text.get_secret_value() else None


def _server(cluster: Mapping[str, Any], *, has_tls: bool) -> str:
    """Return the address of the server; one without a scheme gets the scheme that kubectl would use."""
    server = str(cluster["server"]).strip()
    if "://" not in server:
        has_ca = cluster.get("certificate-authority") or cluster.get("certificate-authority-data")
        is_tls = has_tls or has_ca or cluster.get("insecure-skip-tls-verify")
        server = f"{'https' if is_tls else 'http'}://{server}"
    scheme, _, address = server.partition("://")
    if scheme.lower() not in {"http", "https"}:
        raise invalid_kubeconfig(f"server: {scheme} is not a scheme of an API server")
    try:
        is_complete = bool(urlsplit(f"{scheme.lower()}://{address}").hostname)
    except ValueError:
        is_complete = False
    if not is_complete:
        raise invalid_kubeconfig(f"server: {server} is not an address")
    return f"{scheme.lower()}://{address}".rstrip("/")


def _proxy(cluster: Mapping[str, Any], server: str) -> Proxy | None:
    """Return `proxy-url`, else the proxy of the environment, as kubectl does; inside a cluster there is none.

    Raises:
        KubernetesRefused: `proxy-url` is not the address of an HTTP proxy.
        InvalidProxy: a variable of the environment is not.
    """
    proxy = str(cluster.get("proxy-url") or "").strip()
    if not proxy:
        return proxy_for(server, loopback_is_direct=True)
    scheme, separator, _ = proxy.partition("://")
    if not separator or scheme.lower() not in _PROXY_SCHEMES:
        # The address may contain a password, so the message has only the scheme.
        name = f"{scheme}://" if separator else "an address without a scheme"
        raise invalid_kubeconfig(f"proxy-url: {name} is not supported, but http:// and https://")
    try:
        return parse_proxy(proxy, "proxy-url")
    except InvalidProxy as error:
        raise invalid_kubeconfig(error.message.rstrip(".")) from None


def _impersonation(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the headers of the user to impersonate."""
    if not user.get("as"):
        return ()
    headers = [("Impersonate-User", str(user["as"]))]
    if user.get("as-uid"):
        headers.append(("Impersonate-Uid", str(user["as-uid"])))
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    for name, values in (user.get("as-user-extra") or {}).items():
        # A header's name is not case-sensitive and has few characters, so keys are percent-encoded.
        headers += [(f"Impersonate-Extra-{quote(str(name).lower(), safe='')}", str(value)) for value in values]
    for name, value in headers:
        if not value.isprintable():
            raise invalid_kubeconfig(f"{name}: the value has control characters")
    return tuple(headers)


def _lifetime(credential: ExecCredential) -> float:
    """Return the seconds for which the credential of an exec command need not be renewed."""
    if credential.expires_at is None:
        return float("inf")  # until the server rejects it, as kubectl does
    expires_at = credential.expires_at
    expires_at = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
    return max((expires_at - datetime.now(UTC)).total_seconds() - _EXPIRY_MARGIN, _MIN_LIFETIME)


def _file_of(fields: Mapping[str, Any], name: str) -> str | None:
    """Return the path of a certificate or key; content in the kubeconfig is written to a private file."""
    if fields.get(f"{name}-data"):
        return _write_private(decode_kubeconfig_field(fields, f"{name}-data"))
    return str(fields[name]) if fields.get(name) else None


def _write_private(content: bytes) -> str:
    """Write content to a file of this process, since Python's ssl module reads certificates from files only."""
    file = _private_folder() / hashlib.sha256(content).hexdigest()
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
    return str(file)


@cache
def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="defender-devops-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
