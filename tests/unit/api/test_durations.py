from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.schema.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("8h", 28800),
        ("90m", 5400),
        ("1h30m", 5400),
        ("0s", 0),
        ("1h1m1s", 3661),
        ("30m1h", 5400),
        ("9999h", 35996400),
    ],
)
def test_a_duration_is_parsed(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "8", "h", "1.5h", "-8h", "8 h", "8H", "1d", "PT8H", "100000h", "1h1h1h1h1h"])
def test_an_invalid_duration_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 8h, 90m or 1h30m"):
        parse_duration(text)


@given(st.integers(0, 99999 * 3600))
def test_a_formatted_duration_is_parsed_equal(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration
