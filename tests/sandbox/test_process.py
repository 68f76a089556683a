"""Child processes end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from sandbox import process as module
from sandbox.process import ManagedProcess, ProcessFailed, stop_processes

ROOT = Path(module.__file__).parents[1]
STUBBORN = ["/bin/sh", "-c", "trap '' TERM INT; echo started; while true; do sleep 0.1; done"]

PARENT = """
import sys, time
from pathlib import Path
from sandbox.process import ManagedProcess
command = ["/bin/sh", "-c", sys.argv[2]]
with ManagedProcess("child", command, log=Path(sys.argv[1]), grace=0.3) as child:
    print(child.pid, flush=True)
    time.sleep(600)
"""


def start(log: Path, command: list[str], grace: float = 5) -> ManagedProcess:
    return ManagedProcess("program", command, log=log, grace=grace)


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in path.read_text():
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("child", ["exec sleep 600", STUBBORN[2]], ids=["willing", "deaf to SIGTERM"])
def test_a_program_ends_with_its_parent_however_the_parent_ends(
    tmp_path: Path, number: signal.Signals, child: str
) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PARENT, str(log), child]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        program = psutil.Process(int(parent.stdout.readline()))
        family = [program, *program.children(recursive=True)]
        parent.send_signal(number)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_program_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[ManagedProcess] = []
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", "echo one; read line < fifo; echo two; exec sleep 600"]
    os.mkfifo(tmp_path / "fifo")

    def in_thread() -> None:
        started.append(ManagedProcess("program", command, log=log, cwd=tmp_path))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    with started[0] as process:
        wait_for(log, "one")
        (tmp_path / "fifo").write_text("go on\n")
        wait_for(log, "two")
        assert process.exit_status is None


def test_the_child_is_the_program_itself(tmp_path: Path) -> None:
    with start(tmp_path / "log", ["/bin/sh", "-c", "echo $$; exec sleep 600"]) as process:
        wait_for(tmp_path / "log", "\n")
        assert int((tmp_path / "log").read_text()) == process.pid
    assert process.exit_status == -signal.SIGTERM


def test_a_program_has_no_standard_input_to_wait_for(tmp_path: Path) -> None:
    with start(tmp_path / "log", ["/bin/sh", "-c", "cat; exit 7"]) as process:
        assert process.wait(20) == 7


def test_a_program_that_ignores_sigterm_is_killed_after_its_grace_period(tmp_path: Path) -> None:
    deaf = [start(tmp_path / f"log{number}", STUBBORN, grace=0.3) for number in range(3)]
    for number in range(3):
        wait_for(tmp_path / f"log{number}", "started")
    stop_processes(deaf)
    assert [process.exit_status for process in deaf] == [-signal.SIGKILL] * 3


def test_a_program_can_be_stopped_twice(tmp_path: Path) -> None:
    process = start(tmp_path / "log", ["/bin/sh", "-c", "exit 3"])
    assert process.wait(20) == 3
    assert [process.stop(), process.stop()] == [3, 3]


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (["/bin/sh", "-c", "echo no licence >&2; exit 4"], "program ended with status 4; the end of .*:\n  no licence"),
        (["/bin/sh", "-c", "exec sleep 600"], "program is not ready after 0 s; the end of .*:\n  \\(nothing\\)"),
        (["/no/such/program"], "program ended with status 1; .*\n  /no/such/program cannot be started: No such file"),
    ],
    ids=["ends", "takes too long", "cannot be started"],
)
def test_a_program_that_does_not_become_ready_is_reported_with_the_end_of_its_log(
    tmp_path: Path, command: list[str], complaint: str
) -> None:
    timeout = 0.3 if "sleep" in command[-1] else 20
    with start(tmp_path / "log", command) as process, pytest.raises(ProcessFailed, match=complaint):
        process.wait_until(lambda: None, timeout=timeout)
