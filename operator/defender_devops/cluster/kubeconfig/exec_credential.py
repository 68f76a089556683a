"""Run the exec command of a kubeconfig (client.authentication.k8s.io), as kubectl does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import SecretStr

from defender_devops.cluster.kubeconfig.files import KubeconfigContext, invalid_kubeconfig
from defender_devops.errors import KubernetesUnavailable

__all__ = ["ExecCredential", "run_exec_command"]

_API_VERSIONS: Final = frozenset({"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"})
_FIELDS: Final = frozenset(
    {"apiVersion", "command", "args", "env", "interactiveMode", "provideClusterInfo", "installHint"}
)
_CLUSTER_INFO_FIELDS: Final = (
    "server",
    "tls-server-name",
    "insecure-skip-tls-verify",
    "certificate-authority-data",
    "proxy-url",
    "disable-compression",
)


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a command has returned.

    Attributes:
        token: bearer token, or None.
        certificate: client certificate in PEM, or None.
        key: its private key in PEM, or None.
        expires_at: None if the credential does not expire.
    """

    token: SecretStr | None
    certificate: str | None
    key: SecretStr | None
    expires_at: datetime | None


async def run_exec_command(context: KubeconfigContext) -> ExecCredential:
    """Run the command of the context's user.

    Raises:
        KubernetesRefused: the kubeconfig's `exec` is invalid.
        KubernetesUnavailable: the command failed, or returned no credential.
    """
    config = context.user["exec"]
    if not isinstance(config, dict) or not config.get("command"):
        raise invalid_kubeconfig("exec has no command")
    unknown = sorted(set(config) - _FIELDS)
    if unknown:
        raise invalid_kubeconfig(f"exec: {unknown[0]} is not supported")
    api_version = config.get("apiVersion")
    if api_version not in _API_VERSIONS:
        raise invalid_kubeconfig(
            f"exec: apiVersion {api_version} is not supported, but {' and '.join(sorted(_API_VERSIONS))}"
        )
    mode = config.get("interactiveMode") or "IfAvailable"
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not is_terminal:
        raise KubernetesUnavailable("The exec command of the kubeconfig needs a terminal (interactiveMode Always).")
    spec: dict[str, Any] = {"interactive": mode != "Never" and is_terminal}
    if config.get("provideClusterInfo"):
        spec["cluster"] = {name: context.cluster[name] for name in _CLUSTER_INFO_FIELDS if name in context.cluster}
    info = {"kind": "ExecCredential", "apiVersion": api_version, "spec": spec}
    variables = {str(item["name"]): str(item.get("value") or "") for item in config.get("env") or ()}
    output = await _run(
        [str(config["command"]), *(str(argument) for argument in config.get("args") or ())],
        {**os.environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info)},
        stdin=None if spec["interactive"] else asyncio.subprocess.DEVNULL,
        hint=str(config.get("installHint") or ""),
    )
    return _parse(output, str(api_version))


async def _run(command: list[str], environment: Mapping[str, str], *, stdin: int | None, hint: str) -> bytes:
    """Return standard output; standard error goes to the user, who may have to act on it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=stdin, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        advice = f" {hint}" if hint else ""
        raise KubernetesUnavailable(
            f"The exec command of the kubeconfig cannot be started: {command[0]}: {error.strerror}.{advice}"
        ) from None
    output, _ = await process.communicate()
    if process.returncode:
        raise KubernetesUnavailable(
            f"The exec command of the kubeconfig gave no credential: {command[0]} exited with {process.returncode}; "
            "run `kubectl version` to see its message."
        )
    return output


def _parse(output: bytes, api_version: str) -> ExecCredential:
    try:
        credential = json.loads(output)
        status = credential["status"]
        is_version_equal = credential.get("apiVersion") == api_version
        token, certificate, key = (
            status.get(name) or None for name in ("token", "clientCertificateData", "clientKeyData")
        )
        expires = status.get("expirationTimestamp")
        expires_at = datetime.fromisoformat(expires) if expires else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise KubernetesUnavailable(
            "The exec command of the kubeconfig gave no credential: its output is not an ExecCredential "
            f"({type(error).__name__}); run `kubectl version` to see its message."
        ) from None
    if not is_version_equal:
        raise KubernetesUnavailable(
            f"The exec command of the kubeconfig gave no credential: its output is not of apiVersion {api_version}."
        )
    if token is None and (certificate is None or key is None):
        raise KubernetesUnavailable(
            "The exec command of the kubeconfig gave no credential: its output has neither a token nor a certificate "
            "with a key."
        )
    return ExecCredential(SecretStr(token) if token else None, certificate, SecretStr(key) if key else None, expires_at)
