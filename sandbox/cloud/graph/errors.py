"""Errors of Resource Graph."""

from __future__ import annotations

from typing import Any

__all__ = ["QueryError", "disallowed", "semantic", "syntax"]


class QueryError(Exception):
    """A query that is rejected with BadRequest.

    Args:
        details: the items of `details` in the response.
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
    """Return a syntax error with its position."""
    detail = {
        "code": "ParserFailure",
        "message": "ParserFailure",
        "line": line,
        "characterPositionInLine": position,
        "token": token,
    }
    return QueryError(_INVALID, {**detail, "expectedToken": expected} if expected else detail)


def disallowed(token: str) -> QueryError:
    """Return the error of an unknown or unsupported operator, function or table."""
    detail = {"code": "InvalidQueryLanguage", "message": "InvalidQueryLanguage", "line": -1}
    return QueryError(_INVALID, {**detail, "characterPositionInLine": -1, "token": token})


def semantic(message: str) -> QueryError:
    """Return the error of a query that parses but is not valid."""
    return QueryError(_INVALID, {"code": "SemanticError", "message": message})
