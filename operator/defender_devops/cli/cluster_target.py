"""The options that select cluster and namespace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ClusterTarget"]


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
