"""Runs a program that ends with the process that started it, even after kill -9.

Started as a plain script, `python -I -S launcher.py GRACE PROGRAM ARGUMENT…`, with a pipe on standard input whose other
end only the starter holds. The script forks a watcher and becomes the program by exec, so that the starter's child *is*
the program, with its own process id and exit status. The kernel closes the pipe when the starter ends, however it ends;
the watcher reads that as the end of file, asks the program to stop and, after GRACE seconds, kills it.

PR_SET_PDEATHSIG on the program itself would not do: it is tied to the *thread* that started it, so that a program
started from a pool of threads would die with the pool. The watcher may use it: its parent, the program's main thread,
lives exactly as long as the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05


def main() -> None:
    """Fork the watcher, then become the program."""
    grace, *command = sys.argv[1:]
    lifeline = os.dup(sys.stdin.fileno())
    program = os.getpid()
    if os.fork() == 0:
        _watch(lifeline, program, float(grace))
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.close(lifeline)
    try:
        os.execvp(command[0], command)  # noqa: S606 - replaces this process, without a shell
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")


def _watch(lifeline: int, program: int, grace: float) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for inherited in (0, 1, 2):
        os.close(inherited)
    while os.read(lifeline, 1):
        pass
    deadline = time.monotonic() + grace
    _send(program, signal.SIGTERM)
    while os.getppid() == program and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _send(program, signal.SIGKILL)


def _send(program: int, number: signal.Signals) -> None:
    if os.getppid() == program:  # otherwise it has ended, and its process id may have been reused
        os.kill(program, number)


if __name__ == "__main__":
    main()
