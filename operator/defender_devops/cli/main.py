"""The program `defender-devops`, also `kubectl defender-devops`: exit status, and one line for each error."""

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

from defender_devops.cli.exit_codes import CommandFailed, ExitCode, command_failure
from defender_devops.errors import OperatorError
from defender_devops.text import printable

__all__ = ["complete_for_kubectl", "main", "run_command_line"]

_PLUGIN: Final = "kubectl-defender_devops"
"""File name of the kubectl plugin: an underscore stands for a hyphen in the command."""

_EXTRA: Final = ("rich", "typer")


def main() -> None:
    """Run the command in sys.argv and exit."""
    program = "kubectl defender-devops" if Path(sys.argv[0]).name.startswith(_PLUGIN) else "defender-devops"
    exit_code = run_command_line(sys.argv[1:] or ["--help"], program)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe, as `| head` does. Python flushes once more at exit, which must not fail.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(exit_code)


def complete_for_kubectl() -> None:
    """Complete `kubectl defender-devops …`: kubectl runs `kubectl_complete-defender_devops` with the words."""
    if _missing_libraries():
        sys.exit(ExitCode.USAGE)
    from defender_devops.cli import kubectl_completion  # noqa: PLC0415 - needs the extra

    sys.exit(kubectl_completion.complete_for_kubectl(sys.argv[1:]))


def run_command_line(arguments: list[str], program: str = "defender-devops") -> int:
    """Run one command, report an error in one line, and return the exit status."""
    if missing := _missing_libraries():
        libraries = " and ".join(missing)
        return _report(
            CommandFailed(f"The command line needs {libraries}: pip install 'defender-devops-operator[cli]'.")
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows question marks
    try:
        import typer  # noqa: PLC0415 - needs the extra

        from defender_devops.cli.commands import app  # noqa: PLC0415 - needs the extra

        status: Any = typer.main.get_command(app).main(args=arguments, prog_name=program, standalone_mode=False)
    except (KeyboardInterrupt, EOFError):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost handler: users get a message instead of a traceback
        if "--debug" in takewhile(lambda argument: argument.startswith("-"), arguments):
            sys.stderr.write(printable("".join(traceback.format_exception(error)), keep_newlines=True))
        return _report(_as_failure(error))
    return status if isinstance(status, int) else ExitCode.OK


def _missing_libraries() -> list[str]:
    return [name for name in _EXTRA if importlib.util.find_spec(name) is None]


def _as_failure(error: Exception) -> CommandFailed:
    """Return any error with a message for users."""
    if isinstance(error, ExceptionGroup):
        return _as_failure(error.exceptions[0])
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, OperatorError):
        return command_failure(error)
    format_message = getattr(error, "format_message", None)  # usage errors of typer
    if format_message is None:
        return CommandFailed(
            f"Unexpected error ({type(error).__name__}: {error}). This is a bug: run the command again with --debug "
            "and report the output.",
            ExitCode.BUG,
        )
    context = getattr(error, "ctx", None)
    help_hint = f" See {context.command_path} --help." if context is not None else ""
    message = format_message().replace("Value error, ", "").rstrip(".")
    return CommandFailed(f"{message}{'' if message.endswith('?') else '.'}{help_hint}")


def _report(failure: CommandFailed) -> int:
    sys.stderr.write(f"error: {printable(' '.join(failure.message.split()))}\n")
    return failure.exit_code
