"""The real kstatus: the status that Flux and other users of sigs.k8s.io/cli-utils compute for an object."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster.build import build, find_go
from sandbox.cluster.programs import KSTATUS, BinaryError, locked_cache

__all__ = ["kstatus"]


def kstatus(*objects: dict[str, Any]) -> list[str]:
    """Return the status of each object: InProgress, Failed, Current, Terminating, NotFound or Unknown."""
    manifests = "\n".join(json.dumps(manifest) for manifest in objects)
    result = subprocess.run([_program()], input=manifests, capture_output=True, text=True, check=True)
    return [json.loads(line)["status"] for line in result.stdout.splitlines()]


@cache
def _program() -> Path:
    with locked_cache():
        if not KSTATUS.cached.exists():
            try:
                find_go(KSTATUS.module)
            except BinaryError as error:
                pytest.skip(f"kstatus needs Go: {error}")
            build(KSTATUS)
    return KSTATUS.cached
