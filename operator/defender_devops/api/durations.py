"""Durations as Kubernetes users write them: `8h`, `1h30m`, `90s`.

The form is that of the Gateway API (GEP-2257) without milliseconds: one to four groups of a whole number and a unit.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN: Final = "([0-9]{1,5}(h|m|s)){1,4}"
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """Read a duration.

    Raises:
        ValueError: it is not one; the message shows how one looks, and repeats nothing.
    """
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise ValueError("must be a duration: write it as 8h, 90m or 1h30m")
    groups = re.findall(r"([0-9]+)([hms])", text)
    return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in groups))


def format_duration(duration: timedelta) -> str:
    """Write a duration in its shortest form, in whole seconds."""
    rest = int(duration.total_seconds())
    parts: list[str] = []
    for unit, seconds in _SECONDS.items():
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def _read(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 24}),
]
"""A timedelta in code, a string such as `8h` in manifests."""
