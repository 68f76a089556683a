"""Text from outside, made safe to show: account names, organization names and messages of Azure, Entra ID and clusters.

A terminal obeys control characters (ESC moves the cursor and changes colours), and bidirectional controls reverse the
order in which text is displayed, so that it reads as something else (CVE-2021-42574, "Trojan Source").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["NAMES_SHOWN", "list_names", "printable"]

NAMES_SHOWN: Final = 3
"""A message names this many organizations and gives the number of the others."""


def printable(text: str, *, keep_newlines: bool = False) -> str:
    r"""Return the text with every character that is invisible or that a terminal obeys escaped, such as `\x1b`.

    Escaped are the Unicode categories Cc, Cf (bidirectional and zero-width characters), Cs, Co and Cn. Separators and
    white space become a plain space, so that the result is one line.

    Args:
        text: any text.
        keep_newlines: whether line feeds and tabs stay, for text that has several lines, such as a traceback.
    """
    if text.isprintable():  # nearly always, and fast
        return text
    return "".join(
        character if character.isprintable() or (keep_newlines and character in "\n\t") else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    # "\x1c" to "\x1f" are white space to Python, but control characters to everything else.
    if character.isspace() and not "\x1c" <= character <= "\x1f":
        return " "
    return character.encode("unicode_escape").decode()


def list_names(names: Iterable[str]) -> str:
    """Return the first names in alphabetical order, and the number of the others."""
    ordered = sorted(names, key=str.lower)
    hidden = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")
