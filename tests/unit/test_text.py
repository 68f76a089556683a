"""Text from outside is made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.conditions import Condition, update_condition
from defender_devops.errors import AzureUnavailable
from defender_devops.telemetry.redaction import redact_value
from defender_devops.text import printable
from tests.unit.api.test_conditions import NOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mdc@contoso.com", "mdc@contoso.com"),
        ("Müller 安全 🔒", "Müller 安全 🔒"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]8;;https://evil.example\x07link", r"\x1b]8;;https://evil.example\x07link"),
        ("mdc\u202emoc.osotnoc@", r"mdc\u202emoc.osotnoc@"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("two\nlines\tand\u2028one\xa0more", "two lines and one more"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("\x1c\x00\x7f", r"\x1c\x00\x7f"),
    ],
)
def test_invisible_and_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_lines_can_be_kept() -> None:
    assert printable("a\n\tb\x1b\r", keep_newlines=True) == "a\n\tb\\x1b "


@given(st.text())
def test_the_result_is_printable_on_one_line_and_stable(text: str) -> None:
    result = printable(text)
    assert result.isprintable()
    assert printable(result) == result
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in result)


EVIL = "mdc\x1b[2J\u202e@contoso.com"


def test_every_way_out_is_printable() -> None:
    """Errors of services, conditions and the log; pages and events have tests of their own."""
    assert AzureUnavailable(f"Azure says {EVIL}").message.isprintable()
    condition = Condition(type="Ready", status="False", reason="X", message=EVIL)
    (updated,) = update_condition((), "Ready", "False", reason="X", message=EVIL, generation=1, now=NOW)
    assert updated.message.isprintable()
    assert condition.dump()["message"].isprintable()
    assert str(redact_value({"account": EVIL})["account"]).isprintable()
