"""Runs the demo once: the life of all examples on a real API server and a simulated cloud."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from sandbox.background import locked
from sandbox.cloud.control.client import ControlError
from sandbox.cluster.binaries import BinaryError
from sandbox.cluster.client import ApiError
from sandbox.demo.browser import PageError
from sandbox.demo.environment import Environment
from sandbox.demo.screen import Screen
from sandbox.demo.story import StoryFailed, run_story
from sandbox.demo.svg import recording_console, save
from sandbox.os_errors import describe_os_error
from sandbox.process import ProcessFailed

_FOLDER = Path(".sandbox/demo")
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
    """Return the exit status: 0 if all steps succeeded, 1 if one failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep everything running at the end, until Ctrl-C")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="folder for its files (default: .sandbox/demo)")
    parser.add_argument("--picture", type=Path, help="also write the output as an SVG (docs/images/demo.svg)")
    parser.add_argument(
        "--audit",
        type=Path,
        nargs=2,
        metavar=("POLICY", "LOG"),
        help="write an audit log of the API server with an audit.k8s.io/v1 Policy",
    )
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = recording_console() if options.picture else Console()
    try:
        with locked(folder):
            _clear(folder)
            _run(folder, console, keep=options.keep, audit=options.audit)
            _clear(folder)
        if options.picture:
            save(console, options.picture)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _FAILURES as error:
        message = getattr(error, "stderr", None) or error
        console.print(
            f"{message}\nThe demo failed; its logs are in {folder}", style="red", markup=False, soft_wrap=True
        )
        return 1
    except OSError as error:  # such as a read-only folder or a full disk
        message = f"The demo cannot use its files: {describe_os_error(error)}"
        console.print(message, style="red", markup=False, soft_wrap=True)
        return 1
    return 0


def _clear(folder: Path) -> None:
    """Remove the files of an earlier run; a failed run keeps its logs."""
    for name in ("cluster", "cloud", "chart", "pod"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("operator.log", "env"):
        (folder / name).unlink(missing_ok=True)


def _run(folder: Path, console: Console, *, keep: bool, audit: tuple[Path, Path] | None) -> None:
    with Environment(folder, audit_policy=audit[0] if audit else None) as environment:
        with Screen(console) as screen:
            run_story(environment, screen)
        screen.summary()
        if audit:
            shutil.copyfile(environment.cluster.audit_log, audit[1])
        if keep:
            console.print(_usage(environment), markup=False, highlight=False, soft_wrap=True)
            with suppress(KeyboardInterrupt):
                signal.pause()


def _usage(environment: Environment) -> str:
    return f"""
Everything keeps running until Ctrl-C. In another terminal:
  set -a; . {environment.write_user_variables()}
  {sys.executable} -m defender_devops.cli findings -A --severity critical
  kubectl get defender -A                    ({sys.executable} -m sandbox kubectl … without an installed kubectl)
  kubectl describe adoc -n security
  tail -f {environment.operator.process.log}
  open {environment.cloud.endpoints.get("portal", "")}"""


if __name__ == "__main__":
    sys.exit(main())
