"""Read kubeconfig files as kubectl does: merge the files of KUBECONFIG, and resolve relative paths.

Every field is either used or rejected by name. A field that is silently ignored would give a user other permissions
than kubectl does (`as`), or another cluster.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from defender_devops.cluster.kubernetes_yaml import load_yaml
from defender_devops.errors import KubernetesRefused

__all__ = ["KubeconfigContext", "invalid_kubeconfig", "read_context"]

_DEFAULT_FILE: Final = Path("~/.kube/config")

_CONFIG_FIELDS: Final = frozenset(
    {"apiVersion", "kind", "preferences", "clusters", "users", "contexts", "current-context", "extensions"}
)
_CONTEXT_FIELDS: Final = frozenset({"cluster", "user", "namespace", "extensions"})
_CLUSTER_FIELDS: Final = frozenset(
    {
        "server",
        "tls-server-name",
        "insecure-skip-tls-verify",
        "certificate-authority",
        "certificate-authority-data",
        "proxy-url",
        "disable-compression",  # responses are not compressed anyway
        "extensions",
    }
)
_USER_FIELDS: Final = frozenset(
    {
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "token",
        "tokenFile",
        "as",
        "as-uid",
        "as-groups",
        "as-user-extra",
        "exec",
        "extensions",
    }
)
_REJECTED_USER_FIELDS: Final[Mapping[str, str]] = {
    "auth-provider": "kubectl has removed most of these providers, too; use an exec command, such as kubelogin",
    "username": "the API server has no basic authentication; use a token, a certificate or an exec command",
    "password": "the API server has no basic authentication; use a token, a certificate or an exec command",
}
_PATH_FIELDS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, slots=True)
class KubeconfigContext:
    """One context with its cluster and user; paths are absolute.

    Attributes:
        name: name of the context.
        namespace: namespace of the context, or None.
        cluster: fields of the cluster.
        user: fields of the user; empty for an anonymous one.
    """

    name: str
    namespace: str | None
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]


def invalid_kubeconfig(problem: str) -> KubernetesRefused:
    """Return the error for a configuration that cannot be used."""
    return KubernetesRefused(
        f"There is no usable configuration of a Kubernetes cluster ({problem}). Run in a pod, or set KUBECONFIG."
    )


def read_context(context: str | None) -> KubeconfigContext:
    """Read a context from the files in KUBECONFIG, or from ~/.kube/config.

    Args:
        context: name of the context, or None for the current one.

    Raises:
        KubernetesRefused: there is no such context, or it has a field that is invalid or not supported.
    """
    variable = os.environ.get("KUBECONFIG")
    files = [Path(name) for name in (variable or "").split(os.pathsep) if name] or [_DEFAULT_FILE.expanduser()]
    configs = [config for file in files if (config := _read_file(file)) is not None]
    place = ", ".join(str(file) for file in files)
    if not configs:
        raise invalid_kubeconfig(f"no kubeconfig at {place}")
    name = context or next((str(value) for config in configs if (value := config.get("current-context"))), None)
    if name is None:
        raise invalid_kubeconfig(
            f"{place} has no current-context; set one with `kubectl config use-context`, or pass --context"
        )
    fields = _entry(configs, "context", name, _CONTEXT_FIELDS)
    if fields is None:
        raise invalid_kubeconfig(f"{place} has no context {name}")
    cluster_name, user_name = fields.get("cluster"), fields.get("user")
    cluster = _entry(configs, "cluster", cluster_name, _CLUSTER_FIELDS) if cluster_name else None
    if cluster is None or not cluster.get("server"):
        raise invalid_kubeconfig(f"context {name} has no cluster with a server")
    user = _entry(configs, "user", user_name, _USER_FIELDS, _REJECTED_USER_FIELDS) if user_name else {}
    if user is None:
        raise invalid_kubeconfig(f"context {name} refers to user {user_name}, which does not exist")
    return KubeconfigContext(name, fields.get("namespace") or None, cluster, user)


def _read_file(file: Path) -> Mapping[str, Any] | None:
    """Return the content of a file with absolute paths; None if it does not exist, as kubectl skips it."""
    try:
        # /dev/null, a usual way to have no configuration, is read as an empty file.
        documents = load_yaml(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise invalid_kubeconfig(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise invalid_kubeconfig(f"{file} is not a text file") from None
    except yaml.YAMLError as error:
        raise invalid_kubeconfig(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    config = documents[0] if documents else None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise invalid_kubeconfig(f"{file} is not a kubeconfig: a mapping of fields is expected")
    _reject_unknown(config, _CONFIG_FIELDS, str(file))
    _validate_entries(config, file)
    return config


def _validate_entries(config: Mapping[str, Any], file: Path) -> None:
    """Check the lists of clusters, users and contexts, and make their paths absolute."""
    for kind in ("cluster", "user", "context"):
        entries = config.get(f"{kind}s") or []
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get(kind) or {}, dict) for entry in entries
        ):
            raise invalid_kubeconfig(f"{file}: {kind}s is not a list of named {kind}s")
        for entry in entries:
            _resolve_paths(entry.get(kind) or {}, file.parent.resolve())


def _resolve_paths(fields: dict[str, Any], folder: Path) -> None:
    """Make paths absolute; they are relative to the folder of their file."""
    for name in _PATH_FIELDS:
        if fields.get(name):
            fields[name] = str(folder / str(fields[name]))
    command = fields.get("exec")
    # A command without a slash is searched in PATH.
    if isinstance(command, dict) and os.sep in str(command.get("command") or ""):
        command["command"] = str(folder / str(command["command"]))


def _entry(
    configs: Iterable[Mapping[str, Any]],
    kind: str,
    name: object,
    known_fields: frozenset[str],
    rejected_fields: Mapping[str, str] | None = None,
) -> Mapping[str, Any] | None:
    """Return the fields of the first entry of that name: later files add entries, but never fields to one."""
    for config in configs:
        for entry in config.get(f"{kind}s") or []:
            if str(entry.get("name")) == str(name):
                fields: Mapping[str, Any] = entry.get(kind) or {}
                for field, reason in (rejected_fields or {}).items():
                    if fields.get(field):
                        raise invalid_kubeconfig(f"{kind} {name}: {field} is not supported: {reason}")
                _reject_unknown(fields, known_fields | (rejected_fields or {}).keys(), f"{kind} {name}")
                return fields
    return None


def _reject_unknown(fields: Mapping[str, Any], known_fields: Iterable[str], place: str) -> None:
    unknown = sorted(set(fields) - set(known_fields))
    if unknown:
        raise invalid_kubeconfig(f"{place}: {unknown[0]} is not supported")


def decode_kubeconfig_field(fields: Mapping[str, Any], name: str) -> bytes:
    """Return the content of a field in base64.

    Raises:
        KubernetesRefused: it is not base64.
    """
    try:
        return base64.b64decode(str(fields[name]), validate=False)
    except ValueError:
        raise invalid_kubeconfig(f"{name} is not base64") from None
