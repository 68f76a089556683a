"""Shell completion of connector and namespace names, read from the cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import typer

from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.errors import OperatorError

__all__ = ["complete_connector", "complete_namespace"]

_TIMEOUT: Final = 3.0
"""Seconds that a person waits after pressing Tab."""


def complete_connector(context: typer.Context, incomplete: str) -> list[str]:
    """Return names of connectors in the namespace of the command line."""
    bodies = asyncio.run(_connectors(context, all_namespaces=False))
    names = {str(metadata["name"]) for metadata in bodies}
    return sorted(name for name in names if name.startswith(incomplete))


def complete_namespace(context: typer.Context, incomplete: str) -> list[str]:
    """Return namespaces that contain connectors."""
    bodies = asyncio.run(_connectors(context, all_namespaces=True))
    names = {str(metadata["namespace"]) for metadata in bodies}
    return sorted(name for name in names if name.startswith(incomplete))


async def _connectors(context: typer.Context, *, all_namespaces: bool) -> list[dict[str, object]]:
    """Return the metadata of connectors; empty if the cluster cannot be read."""
    from defender_devops.cli.cluster_access import open_cluster  # noqa: PLC0415 - slow; commands do not need it

    options = context.params
    kubeconfig = Path(options["kubeconfig"]) if options.get("kubeconfig") else None
    target = ClusterTarget(kubeconfig, options.get("context"), options.get("namespace"))
    try:
        async with asyncio.timeout(_TIMEOUT), open_cluster(target) as cluster:
            bodies = await cluster.connectors(None if all_namespaces else cluster.namespace)
    except (OperatorError, TimeoutError):  # no suggestions; the command itself will report the error
        return []
    return [body["metadata"] for body in bodies]
