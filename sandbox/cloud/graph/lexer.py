"""Tokens of a query."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.cloud.graph.errors import syntax

__all__ = ["Token", "tokenize"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        kind: `name`, `string`, `number`, `datetime`, `timespan`, `symbol` or `end`.
        text: source text; for a string its value.
        line: from 1; `position` in the line from 0.
    """

    kind: str
    text: str
    line: int
    position: int


_PATTERN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>@?'(?:[^'\\]|\\.)*'|@?"(?:[^"\\]|\\.)*")
  | (?P<datetime>datetime\(\s*\d[^)\n]*\))
  | (?P<timespan>\d+(?:\.\d+)?(?:ms|[dhms])\b)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>!?in~|[!$]?[A-Za-z_][A-Za-z0-9_]*(?:-(?:away|keep|rename|reorder|expand|series))?)
  | (?P<symbol>=~|!~|==|!=|<=|>=|<>|\.\.|[|()\[\]{},.;:=<>+*/%-])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


def tokenize(text: str) -> list[Token]:
    """Split a query into tokens; the last is of kind `end`.

    Raises:
        QueryError: unexpected character.
    """
    tokens: list[Token] = []
    offset, line, line_start = 0, 1, 0
    while offset < len(text):
        match = _PATTERN.match(text, offset)
        if match is None:
            raise syntax(line, offset - line_start, text[offset])
        kind, value = match.lastgroup or "", match.group()
        if kind == "string":
            if value.startswith("@"):  # verbatim: no escapes
                content = value[2:-1]
            else:
                content = _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), value[1:-1])
            tokens.append(Token(kind, content, line, offset - line_start))
        elif kind != "space":
            tokens.append(Token(kind, value, line, offset - line_start))
        if "\n" in value:
            line += value.count("\n")
            line_start = offset + value.rindex("\n") + 1
        offset = match.end()
    tokens.append(Token("end", "<EOF>", line, offset - line_start))
    return tokens
