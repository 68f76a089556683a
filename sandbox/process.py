"""Programs that the sandbox starts: each with its log, each ended with its starter."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx

__all__ = ["ManagedProcess", "ProcessFailed", "stop_processes"]

T = TypeVar("T")

_LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_SECONDS = 0.05
_TAIL_LINES = 15


class ProcessFailed(RuntimeError):
    """A program ended or did not become ready; the message ends with the last lines of its log."""


class ManagedProcess:
    """One running program.

    Args:
        name: what messages call it.
        command: the program and its arguments.
        log: file that takes its standard error, and its standard output too unless `output` is given.
        output: file that takes its standard output.
        env: its whole environment; None hands on ours.
        cwd: its working directory; None is ours.
        grace: seconds between asking it to stop and killing it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        output: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = 5.0,
    ) -> None:
        self.name = name
        self.log = log
        self._grace = grace
        with log.open("ab") as errors, (output or log).open("ab") as lines:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _LAUNCHER, str(grace), *command],
                stdin=subprocess.PIPE,
                stdout=lines,
                stderr=errors,
                env=env,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C is for us: we stop it in order
            )

    @property
    def pid(self) -> int:
        """The program's own process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def wait_until(self, ready: Callable[[], T | None], *, timeout: float) -> T:
        """Ask `ready` again and again until it gives a value.

        Raises:
            ProcessFailed: the program ended before, or `timeout` seconds went by.
        """
        deadline = time.monotonic() + timeout
        while (value := ready()) is None:
            if self.exit_status is not None:
                raise ProcessFailed(self._report(f"ended with status {self.exit_status}"))
            if time.monotonic() > deadline:
                raise ProcessFailed(self._report(f"is not ready after {timeout:.0f} s"))
            time.sleep(_POLL_SECONDS)
        return value

    def wait_until_responding(self, url: str, *, timeout: float) -> None:
        """Ask an address of the program's again and again until it answers well.

        Raises:
            ProcessFailed: the program ended before, or `timeout` seconds went by.
        """
        with httpx.Client(trust_env=False) as http:
            self.wait_until(lambda: _answers(http, url), timeout=timeout)

    def check(self) -> None:
        """Raise ProcessFailed if the program has ended."""
        if self.exit_status is not None:
            raise ProcessFailed(self._report(f"ended with status {self.exit_status}"))

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, but not longer than that; its exit status, or None while it runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Ask it to stop, without waiting."""
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, as kill -9 does, and wait for the end."""
        self._process.kill()
        self._close()

    def stop(self) -> int:
        """Ask it to stop, kill it after its grace, and give its exit status. Stopping twice is no harm."""
        self.terminate()
        try:
            self._process.wait(self._grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._close()

    def _close(self) -> int:
        status = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return status

    def _report(self, problem: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return "\n  ".join([f"{self.name} {problem}; the end of {self.log}:", *(lines or ["(nothing)"])])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def stop_processes(processes: Sequence[ManagedProcess]) -> None:
    """Stop several at once: the wait is that of the slowest, not the sum."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.stop()


def _answers(http: httpx.Client, url: str) -> bool | None:
    try:
        return http.get(url).is_success or None
    except httpx.TransportError:
        return None
