"""Functions called by compiled queries: the semantics of values.

A value of type `string` is always a Python string, because strings cannot be null; None is null for other types.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

__all__ = ["NAMES", "plain", "text_of"]

_LONGEST_PATTERN = 256
"""Characters of a regular expression in a query."""

_COMPARISONS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def text_of(value: Any) -> str:  # noqa: ANN401 - any value of a row
    """The value as a string, as `tostring` gives it: null is empty, JSON is compact."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | timedelta):
        return str(value)
    if isinstance(value, datetime):
        return _iso(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _iso(value: datetime) -> str:
    """A time as Kusto prints it: seven digits of a second, none for a whole one."""
    return f"{value:%Y-%m-%dT%H:%M:%S}{f'.{value.microsecond:06d}0' if value.microsecond else ''}Z"


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    """A value that JSON has: a time or a timespan becomes a string."""
    return text_of(value) if isinstance(value, datetime | timedelta) else value


def member(value: Any, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a property, case-sensitive; null if it does not exist."""
    if type(value) is dict:  # the usual case, faster than the test for any mapping
        return value.get(name)
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
    kinds = ((int, float), str, datetime, timedelta)
    if not any(isinstance(lhs, kind) and isinstance(rhs, kind) for kind in kinds):
        return False
    return bool(_COMPARISONS[symbol](lhs, rhs))


def arithmetic(lhs: Any, symbol: str, rhs: Any) -> Any:  # noqa: ANN401 - numbers
    """Arithmetic; null if an operand is not a number. Integers divide to integers, division by zero gives null.

    Times and timespans can be added and subtracted.
    """
    if symbol in "+-" and isinstance(rhs, datetime | timedelta) and isinstance(lhs, datetime | timedelta):
        try:
            return lhs + rhs if symbol == "+" else lhs - rhs  # type: ignore[operator]
        except (TypeError, OverflowError):  # the sum of two times, a time beyond the year 9999
            return None
    if not isinstance(lhs, int | float) or not isinstance(rhs, int | float):
        return None
    if symbol in "/%" and not rhs:
        return None
    if symbol == "/":
        return lhs // rhs if isinstance(lhs, int) and isinstance(rhs, int) else lhs / rhs
    operations = {"+": operator.add, "-": operator.sub, "*": operator.mul, "%": operator.mod}
    return operations[symbol](lhs, rhs)


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
    """Return the first value that is neither null nor empty, or the last one: a string never becomes null."""
    return next((value for value in values if value not in (None, "")), values[-1])


def bag_keys(value: Any) -> list[str] | None:  # noqa: ANN401 - JSON
    """The names of the properties of a bag; null of anything else."""
    return list(value) if isinstance(value, Mapping) else None


def split(value: Any, separator: Any, position: Any = None) -> list[str]:  # noqa: ANN401 - any value of a row
    """The parts of a text; with a position a list of only that part, empty if there is none."""
    text, mark = text_of(value), text_of(separator)
    parts = text.split(mark) if mark else [text]
    return parts[position : position + 1] if isinstance(position, int) else parts


def extract(pattern: Any, group: Any, value: Any) -> str:  # noqa: ANN401 - any value of a row
    """A group of the first match of a regular expression; empty without a match or for an invalid expression."""
    try:
        match = _compiled(text_of(pattern)).search(text_of(value))
        return "" if match is None else match.group(int(group)) or ""
    except (re.error, IndexError, TypeError, ValueError):
        return ""


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError("the regular expression is too long")
    return re.compile(pattern)


@lru_cache(maxsize=4096)
def _parsed_time(text: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(text)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def to_datetime(value: Any) -> datetime | None:  # noqa: ANN401 - any value of a row
    """A time, or null; without a zone it is UTC."""
    return value if isinstance(value, datetime) else _parsed_time(text_of(value))


def to_timespan(literal: str) -> timedelta | None:
    """The value of a literal such as `1d` or `90m`; null beyond the longest timespan."""
    unit = literal.lstrip("0123456789.")
    try:
        return timedelta(seconds=float(literal.removesuffix(unit)) * _UNITS[unit])
    except OverflowError:
        return None


def moment(wall: float) -> datetime:
    """Seconds since the epoch as a time."""
    return datetime.fromtimestamp(wall, UTC)


def bag(*parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of a row
    """Return a property bag of alternating keys and values."""
    return {text_of(key): plain(value) for key, value in zip(parts[::2], parts[1::2], strict=True)}


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
    if isinstance(value, datetime | timedelta):
        return (1, value.timestamp() if isinstance(value, datetime) else value.total_seconds())
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
        bag_keys,
        extract,
        moment,
        plain,
        split,
        substring,
        to_datetime,
        to_timespan,
        rank,
        unquote,
    )
}
"""Names available to compiled code, apart from built-ins."""
