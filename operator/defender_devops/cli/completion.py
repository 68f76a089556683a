"""What the shell completes: names of connectors and namespaces as the cluster has them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from defender_devops.cli.cluster_target import Target
from defender_devops.errors import OperatorError

if TYPE_CHECKING:
    from defender_devops.cli.cluster_access import Cluster

__all__ = ["complete_connector", "complete_for_kubectl", "complete_namespace"]

_PATIENCE: Final = 3.0
"""Seconds that somebody who pressed Tab waits."""

_FILES: Final = 0
_NO_FILES: Final = 4
"""Directives of cobra, which kubectl reads from the last line: whether the shell completes names of files instead."""


def complete_connector(context: typer.Context, incomplete: str) -> list[str]:
    """Names of connectors in the namespace that the command line names."""

    async def names(cluster: Cluster) -> list[str]:
        return [body["metadata"]["name"] for body in await cluster.connectors(cluster.namespace)]

    return _complete(context, incomplete, names)


def complete_namespace(context: typer.Context, incomplete: str) -> list[str]:
    """Namespaces that hold connectors."""

    async def names(cluster: Cluster) -> list[str]:
        return [body["metadata"]["namespace"] for body in await cluster.connectors(None)]

    return _complete(context, incomplete, names)


def complete_for_kubectl(words: list[str]) -> int:
    """Print completions as kubectl wants them: one a line, then what to do beside.

    Args:
        words: what stands behind the plugin's name, the unfinished word last (it may be empty).
    """
    from defender_devops.cli.commands import app  # noqa: PLC0415 - the commands complete by this module

    line = ["defender-devops", *words]
    os.environ["COMP_WORDS"] = shlex.join(line[:-1]) + " " + line[-1]
    os.environ["COMP_CWORD"] = str(len(line) - 1)
    os.environ["_DEFENDER_DEVOPS_COMPLETE"] = "complete_bash"
    found = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(found):
        typer.main.get_command(app).main(args=[], prog_name="defender-devops")
    words = found.getvalue().split()
    sys.stdout.writelines(f"{word}\n" for word in words)
    sys.stdout.write(f":{_NO_FILES if words else _FILES}\n")
    return 0


def _complete(context: typer.Context, incomplete: str, names: Callable[[Cluster], Awaitable[list[str]]]) -> list[str]:
    from defender_devops.cli.cluster_access import open_cluster  # noqa: PLC0415 - commands need not wait for it

    kubeconfig, given = context.params.get("kubeconfig"), context.params.get
    target = Target(Path(kubeconfig) if kubeconfig else None, given("context"), given("namespace"))

    async def ask() -> list[str]:
        async with asyncio.timeout(_PATIENCE), open_cluster(target) as cluster:
            return await names(cluster)

    try:
        found = asyncio.run(ask())
    except (OperatorError, TimeoutError):  # nothing to complete with; the command itself will say why
        return []
    return sorted({name for name in found if name.startswith(incomplete)})
