"""Output of commands: text for people, JSON and YAML for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from defender_devops.cluster.kubernetes_yaml import dump_yaml
from defender_devops.text import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Format",
    "Line",
    "ListFormat",
    "console",
    "csv_cell",
    "csv_text",
    "print_document",
    "print_lines",
    "print_note",
    "print_text",
]

_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Spreadsheets evaluate a cell that begins so, some also the full-width forms (https://owasp.org/www-community/attacks/CSV_Injection)."""


class Format(StrEnum):
    """Output formats."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ListFormat(StrEnum):
    """Output formats of lists, which spreadsheets read, too."""

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


def csv_text(names: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return rows as CSV with a header; the columns are those named, in that order."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([csv_cell(row[name]) for name in names] for row in rows)
    return output.getvalue()


def csv_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, with control characters escaped."""
    cell = printable(text)
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA_SIGNS) else cell


def print_note(message: str) -> None:
    """Print a remark on standard error, so that standard output holds nothing but the result."""
    sys.stderr.write(f"{printable(' '.join(message.split()))}\n")
