"""Durations as Kubernetes users write them: `8h`, `1h30m`, `90s`.

The format is that of the Gateway API (GEP-2257) without milliseconds: one to four groups of a whole number and a unit.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

PATTERN: Final = "([0-9]{1,5}(h|m|s)){1,4}"
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}


def parse_duration(text: str) -> timedelta:
    """Parse a duration.

    Raises:
        ValueError: the text is not a duration; the message shows the format and does not repeat the text.
    """
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise ValueError("must be a duration: write it as 8h, 90m or 1h30m")
    groups = re.findall(r"([0-9]+)([hms])", text)
    return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in groups))


def format_duration(duration: timedelta) -> str:
    """Return the shortest text of a duration, in whole seconds."""
    seconds_left = int(duration.total_seconds())
    parts: list[str] = []
    for unit, seconds in _SECONDS.items():
        number, seconds_left = divmod(seconds_left, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def _parse_text(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_parse_text),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "maxLength": 24}),
]
"""A timedelta in code, a string such as `8h` in manifests."""
