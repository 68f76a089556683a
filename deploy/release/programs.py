"""Running the programs that a release needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.release.version import ReleaseError
from sandbox.cluster import binary

__all__ = ["helm", "run", "uv"]


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return what a program prints.

    Args:
        command: the program and its arguments.
        cwd: the folder to run it in.
        env: variables besides those of this process.

    Raises:
        ReleaseError: it cannot be started or failed; the message has the end of its output.
    """
    line = " ".join(str(word) for word in command)
    try:
        result = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ReleaseError(f"{line} cannot be started: {error}") from error
    if result.returncode:
        output = (result.stderr or result.stdout).strip()[-3000:]
        raise ReleaseError(f"{line} failed with status {result.returncode}:\n{output}")
    return result.stdout


def uv(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what uv of this environment prints.

    Raises:
        ReleaseError: it failed.
    """
    return run(Path(sys.executable).with_name("uv"), *arguments, cwd=cwd, env=env)


def helm(*arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Return what helm prints: that of PATH, or of the sandbox's cache.

    Raises:
        ReleaseError: it failed.
    """
    return run(binary("helm"), *arguments, env=env)
