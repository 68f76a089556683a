"""Functions called by compiled queries: the semantics of values.

A value of type `string` is always a Python string, because strings cannot be null; None is null for other types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["NAMES", "text_of"]


def text_of(value: Any) -> str:  # noqa: ANN401 - any value of a row
    """The value as a string, as `tostring` gives it: null is empty, JSON is compact."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def member(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a property, case-sensitive; null if it does not exist."""
    return value.get(name) if isinstance(value, Mapping) else None


def element(value: Any, key: Any) -> Any:  # noqa: ANN401 - JSON
    """Return an item by position (negative from the end) or a property by name."""
    if isinstance(value, list):
        return value[key] if isinstance(key, int) and -len(value) <= key < len(value) else None
    return value.get(str(key)) if isinstance(value, Mapping) else None


def equal(lhs: Any, rhs: Any) -> bool:  # noqa: ANN401 - any value of a row
    """`==`, case-sensitive."""
    if isinstance(lhs, str) or isinstance(rhs, str):
        return text_of(lhs) == text_of(rhs)
    return bool(lhs == rhs)


def ordered(lhs: Any, symbol: str, rhs: Any) -> bool:  # noqa: ANN401 - any value of a row
    """`<`, `>`, `<=`, `>=`; false for null and for values of different types."""
    if lhs is None or rhs is None or isinstance(lhs, str) != isinstance(rhs, str):
        return False
    compare: dict[str, Callable[[], bool]] = {
        "<": lambda: lhs < rhs,
        ">": lambda: lhs > rhs,
        "<=": lambda: lhs <= rhs,
        ">=": lambda: lhs >= rhs,
    }
    return bool(compare[symbol]())


def arithmetic(lhs: Any, symbol: str, rhs: Any) -> Any:  # noqa: ANN401 - numbers
    """Arithmetic; null if an operand is not a number. Integers divide to integers, division by zero gives null."""
    if not isinstance(lhs, int | float) or not isinstance(rhs, int | float):
        return None
    if symbol in "/%" and not rhs:
        return None
    if symbol == "/":
        return lhs // rhs if isinstance(lhs, int) and isinstance(rhs, int) else lhs / rhs
    operations: dict[str, Callable[[], Any]] = {
        "+": lambda: lhs + rhs,
        "-": lambda: lhs - rhs,
        "*": lambda: lhs * rhs,
        "%": lambda: lhs % rhs,
    }
    return operations[symbol]()


def has(text: str, term: str) -> bool:
    """Whether the text contains the term as a whole word."""
    start = text.find(term)
    while start >= 0:
        end = start + len(term)
        free_before = start == 0 or not text[start - 1].isalnum()
        if free_before and (end == len(text) or not text[end].isalnum()):
            return True
        start = text.find(term, start + 1)
    return False


def coalesce(*values: Any) -> Any:  # noqa: ANN401 - any value of a row
    """Return the first value that is neither null nor empty."""
    return next((value for value in values if value not in (None, "")), None)


def bag(*parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of a row
    """Return a property bag of alternating keys and values."""
    return {text_of(key): value for key, value in zip(parts[::2], parts[1::2], strict=True)}


def to_long(value: Any) -> int | None:  # noqa: ANN401 - any value of a row
    """A whole number, or null."""
    try:
        return int(float(text_of(value)))
    except ValueError:
        return None


def to_bool(value: Any) -> bool | None:  # noqa: ANN401 - any value of a row
    """A truth value, or null."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text_of(value).lower())


def parse_json(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The value behind a text that is JSON; any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def array_length(value: Any) -> int | None:  # noqa: ANN401 - any value of a row
    """Number of items of a list; null of anything else."""
    return len(value) if isinstance(value, list) else None


def substring(value: Any, start: int, length: int | None = None) -> str:  # noqa: ANN401 - any value of a row
    """A part of a text."""
    text = text_of(value)
    return text[start:] if length is None else text[start : start + length]


def rank(value: Any) -> tuple[int, Any]:  # noqa: ANN401 - any value of a row
    """Order among values of any kind: null first, then numbers, then texts."""
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, text_of(value))


NAMES: dict[str, Any] = {
    function.__name__: function
    for function in (
        text_of,
        member,
        element,
        equal,
        ordered,
        arithmetic,
        has,
        coalesce,
        bag,
        to_long,
        to_bool,
        parse_json,
        array_length,
        substring,
        rank,
    )
}
"""Names available to compiled code, apart from built-ins."""
