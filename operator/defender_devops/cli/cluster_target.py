"""The options that select cluster and namespace, and those of commands that list something of all connectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defender_devops.cli.output import ListFormat

__all__ = ["ClusterTarget", "ListOptions"]


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """Values of the options; nothing is resolved yet.

    Attributes:
        kubeconfig: file, or None for the default of kubectl.
        context: context of the kubeconfig, or None for its current one.
        namespace: namespace, or None for that of the context.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a command lists, and how.

    Attributes:
        target: cluster and namespace.
        name: one connector, or None for all.
        all_namespaces: whether the connectors of all namespaces are read.
        organizations: names of organizations; empty for all.
        output: format.
    """

    target: ClusterTarget
    name: str | None = None
    all_namespaces: bool = False
    organizations: tuple[str, ...] = ()
    output: ListFormat = ListFormat.TABLE
