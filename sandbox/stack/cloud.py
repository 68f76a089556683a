"""The simulated cloud as a process, and the environment variables of its clients."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Self

from sandbox.cloud.environment import client_environment
from sandbox.process import ManagedProcess

__all__ = ["CLIENT_SECRET_IDENTITY", "Cloud"]

_ROOT = Path(__file__).parents[2]
_READY_SECONDS = 60
CLIENT_SECRET_IDENTITY = {
    "AZURE_TENANT_ID": "11111111-1111-1111-1111-111111111111",
    "AZURE_CLIENT_ID": "55555555-5555-5555-5555-555555555555",
    "AZURE_CLIENT_SECRET": "sandbox-secret",
}
"""The default world's service principal for trying things by hand (sandbox/cloud/worlds/default.yaml)."""


class Cloud:
    """A running simulated cloud; a context manager that stops it.

    Attributes:
        endpoints: the JSON that it prints when it is ready.
        ca: certificate authority of its services.
        control: URL of the control interface.
    """

    def __init__(self, process: ManagedProcess, endpoints: dict[str, Any]) -> None:
        self.process = process
        self.endpoints = endpoints
        self.ca = Path(endpoints["ca"])
        self.control = str(endpoints["control"])

    @classmethod
    def start(cls, folder: Path, *arguments: str | Path) -> Self:
        """Start it and wait until it is ready.

        Args:
            folder: folder for its log and its CA certificate.
            arguments: options of `python -m sandbox.cloud`.

        Raises:
            ProcessFailed: it ended or did not become ready; the message has the end of its log.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = folder / "cloud.json"
        output.unlink(missing_ok=True)
        process = ManagedProcess(
            "cloud",
            [sys.executable, "-m", "sandbox.cloud", "--dir", folder.absolute(), *arguments],
            log=folder / "cloud.log",
            output=output,
            cwd=_ROOT,
        )
        try:
            return cls(process, process.wait_until(lambda: _first_line(output), timeout=_READY_SECONDS))
        except BaseException:
            process.stop()
            raise

    def environment(self) -> dict[str, str]:
        """Return the variables that direct the operator or an SDK to this cloud."""
        return client_environment({**self.endpoints, "ca": self.ca})

    def stop(self) -> None:
        """Stop it; the log is kept."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _first_line(output: Path) -> dict[str, Any] | None:
    line, end, _ = output.read_text().partition("\n")
    endpoints: dict[str, Any] | None = json.loads(line) if end else None
    return endpoints
