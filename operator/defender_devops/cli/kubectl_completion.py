"""Completion of `kubectl defender-devops`, in the protocol of kubectl's plugins."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
from typing import Final

import typer

from defender_devops.cli.commands import app
from defender_devops.text import printable

__all__ = ["complete_for_kubectl"]

_COMPLETE_FILE_NAMES: Final = 0
_NO_FILE_NAMES: Final = 4
"""Directives of cobra, which kubectl reads from the last line: whether the shell completes file names instead."""


def complete_for_kubectl(arguments: list[str]) -> int:
    """Print one completion in each line, then cobra's directive.

    Args:
        arguments: the command line after the plugin's name; the last word is the incomplete one and may be empty.
    """
    line = ["defender-devops", *arguments]
    # typer completes for bash what these variables hold, as the script does that --install-completion sets up.
    os.environ["COMP_WORDS"] = shlex.join(line[:-1]) + " " + line[-1]
    os.environ["COMP_CWORD"] = str(len(line) - 1)
    os.environ["_DEFENDER_DEVOPS_COMPLETE"] = "complete_bash"
    output = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(output):
        typer.main.get_command(app).main(args=[], prog_name="defender-devops")
    completions = output.getvalue().split()
    sys.stdout.writelines(f"{printable(completion)}\n" for completion in completions)
    sys.stdout.write(f":{_NO_FILE_NAMES if completions else _COMPLETE_FILE_NAMES}\n")
    return 0
