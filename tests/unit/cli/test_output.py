"""Values from outside are escaped in every form of output that a terminal may show."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any

import pytest

from defender_devops.cli.exit_codes import CommandFailed
from defender_devops.cli.import_.manifests import GeneratedManifests
from defender_devops.cli.import_.run import _file_content
from defender_devops.cli.output import Format, Line, print_document, print_lines, print_note, print_text
from tests.support.command_line import RunCommand

HOSTILE = "a\x1b[31m\u202eb\x9b1m\x07\u2066c"
UNSAFE = {"\x1b", "\u202e", "\x9b", "\x07", "\u2066"}


def test_text_lines_and_notes_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(HOSTILE)
    print_lines([Line(HOSTILE, 2, "red")])
    print_note(HOSTILE)
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 2
    assert not UNSAFE & set(captured.out + captured.err)


@pytest.mark.parametrize("form", [Format.JSON, Format.YAML])
def test_documents_are_escaped_and_keep_their_values(capsys: pytest.CaptureFixture[str], form: Format) -> None:
    print_document({"value": HOSTILE, "other": "é€😀"}, form)
    output = capsys.readouterr().out
    assert not UNSAFE & set(output)
    assert "é€" in output
    if form is Format.JSON:
        assert json.loads(output) == {"value": HOSTILE, "other": "é€😀"}


def test_the_comments_of_imported_manifests_are_escaped() -> None:
    content = _file_content(GeneratedManifests("contoso", ({"kind": HOSTILE},), (f"Note\n{HOSTILE}",)))
    assert not UNSAFE & set(content)
    assert content.splitlines()[0].startswith("# Note ")


def test_errors_and_tracebacks_are_escaped(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: Coroutine[Any, Any, int]) -> int:
        command.close()
        raise CommandFailed(f"There is no connector {HOSTILE}.")

    monkeypatch.setattr("defender_devops.cli.commands._run", fail)
    result = run("--debug", "status")
    assert "Traceback" in result.err
    assert not UNSAFE & set(result.err)
