"""Plain lines without a terminal, a table on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from sandbox.demo.resource_rows import ConnectorRow, OrganizationRow
from sandbox.demo.screen import Screen

CONTOSO = ConnectorRow("security/contoso", "no", "?", "", "", "", "", "", "Provisioning")
READY = replace(CONTOSO, ready="yes", authorized="yes", reason="Ready")
FABRIKAM = OrganizationRow("security/contoso-fabrikam", "fabrikam", "Onboarded", "2", "16", "Onboarded")


def screen(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    output = io.StringIO()
    return Screen(Console(file=output, force_terminal=terminal, width=160)), output


def test_a_dumb_terminal_gets_lines_as_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    view, output = screen(terminal=True)
    with view, view.step("Wait"):
        view.show([CONTOSO], [FABRIKAM])
        view.show([READY], [FABRIKAM])
    lines = output.getvalue()
    assert CONTOSO.line() in lines
    assert READY.line() in lines


def test_without_a_terminal_a_line_comes_only_with_a_change() -> None:
    view, output = screen(terminal=False)
    with view:
        for row in (CONTOSO, CONTOSO, READY, READY):
            view.show([row], [FABRIKAM])
        view.show([], [])
    assert output.getvalue().splitlines() == [f"  {CONTOSO.line()}", f"  {READY.line()}", "  security/contoso: deleted"]
    assert "\x1b" not in output.getvalue()


def test_a_long_line_is_not_broken_so_that_it_can_be_searched_for() -> None:
    view, output = screen(terminal=False)
    view.say("x" * 500)
    assert output.getvalue().splitlines() == ["  " + "x" * 500]


def test_on_a_terminal_both_tables_are_displayed() -> None:
    view, output = screen(terminal=True)
    with view:
        view.show([READY], [FABRIKAM])
    for text in ("REPOSITORIES", "security/contoso", "fabrikam", "Onboarded"):
        assert text in output.getvalue()


def test_the_summary_lists_every_successful_step_with_its_duration() -> None:
    view, output = screen(terminal=False)
    with view.step("Start [everything]"):
        pass
    with pytest.raises(ValueError, match="no"), view.step("Fail"):
        raise ValueError("no")
    output.truncate(0)
    view.summary()
    assert "Start [everything]" in output.getvalue()
    assert "Fail" not in output.getvalue()
