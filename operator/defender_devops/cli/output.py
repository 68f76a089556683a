"""What commands print: text for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Format", "Line", "console", "emit", "note", "print_lines", "to_yaml"]


class Format(StrEnum):
    """Forms of output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text for people.

    Attributes:
        text: in one piece; a terminal wraps it below itself.
        indent: columns.
        style: colour and weight, as rich names them.
    """

    text: str
    indent: int = 0
    style: str = ""


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines: wrapped and coloured on a terminal, each in one piece elsewhere, for grep."""
    from rich.padding import Padding  # noqa: PLC0415 - as below
    from rich.text import Text  # noqa: PLC0415 - as below

    screen = console()
    for line in lines:
        if screen.is_terminal:
            screen.print(Padding(Text(line.text, line.style), (0, 0, 0, line.indent), expand=False))
        else:
            sys.stdout.write(" " * line.indent + line.text + "\n")


def console() -> Console:
    """Standard output, for people. Nothing is taken for markup or coloured by guessing."""
    from rich.console import Console  # noqa: PLC0415 - --help and completion need not wait for it

    return Console(markup=False, highlight=False, emoji=False)


def emit(document: Any, form: Format) -> None:  # noqa: ANN401 - JSON
    """Print a document for a program."""
    if form is Format.YAML:
        sys.stdout.write(to_yaml(document))
    else:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def to_yaml(document: Any) -> str:  # noqa: ANN401 - JSON
    """A document as people write it in git: fields in their order, long lines left alone."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=4096)
    return text


def note(message: str) -> None:
    """A line beside the result, on standard error, where no program takes it for the result."""
    sys.stderr.write(" ".join(message.split()) + "\n")
