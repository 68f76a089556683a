"""`python -m sandbox`: a cluster and a simulated cloud in the background, and the programs to use them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sandbox.background import down, run, up
from sandbox.cluster.binaries import Binaries, BinaryError, binary
from sandbox.os_errors import describe_os_error
from sandbox.process import ProcessFailed

_FOLDER = Path(".sandbox")
_TOOLS = ("kubectl", "helm")


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="folder for its files (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, description in (
        ("up", "start cluster and cloud in the background"),
        ("run", "the same in the foreground, until SIGTERM or Ctrl-C"),
    ):
        starting = commands.add_parser(name, help=description)
        starting.add_argument(
            "--speed", type=float, default=60, help="speed of the simulated clock (default: %(default)s)"
        )
    commands.add_parser("down", help="stop cluster and cloud")
    commands.add_parser("prepare", help="find, download or build all programs that the sandbox and the tests need")
    for name in _TOOLS:
        commands.add_parser(name, help=f"run {name} in the sandbox, whether installed or not", add_help=False)
    sandbox_arguments, arguments = _split_arguments(sys.argv[1:])
    options = parser.parse_args(sandbox_arguments)
    try:
        return _run(options, arguments)
    except (BinaryError, ProcessFailed, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # such as a read-only folder or a full disk
        print(f"the sandbox cannot use its files: {describe_os_error(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split off the arguments of kubectl or helm, which argparse would take for options of its own (`-n`, `--help`)."""
    for position, argument in enumerate(arguments):
        # The command is the first argument that is neither an option nor the value of --folder.
        if not argument.startswith("-") and arguments[:position][-1:] != ["--folder"]:
            if argument in _TOOLS:
                return arguments[: position + 1], arguments[position + 1 :]
            break
    return arguments, []


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    folder: Path = options.folder.absolute()
    match options.command:
        case "up":
            return up(folder, options.speed)
        case "run":
            return run(folder, options.speed)
        case "down":
            return down(folder)
        case "prepare":
            Binaries.find("helm", "kubectl")
            return 0
        case tool:
            return _exec(tool, arguments, folder)


def _exec(tool: str, arguments: list[str], folder: Path) -> int:
    program = binary(tool)
    os.environ.setdefault("KUBECONFIG", str(folder / "kubeconfig"))
    os.execv(program, [str(program), *arguments])  # noqa: S606 - hands over to it, without a shell


if __name__ == "__main__":
    sys.exit(main())
