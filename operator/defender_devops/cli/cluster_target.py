"""Which cluster and namespace the options of a command name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """What the options name; nothing is looked up.

    Attributes:
        kubeconfig: file, or None for kubectl's own.
        context: of the kubeconfig, or None for its current one.
        namespace: or None for the context's.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
