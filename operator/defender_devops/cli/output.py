"""Output of commands: text for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from defender_devops.cluster.kubernetes_yaml import dump_yaml
from defender_devops.text import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["FindingsFormat", "Format", "Line", "console", "print_document", "print_lines", "print_note", "print_text"]


class Format(StrEnum):
    """Output formats."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class FindingsFormat(StrEnum):
    """Output formats of findings, which spreadsheets read, too."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text for people.

    Attributes:
        text: the unwrapped text.
        indent: columns; a terminal indents wrapped text likewise.
        style: color and weight in the terms of rich.
    """

    text: str
    indent: int = 0
    style: str = ""


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines: wrapped and colored on a terminal, unwrapped elsewhere, so that grep finds whole sentences."""
    from rich.padding import Padding  # noqa: PLC0415 - as in console
    from rich.text import Text  # noqa: PLC0415 - as in console

    screen = console()
    for line in lines:
        if screen.is_terminal:
            text = Text(printable(line.text), line.style)
            screen.print(Padding(text, (0, 0, 0, line.indent), expand=False))
        else:
            print_text(" " * line.indent + line.text)


def print_text(text: str) -> None:
    """Print one line, with control characters and the like escaped: it may contain values from outside."""
    sys.stdout.write(f"{printable(text)}\n")


def console() -> Console:
    """Return standard output for people. Brackets in values are no markup, and numbers are not highlighted."""
    from rich.console import Console  # noqa: PLC0415 - importing rich would slow down --help and completion

    return Console(markup=False, highlight=False, emoji=False)


def print_document(document: Any, output_format: Format) -> None:  # noqa: ANN401 - JSON
    """Print a document for a program."""
    if output_format is Format.YAML:
        sys.stdout.write(dump_yaml(document))
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False)
        # Only strings can contain other characters, and JSON has an escape for each.
        text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
        sys.stdout.write(f"{text}\n")


def print_note(message: str) -> None:
    """Print a remark on standard error, so that standard output holds nothing but the result."""
    sys.stderr.write(f"{printable(' '.join(message.split()))}\n")
