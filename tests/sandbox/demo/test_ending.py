"""The end of the demo: exit status, error messages, cleanup."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from http import HTTPStatus
from itertools import takewhile
from pathlib import Path

import psutil
import pytest

from sandbox.demo import __main__ as demo
from sandbox.demo.story import StoryFailed
from tests.support.chart.audit_log import requests, write_policy

pytestmark = pytest.mark.early

ROOT = Path(demo.__file__).parents[2]
OPERATOR = "system:serviceaccount:defender-devops:defender-devops-operator"


def test_the_demo_succeeds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder, log = tmp_path / "demo", tmp_path / "audit.log"
    policy = write_policy(tmp_path / "policy.yaml", OPERATOR)
    command = [
        sys.executable,
        "-m",
        "sandbox.demo",
        "--keep",
        "--folder",
        str(folder),
        "--audit",
        str(policy),
        str(log),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        lines = list(takewhile(lambda line: not line.startswith("  open https://"), running.stdout))
        output = "".join(lines)
        assert "Everything keeps running until Ctrl-C" in output, output
        usage = output.partition("In another terminal:\n")[2].splitlines()
        commands = "\n".join(line.strip() for line in usage if "set -a" in line or " findings " in line)
        listed = subprocess.run(["sh", "-c", commands], capture_output=True, text=True, check=False, timeout=60)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert_story(output)
    assert (listed.returncode, " critical " in listed.stdout) == (0, True), listed
    assert [path.name for path in folder.iterdir()] == ["lock"]
    audited = requests(log)
    assert {str(request) for request in audited if request.status == HTTPStatus.FORBIDDEN} == set()
    assert len(audited) > 100, "the operator works as the chart's service account"
    processes = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [command for command in processes if str(folder) in command] == []


def assert_story(output: str) -> None:
    """The steps were reached in their order."""
    positions = [
        output.index(text)
        for text in (
            "findings -A --severity critical",
            "REPOSITORY",
            " critical ",
            "fabrikam: 3 ran, 1 undecided, 12 missing",
            "ReauthRequired: ",
            "deleted in Azure: /subscriptions/",
            " total",
            "Everything keeps running",
        )
    ]
    assert positions == sorted(positions)


def fail(error: BaseException) -> Callable[..., None]:
    def run_story(*_: object) -> None:
        raise error

    return run_story


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (StoryFailed("contoso is not Ready"), (1, "contoso is not Ready\nThe demo failed; its logs are in")),
        (subprocess.CalledProcessError(1, "helm", stderr="bad values"), (1, "bad values\nThe demo failed")),
        (KeyboardInterrupt(), (130, "")),
    ],
    ids=["a step does not come true", "helm refuses", "Ctrl-C"],
)
def test_a_failure_is_reported_and_sets_the_exit_status(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    ending: tuple[int, str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--folder", str(tmp_path)])
    monkeypatch.setattr(demo, "run_story", fail(error))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    status, expected = ending
    assert demo.main() == status
    assert expected in capsys.readouterr().out
