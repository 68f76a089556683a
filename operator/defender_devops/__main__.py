"""`python -m defender_devops` runs the operator."""

from __future__ import annotations

import importlib
import sys
from typing import Final

__all__ = ["main"]

UNUSED_LIBRARIES: Final = ("kubernetes", "rich")
"""Libraries that kopf and structlog import where they are installed, and without which they work the same.

The image does not have them. Elsewhere (`pip install` beside other packages, a checkout) they would cost each process
13 MB and 0.3 s of its start.
"""


def main() -> None:
    """Run the operator without the libraries that it does not use."""
    for library in UNUSED_LIBRARIES:
        # Python's own way to make the import of a module fail with ModuleNotFoundError.
        sys.modules[library] = None  # type: ignore[assignment]
    importlib.import_module("defender_devops.main").main()


if __name__ == "__main__":
    main()
