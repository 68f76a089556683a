"""The program `defender-devops`, also `kubectl defender-devops`: exit status, and one line for whatever goes wrong."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
import traceback
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from defender_devops.cli.exit_codes import CommandFailed, ExitCode, failure_of
from defender_devops.errors import OperatorError

__all__ = ["complete_for_kubectl", "main", "run"]

_PLUGIN: Final = "kubectl-defender_devops"
"""A kubectl plugin's file name: what is a hyphen in the command is an underscore in the file."""

_EXTRA: Final = ("rich", "typer")


def main() -> None:
    """Run the command that was typed."""
    program = "kubectl defender-devops" if Path(sys.argv[0]).name.startswith(_PLUGIN) else "defender-devops"
    sys.exit(_quietly_closed(run(sys.argv[1:] or ["--help"], program)))


def complete_for_kubectl() -> None:
    """Complete `kubectl defender-devops …`: kubectl runs `kubectl_complete-defender_devops` with the words."""
    if _missing():
        sys.exit(ExitCode.USAGE)
    from defender_devops.cli.completion import complete_for_kubectl  # noqa: PLC0415 - needs the extra

    sys.exit(complete_for_kubectl(sys.argv[1:]))


def run(arguments: list[str], program: str = "defender-devops") -> int:
    """Run one command and say in one line what went wrong; gives the exit status."""
    if missing := _missing():
        needed = " and ".join(missing)
        return _fail(f"The command line needs {needed}: pip install 'defender-devops-operator[cli]'.", ExitCode.USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no arrows shows question marks
    try:
        return _run(arguments, program)
    except (KeyboardInterrupt, EOFError):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the program: nobody shall meet a traceback
        return _report(error, debug="--debug" in takewhile(_is_option, arguments))


def _is_option(argument: str) -> bool:
    return argument.startswith("-")


def _missing() -> list[str]:
    return [name for name in _EXTRA if importlib.util.find_spec(name) is None]


def _run(arguments: list[str], program: str) -> int:
    import typer  # noqa: PLC0415 - of the extra

    from defender_devops.cli.commands import app  # noqa: PLC0415 - needs the extra

    status: Any = typer.main.get_command(app).main(args=arguments, prog_name=program, standalone_mode=False)
    return status if isinstance(status, int) else ExitCode.OK


def _report(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    failure = _failure(error)
    if failure is not None:
        return _fail(failure.message, failure.exit_code)
    return _fail(
        f"This should not have happened ({type(error).__name__}: {error}). Run it again with --debug and report what "
        "it prints.",
        ExitCode.BUG,
    )


def _failure(error: Exception) -> CommandFailed | None:
    """The error in words, or None for one that nobody thought of."""
    if isinstance(error, ExceptionGroup):
        return _failure(error.exceptions[0])
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, OperatorError):
        return failure_of(error)
    words = getattr(error, "format_message", None)  # every error of typer's has it
    if words is None:
        return None
    context = getattr(error, "ctx", None)
    where = f" See {context.command_path} --help." if context is not None else ""
    said = words().replace("Value error, ", "").rstrip(".")
    return CommandFailed(f"{said}{'' if said.endswith('?') else '.'}{where}")


def _fail(message: str, exit_code: ExitCode) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return exit_code


def _quietly_closed(exit_code: int) -> int:
    """Flush what was printed; whoever reads it may have gone, as `| head` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code
