"""The behaviours in the tables of docs/sandbox.md, with their marks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["Behaviour", "behaviours", "find_behaviour"]

_PAGE: Final = Path(__file__).parents[1] / "docs" / "sandbox.md"
_ROW: Final = re.compile(r"^\| (?P<text>.+) \| (?P<mark>[^|]*) \|$", re.MULTILINE)
_MARKED: Final = re.compile(r"\b[DOI]\b")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A row.

    Attributes:
        section: heading of its table.
        text: the behaviour, in Markdown.
        mark: D, O or I, with what else the column says.
    """

    section: str
    text: str
    mark: str


@cache
def behaviours() -> tuple[Behaviour, ...]:
    """Return all behaviours in the order of the page."""
    page = _PAGE.read_text(encoding="utf-8")
    sections = page.partition("\n## Entra ID")[2].partition("\n## What is not simulated")[0]
    rows = []
    for section in ("Entra ID" + sections).split("\n## "):
        title = section.partition("\n")[0]
        rows += [
            Behaviour(title, row["text"], row["mark"]) for row in _ROW.finditer(section) if _MARKED.search(row["mark"])
        ]
    return tuple(rows)


def find_behaviour(beginning: str) -> Behaviour:
    """Return the behaviour whose text begins so.

    Raises:
        LookupError: there is none, or more than one.
    """
    matches = [behaviour for behaviour in behaviours() if behaviour.text.startswith(beginning)]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} behaviours of docs/sandbox.md begin with {beginning!r}")
    return matches[0]
