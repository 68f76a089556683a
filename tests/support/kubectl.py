"""kubectl as a reference: what it reads from a file, and which request it sends with a kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster.binaries import binary
from sandbox.cluster.programs import BinaryError

__all__ = ["kubectl_path", "read_with_kubectl"]


@cache
def kubectl_path() -> Path:
    """Return the path of kubectl; the test is skipped where it is neither installed nor can be built."""
    try:
        return binary("kubectl")
    except BinaryError as error:
        pytest.skip(f"kubectl is needed: {error}")


def read_with_kubectl(file: Path) -> list[dict[str, Any]]:
    """Return the resources that kubectl reads from a file, without an API server.

    Raises:
        subprocess.CalledProcessError: kubectl rejects the file.
    """
    command = [kubectl_path(), "label", "--local", "-f", file, "-o", "json", "read-by=kubectl"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(file.parent), "KUBECONFIG": os.devnull}
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    resources, decoder = [], json.JSONDecoder()
    while output := output.lstrip():
        resource, end = decoder.raw_decode(output)
        resources += resource["items"] if resource["kind"] == "List" else [resource]
        output = output[end:]
    return resources
