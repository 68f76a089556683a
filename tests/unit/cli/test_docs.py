"""docs/cli.md names every command, every option and every exit status."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from defender_devops.cli.commands import app
from defender_devops.cli.exit_codes import ExitCode

PAGE = (Path(__file__).parents[3] / "docs/cli.md").read_text()
GROUP = typer.main.get_command(app)


def test_every_command_is_explained() -> None:
    headings = " ".join(re.findall(r"^### (.+)$", PAGE, re.MULTILINE)).replace(",", "").split()
    assert sorted(headings) == sorted(GROUP.commands)  # type: ignore[attr-defined]


def test_every_option_is_named() -> None:
    commands = [GROUP, *GROUP.commands.values()]  # type: ignore[attr-defined]
    options = {name for command in commands for option in command.params for name in option.opts if name[:1] == "-"}
    assert {option for option in options if f"`{option}" not in PAGE and f" {option}" not in PAGE} == set()


def test_every_exit_status_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+) \| ", PAGE, re.MULTILINE)
    assert [int(row) for row in rows] == sorted(ExitCode)
