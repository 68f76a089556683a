"""The command line: the plan, the consent, and what goes wrong before the first request."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import yaml

from acceptance import command
from acceptance.command import main
from tests.support.tenant_in_memory import FILE


@pytest.fixture
def tenant_file(tmp_path: Path) -> Path:
    """A tenant file that uses azure-identity's default."""
    file = tmp_path / "tenant.yaml"
    file.write_text(yaml.safe_dump(FILE))
    return file


@pytest.fixture(autouse=True)
def no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that would send a request."""

    def forbid(*_: object) -> None:
        raise AssertionError("a request was about to be sent")

    monkeypatch.setattr(command, "IdentityTokens", forbid)


def test_the_plan_says_what_is_read_and_what_it_costs(tenant_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tenant_file), "--plan"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for words in ("connector", "reads", "Resource Graph queries", "throughput units", "Money: none", "Changes nothing"):
        assert words in output


def test_the_plan_of_a_run_with_write_names_the_connector_that_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tenant.yaml"
    file.write_text(yaml.safe_dump({**FILE, "expendableConnector": "trial"}))
    assert main([str(file), "--plan", "--write"]) == 0
    assert "Changes connector trial." in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("answer", ["no\n", "\n", "y\n"])
def test_without_consent_nothing_is_sent(
    tenant_file: Path, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stdin = io.StringIO(answer)
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main([str(tenant_file), "--output", str(tmp_path / "result")]) == 3
    assert "Nothing was requested." in capsys.readouterr().out


def test_where_nobody_can_be_asked_consent_has_to_be_given(
    tenant_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main([str(tenant_file), "--output", str(tmp_path / "result")]) == 3
    assert "--yes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "arguments", "complaint"),
    [
        ("tenant: [", [], "cannot be read"),
        ("[]", [], "the file"),
        ("{}", [], "subscription: Field required"),
        (yaml.safe_dump({**FILE, "planet": "mars"}), [], "planet"),
        (yaml.safe_dump(FILE), ["--write"], "needs expendableConnector"),
        (yaml.safe_dump({**FILE, "expendableConnector": "CONTOSO-MAIN"}), [], "must be another connector"),
        (yaml.safe_dump({**FILE, "lost": {"connector": "x", "since": "2026-11-30T08:00:00"}}), [], "time zone"),
        (yaml.safe_dump({**FILE, "identity": {"clientId": "x"}}), [], "give one of clientSecretVariable"),
        (yaml.safe_dump(FILE), ["--only", "planets"], "there is no such probe"),
    ],
)
def test_a_mistake_is_explained(
    document: str, arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tenant.yaml"
    file.write_text(document)
    assert main([str(file), "--yes", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_result_is_never_overwritten(tenant_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "result.md").write_text("of yesterday")
    assert main([str(tenant_file), "--yes", "--output", str(folder)]) == 2
    assert "is not empty" in capsys.readouterr().err
