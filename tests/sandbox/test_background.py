"""`make sandbox` and `make sandbox-down`: starting once, stopping completely."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sandbox import background

pytestmark = pytest.mark.early

ROOT = Path(background.__file__).parents[1]


def sandbox(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "sandbox", "--folder", str(folder), command]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandbox folder"


def test_the_sandbox_starts_once_is_usable_from_a_shell_and_stops_completely(folder: Path) -> None:
    first = sandbox(folder, "up")
    assert first.returncode == 0, first.stderr
    try:
        assert "the sandbox is already running" in sandbox(folder, "up").stdout
        assert f"-m sandbox --folder {shlex.quote(str(folder))} down" in first.stdout
        background_process = psutil.Process(int((folder / "lock").read_text()))
        family = [background_process, *background_process.children(recursive=True)]
        script = f'set -a; . "$1/env"; set +a; {sys.executable} -m sandbox kubectl get crd --output=name'
        result = subprocess.run(
            ["/bin/sh", "-ec", script, "sh", folder], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert "azuredevopsconnectors.defender-devops.io" in result.stdout
        assert {path.stat().st_mode & 0o077 for path in (folder, folder / "env", folder / "kubeconfig")} == {0}
    finally:
        ended = sandbox(folder, "down")
    assert ended.stdout.strip() == "the sandbox is stopped"
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []
    assert not (folder / "env").exists()
    assert sandbox(folder, "down").stdout.strip() == "the sandbox is not running"


@pytest.mark.parametrize("victim", ["the background process", pytest.param("etcd", marks=pytest.mark.long)])
def test_the_sandbox_stops_completely_when_one_of_its_processes_is_killed(folder: Path, victim: str) -> None:
    assert sandbox(folder, "up").returncode == 0
    background_process = psutil.Process(int((folder / "lock").read_text()))
    children = background_process.children(recursive=True)
    pid = (
        background_process.pid
        if victim == "the background process"
        else next(child.pid for child in children if child.name() == "etcd")
    )
    os.kill(pid, signal.SIGKILL)
    _, alive = psutil.wait_procs([background_process, *children], timeout=20)
    assert alive == []
    assert sandbox(folder, "down").stdout.strip() == "the sandbox is not running"
    assert not (folder / "env").exists()


def test_a_start_that_fails_says_why_and_leaves_nothing_running(folder: Path) -> None:
    folder.mkdir()
    (folder / "cluster").write_text("in the way")
    failed = sandbox(folder, "up")
    assert failed.returncode == 1
    assert "the sandbox did not start" in failed.stderr
    assert "File exists" in failed.stderr
    assert not (folder / "env").exists()
