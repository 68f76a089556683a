"""`python -m sandbox`: arguments of kubectl and helm, and file errors as one line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from sandbox import __main__ as command_line
from sandbox import background
from sandbox.demo import __main__ as demo

CALLS = [
    (["kubectl", "-n", "security", "get", "adoc"], ["-n", "security", "get", "adoc"]),
    (["kubectl", "get", "adoc", "-n", "security"], ["get", "adoc", "-n", "security"]),
    (["--folder", "elsewhere", "kubectl", "--help"], ["--help"]),
    (["--folder=elsewhere", "helm", "--namespace", "x", "list"], ["--namespace", "x", "list"]),
    (["--folder", "kubectl", "kubectl", "--", "-v"], ["--", "-v"]),
    (["kubectl"], []),
]


@pytest.mark.parametrize(("arguments", "expected"), CALLS)
def test_arguments_of_a_tool_are_passed_on_unchanged(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(command_line, "binary", lambda name: Path("/programs") / name)
    monkeypatch.setattr(os, "execv", lambda _program, command: calls.append(command))
    monkeypatch.setattr(sys, "argv", ["sandbox", *arguments])
    monkeypatch.setenv("KUBECONFIG", "none")
    command_line.main()
    tool = "helm" if "helm" in arguments else "kubectl"
    assert calls == [[f"/programs/{tool}", *expected]]


@pytest.mark.parametrize("arguments", [["-n", "x", "kubectl"], ["upp"], ["up", "-n"]])
def test_wrong_arguments_of_the_sandbox_itself_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sandbox", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    assert "usage: python -m sandbox" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("command", ["up", "run", "down"])
def test_a_file_error_is_one_line_with_its_path(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    number: int,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "file"))

    monkeypatch.setattr(command_line, command, fail)
    monkeypatch.setattr(sys, "argv", ["sandbox", "--folder", str(tmp_path), command])
    assert command_line.main() == 1
    output = capsys.readouterr()
    assert output.err == f"the sandbox cannot use its files: {os.strerror(number)}: {tmp_path / 'file'}\n"


@pytest.mark.parametrize("command", ["up", "run", "down"])
def test_a_folder_that_cannot_be_used_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["sandbox", "--folder", str(file / "folder"), command])
    assert command_line.main() == 1
    assert capsys.readouterr().err.startswith("the sandbox cannot use its files: Not a directory: ")


def test_the_demo_reports_a_file_error_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["demo", "--folder", str(file / "folder")])
    assert demo.main() == 1
    output = capsys.readouterr().out
    assert output.startswith("The demo cannot use its files: Not a directory: ")
    assert "Traceback" not in output


def test_the_background_process_reports_a_full_disk_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "cluster"))

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(background.Cluster, "start", full)
    monkeypatch.setattr(sys, "argv", ["sandbox", "--folder", str(tmp_path), "run"])
    assert command_line.main() == 1
    assert (
        capsys.readouterr().err
        == f"the sandbox cannot use its files: No space left on device: {tmp_path / 'cluster'}\n"
    )
