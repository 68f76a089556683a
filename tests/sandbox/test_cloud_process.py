"""`python -m sandbox.cloud` as a process: its JSON output, options, shutdown."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.cloud.__main__ import main
from sandbox.cloud.devops.service import HOSTS
from tests.sandbox.cloud.direct import APP_ID

SECONDS = 30.0
FORM = {
    "grant_type": "client_credentials",
    "client_id": APP_ID,
    "client_secret": "sandbox-secret",
    "scope": "https://management.azure.com/.default",
}


@contextmanager
def running(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start a cloud; return it with its output."""
    command = [sys.executable, "-m", "sandbox.cloud", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


def test_it_prints_its_urls_and_stops_on_sigterm_leaving_nothing_behind(tmp_path: Path) -> None:
    with running("--dir", tmp_path / "one") as (process, printed), running() as (_, second):
        assert set(printed) == {"arm", "authority", "azureDevOps", "portal", "control", "ca"}
        assert set(printed["azureDevOps"]) == set(HOSTS)
        assert printed["ca"] == str(tmp_path / "one" / "ca.pem")
        assert printed["control"].startswith("http://")
        addresses = [printed["arm"], printed["portal"], *printed["azureDevOps"].values()]
        assert all(address.startswith("https://") for address in addresses)
        assert not set(addresses) & {second["arm"], second["portal"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        folder = Path(second["ca"]).parent
    assert not folder.exists(), "its temporary folder goes with it"


def test_a_waiting_journal_request_does_not_delay_the_shutdown(tmp_path: Path) -> None:
    with running("--dir", tmp_path) as (process, printed), socket.socket() as waiting:
        host, _, port = printed["control"].removeprefix("http://").partition(":")
        waiting.connect((host, int(port)))
        waiting.sendall(f"GET /journal?method=PURGE&wait=60 HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        with httpx.Client(trust_env=False) as control:
            assert control.get(f"{printed['control']}/clock").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS / 2) == 0


def test_a_port_can_be_chosen(tmp_path: Path) -> None:
    with running("--dir", tmp_path) as (_, printed):
        port = printed["arm"].rpartition(":")[2]
    with running("--dir", tmp_path, "--port", f"arm={port}") as (_, printed):
        assert printed["arm"] == f"https://localhost:{port}"


def complaint(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error message of `main`."""
    monkeypatch.setattr(sys, "argv", ["sandbox.cloud", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    output = capsys.readouterr()
    return f"{caught.value.code}\n{output.err}\n{output.out}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--world", "/nowhere.yaml"], "nowhere.yaml"),
        (["--port", "moon=1"], "SERVICE=N"),
        (["--federation-issuer", "https://x.test", "--federation-jwks", "/nowhere.json"], "nowhere.json"),
        (["--federation-issuer", "https://x.test"], "jwks"),
        (["--speed", "fast"], "invalid float"),
    ],
)
def test_invalid_options_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert expected in complaint(arguments, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("text", "expected"), [("tenants: [", "while parsing"), ("moons: []", "moons"), ("tenants: 3", "tenants")]
)
def test_an_invalid_world_file_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "world.yaml"
    file.write_text(text)
    assert expected in complaint(["--world", str(file)], monkeypatch, capsys)


def test_help_lists_the_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = complaint(["--help"], monkeypatch, capsys)
    for option in ("--world", "--speed", "--port", "--dir", "--no-throttling", "--federation-issuer"):
        assert option in text
