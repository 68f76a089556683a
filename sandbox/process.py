"""Child processes of the sandbox: each has a log and ends with the process that started it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import httpx

from sandbox.loopback import loopback_client

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
        name: name in messages.
        command: the program and its arguments.
        log: file for standard error, and for standard output unless `output` is set.
        output: file for standard output.
        env: complete environment; None inherits ours.
        cwd: working directory; None inherits ours.
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
                start_new_session=True,  # Ctrl-C goes to this process, which stops the child in order
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
        """Call `ready` repeatedly until it returns a value.

        Raises:
            ProcessFailed: the program ended, or `timeout` seconds passed.
        """
        deadline = time.monotonic() + timeout
        while (value := ready()) is None:
            # A program that has ended will never become ready.
            if self.exit_status is not None:
                raise ProcessFailed(self._report(f"ended with status {self.exit_status}"))
            if time.monotonic() > deadline:
                raise ProcessFailed(self._report(f"is not ready after {timeout:.0f} s"))
            time.sleep(_POLL_SECONDS)
        return value

    def wait_until_responding(self, url: str, *, timeout: float) -> None:
        """Request a URL of the program repeatedly until it succeeds.

        Raises:
            ProcessFailed: the program ended, or `timeout` seconds passed.
        """
        with loopback_client() as http:
            self.wait_until(lambda: _answers(http, url), timeout=timeout)

    def check(self) -> None:
        """Raise ProcessFailed if the program has ended."""
        if self.exit_status is not None:
            raise ProcessFailed(self._report(f"ended with status {self.exit_status}"))

    def wait(self, seconds: float) -> int | None:
        """Wait up to `seconds` for its end; return the exit status, or None if it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """Send SIGTERM, without waiting."""
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill it (SIGKILL) and wait for its end."""
        self._process.kill()
        self._close()

    def stop(self) -> int:
        """Send SIGTERM, kill it after its grace period, and return its exit status. May be called repeatedly."""
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
    """Stop several in parallel."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.stop()


def _answers(http: httpx.Client, url: str) -> bool | None:
    try:
        return http.get(url).is_success or None
    except httpx.TransportError:
        return None
