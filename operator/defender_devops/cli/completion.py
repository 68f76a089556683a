"""Shell completion of the names of connectors, namespaces and organizations, read from the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.errors import OperatorError

__all__ = ["complete_connector", "complete_namespace", "complete_organization"]

Body = Mapping[str, Any]

_TIMEOUT: Final = 3.0
"""Seconds that a person waits after pressing Tab."""


def complete_connector(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of connectors in the namespace of the command line."""
    bodies = asyncio.run(_bodies(context, all_namespaces=False))
    return _matching((body["metadata"]["name"] for body in bodies), incomplete)


def complete_namespace(context: typer.Context, incomplete: str) -> list[str]:
    """Return namespaces that contain connectors."""
    bodies = asyncio.run(_bodies(context, all_namespaces=True))
    return _matching((body["metadata"]["namespace"] for body in bodies), incomplete)


def complete_organization(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of organizations in the namespaces of the command line."""
    all_namespaces = bool(context.params.get("all_namespaces"))
    bodies = asyncio.run(_bodies(context, all_namespaces=all_namespaces, organizations=True))
    return _matching((body["spec"]["organization"] for body in bodies), incomplete)


def _matching(names: Iterable[object], incomplete: str) -> list[str]:
    return sorted(name for name in set(map(str, names)) if name.startswith(incomplete))


async def _bodies(context: typer.Context, *, all_namespaces: bool, organizations: bool = False) -> Sequence[Body]:
    """Return connectors or organizations; empty if the cluster cannot be read."""
    from defender_devops.cli.cluster_access import open_cluster  # noqa: PLC0415 - slow; commands do not need it

    options = context.params
    kubeconfig = Path(options["kubeconfig"]) if options.get("kubeconfig") else None
    target = ClusterTarget(kubeconfig, options.get("context"), options.get("namespace"))
    try:
        async with asyncio.timeout(_TIMEOUT), open_cluster(target) as cluster:
            namespace = None if all_namespaces else cluster.namespace
            return await (cluster.organizations(namespace) if organizations else cluster.connectors(namespace))
    except (OperatorError, TimeoutError):  # no suggestions; the command itself will report the error
        return []
