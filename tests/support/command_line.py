"""The command line, run in the process of the test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from defender_devops.cli.main import run_command_line

RunCommand = Callable[..., "CommandResult"]
"""Runs `defender-devops` with these arguments."""


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a run."""

    exit_code: int
    out: str
    err: str


@contextmanager
def command_line(capsys: pytest.CaptureFixture[str]) -> Iterator[RunCommand]:
    """Yield a function that runs a command line; the logging configuration is restored at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def start(*arguments: str | Path) -> CommandResult:
        capsys.readouterr()
        exit_code = run_command_line([str(argument) for argument in arguments])
        return CommandResult(exit_code, *capsys.readouterr())

    try:
        yield start
    finally:
        logging.disable(logging.NOTSET)
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
