"""Shell commands of the documentation, extracted to be run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "Shell", "shell_blocks", "write_program"]


@dataclass(frozen=True)
class Block:
    """One fenced block of shell commands.

    Attributes:
        heading: the section that it is in.
        commands: its text.
    """

    heading: str
    commands: str


def shell_blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page that are marked `sh`, in their order."""
    heading = ""
    for match in re.finditer(r"^#+ ([^\n]+)$|^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[1]
        else:
            yield Block(heading, match[2])


def write_program(folder: Path, name: str, script: str) -> None:
    """Write a program that stands in for another one on the path."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


class Shell:
    """One bash session: exported variables pass from block to block.

    Args:
        folder: home of the session's environment and of the stand-ins in `folder/bin`.
        cwd: the working directory, in which a reader would be.
        variables: added to the environment.
    """

    def __init__(self, folder: Path, cwd: Path, variables: Mapping[str, str]) -> None:
        self._saved, self._cwd = folder / "environment", cwd
        self._saved.write_text("")
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, **variables}

    def run(self, block: Block) -> str:
        """Run a block, and return its output.

        Raises:
            AssertionError: a command failed, or used a variable that no block sets.
        """
        script = f"set -euo pipefail; . {self._saved}\n{block.commands}\nexport -p > {self._saved}"
        run = subprocess.run(
            ["bash", "-c", script], cwd=self._cwd, env=self._environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{block.heading}:\n{block.commands}\n{run.stdout}{run.stderr}"
        return run.stdout
