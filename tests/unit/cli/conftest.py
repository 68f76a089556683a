"""The program run in this process, as a person would run it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from defender_devops.cli.main import run as run_program


@dataclass(frozen=True)
class Ran:
    """What a run left behind."""

    exit_code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command line without a kubeconfig; logs are as before in the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str | Path) -> Ran:
        exit_code = run_program([str(each) for each in arguments])
        return Ran(exit_code, *capsys.readouterr())

    yield start
    logging.disable(logging.NOTSET)
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
