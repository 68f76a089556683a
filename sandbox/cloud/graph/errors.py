"""Refusals of Resource Graph."""

from __future__ import annotations

from typing import Any

__all__ = ["QueryError", "disallowed", "semantic", "syntax"]


class QueryError(Exception):
    """A query that is refused with BadRequest.

    Args:
        details: what Resource Graph lists under `details`.
    """

    def __init__(self, *details: dict[str, Any]) -> None:
        super().__init__("; ".join(str(detail.get("message")) for detail in details))
        self.details = list(details)


_INVALID = {
    "code": "InvalidQuery",
    "message": "Query is invalid. Please refer to the documentation for the Azure Resource Graph service and fix the "
    "error before retrying.",
}


def syntax(line: int, position: int, token: str, expected: str | None = None) -> QueryError:
    """A text that is no query: where it stops being one."""
    detail = {
        "code": "ParserFailure",
        "message": "ParserFailure",
        "line": line,
        "characterPositionInLine": position,
        "token": token,
    }
    return QueryError(_INVALID, {**detail, "expectedToken": expected} if expected else detail)


def disallowed(token: str) -> QueryError:
    """An operator, function or table that is none, or that this cloud does not speak."""
    detail = {"code": "InvalidQueryLanguage", "message": "InvalidQueryLanguage", "line": -1}
    return QueryError(_INVALID, {**detail, "characterPositionInLine": -1, "token": token})


def semantic(message: str) -> QueryError:
    """A query that can be read but means nothing."""
    return QueryError(_INVALID, {"code": "SemanticError", "message": message})
