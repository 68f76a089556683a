"""Compiles the modules that the operator imports at its start, including the standard library, and no others.

On a read-only root filesystem bytecode cannot be written at run time, and compiling everything would make the image
50 MB larger: most of it is models of the Kubernetes API that are never imported. The bytecode is written to
PYTHONPYCACHEPREFIX with the hash of the source instead of its timestamp, so that two builds write the same files.
"""

from __future__ import annotations

import importlib
import py_compile
import sys
from pathlib import Path


def main() -> None:
    """Import the operator, then compile the source of every module that is loaded."""
    importlib.import_module("defender_devops.main")
    importlib.import_module("runpy")
    sources = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for source in sorted(path for path in sources if path and path.endswith(".py") and path != __file__):
        py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    compiled = sum(path.stat().st_size for path in Path(sys.pycache_prefix or ".").rglob("*.pyc"))
    print(f"compiled {len(sources)} modules, {compiled / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
