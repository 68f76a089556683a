"""Tells the story once, and says how to go on from there."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from sandbox.cloud.control.client import ControlError
from sandbox.cluster.binaries import BinaryError
from sandbox.cluster.client import ApiError
from sandbox.demo.browser import PageError
from sandbox.demo.screen import Screen
from sandbox.demo.stage import Stage
from sandbox.demo.story import StoryFailed, tell
from sandbox.lasting import locked
from sandbox.process import ProcessFailed

_FOLDER = Path(".sandbox/demo").absolute()
_INTERRUPTED = 130
_FAILURES = (
    StoryFailed,
    PageError,
    ControlError,
    ApiError,
    ProcessFailed,
    BinaryError,
    TimeoutError,
    subprocess.CalledProcessError,
)


def main() -> int:
    """Exit status: 0 if every step came true, 1 if one did not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up at the end, until Ctrl-C")
    keep = parser.parse_args().keep
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    try:
        with locked(_FOLDER):
            _clear()
            _run(console, keep=keep)
            _clear()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _FAILURES as error:
        words = getattr(error, "stderr", None) or error
        console.print(
            f"{words}\nThe demo has failed; its logs are in {_FOLDER}", style="red", markup=False, soft_wrap=True
        )
        return 1
    return 0


def _clear() -> None:
    """Remove what an earlier run has left; a failed one leaves its logs."""
    for name in ("cluster", "cloud", "pod"):
        shutil.rmtree(_FOLDER / name, ignore_errors=True)
    (_FOLDER / "operator.log").unlink(missing_ok=True)


def _run(console: Console, *, keep: bool) -> None:
    with Stage(_FOLDER) as stage:
        with Screen(console) as screen:
            tell(stage, screen)
        screen.summary()
        if keep:
            console.print(_usage(stage), markup=False, highlight=False, soft_wrap=True)
            signal.pause()


def _usage(stage: Stage) -> str:
    return f"""
It stays up until Ctrl-C. Meanwhile, in another terminal:
  export KUBECONFIG={stage.cluster.kubeconfig}
  kubectl get defender -A                    ({sys.executable} -m sandbox kubectl … where there is no kubectl)
  kubectl describe adoc -n security
  tail -f {stage.operator.process.log}
  open {stage.cloud.endpoints.get("portal", "")}"""


if __name__ == "__main__":
    sys.exit(main())
