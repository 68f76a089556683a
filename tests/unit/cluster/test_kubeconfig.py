from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from defender_devops.cluster.kubeconfig import credentials as module
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.errors import KubernetesRefused, KubernetesUnavailable
from tests.support.fakes.kubernetes_api import write_kubeconfig


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    result = Clock()
    monkeypatch.setattr(module, "time", result)
    return result


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


def _token(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


async def _current(loader: CredentialsLoader, **options: object) -> str | None:
    return _token((await loader.credentials(**options)).token)


async def test_a_token_file_is_reloaded_after_a_minute(kubeconfig: Path, token_file: Path, clock: Clock) -> None:
    write_kubeconfig(kubeconfig, "https://example.test", tokenFile=str(token_file))
    loader = CredentialsLoader()
    assert await _current(loader) == "first"
    token_file.write_text("second")
    assert await _current(loader) == "first"
    clock.now += 61
    assert await _current(loader) == "second"


async def test_a_rejected_token_is_reloaded_unless_it_was_reloaded_already(kubeconfig: Path, token_file: Path) -> None:
    write_kubeconfig(kubeconfig, "https://example.test", tokenFile=str(token_file))
    loader = CredentialsLoader()
    first = (await loader.credentials()).token
    token_file.write_text("second")
    assert await _current(loader, refused=first) == "second"
    token_file.write_text("third")
    assert await _current(loader, refused=first) == "second"
    assert await _current(loader, refused=True) == "third"


def _command(folder: Path, expires: str | None, exit_code: int = 0) -> dict[str, object]:
    """An exec command that counts its runs in its token."""
    status = f'\\"expirationTimestamp\\":\\"{expires}\\",' if expires else ""
    script = folder / "login"
    script.write_text(
        f"#!/bin/sh\necho x >> {folder}/runs\n"
        f'echo "{{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",\\"kind\\":\\"ExecCredential\\",'
        f'\\"status\\":{{{status}\\"token\\":\\"run-$(wc -l < {folder}/runs | tr -d " ")\\"}}}}"\nexit {exit_code}\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "args": []}}


@pytest.mark.parametrize(
    ("expires", "seconds", "token"),
    [
        (None, 100_000.0, "run-1"),
        ("2999-01-01T00:00:00Z", 100_000.0, "run-1"),
        ("2001-01-01T00:00:00Z", 1.0, "run-1"),
        ("2001-01-01T00:00:00Z", 11.0, "run-2"),
    ],
    ids=["without expiry", "before its expiry", "an expired one is kept for a moment", "expired"],
)
async def test_an_exec_command_runs_again_only_when_its_credential_expires(
    kubeconfig: Path, clock: Clock, expires: str | None, seconds: float, token: str
) -> None:
    write_kubeconfig(kubeconfig, "https://example.test", **_command(kubeconfig.parent, expires))
    loader = CredentialsLoader()
    assert await _current(loader) == "run-1"
    clock.now += seconds
    assert await _current(loader) == token


async def test_an_exec_command_runs_again_when_the_server_rejects_its_token(kubeconfig: Path, tmp_path: Path) -> None:
    write_kubeconfig(kubeconfig, "https://example.test", **_command(tmp_path, None))
    loader = CredentialsLoader()
    refused = (await loader.credentials()).token
    assert await _current(loader, refused=refused) == "run-2"


async def test_a_failed_exec_command_is_an_error(kubeconfig: Path, tmp_path: Path) -> None:
    write_kubeconfig(kubeconfig, "https://example.test", **_command(tmp_path, None, exit_code=1))
    with pytest.raises(KubernetesUnavailable, match="exec command"):
        await CredentialsLoader().credentials()


async def test_a_pod_uses_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    (tmp_path / "token").write_text("of the pod\n")
    (tmp_path / "ca.crt").write_text("certificate")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(module, "_SERVICE_ACCOUNT", tmp_path)
    loader = CredentialsLoader()
    credentials = await loader.credentials()
    assert (credentials.server, _token(credentials.token), credentials.ca_file) == (
        "https://10.0.0.1:443",
        "of the pod",
        str(tmp_path / "ca.crt"),
    )
    (tmp_path / "token").write_text("renewed")
    clock.now += 61
    assert await _current(loader) == "renewed"


@pytest.mark.parametrize("content", [None, "", "[]", "just text", "{", "clusters: 7", "{contexts: [], users: []}"])
async def test_an_invalid_kubeconfig_is_refused_with_advice(kubeconfig: Path, content: str | None) -> None:
    if content is not None:
        kubeconfig.write_text(content)
    with pytest.raises(KubernetesRefused, match="Run in a pod, or set KUBECONFIG"):
        await CredentialsLoader().credentials()


def test_renewed_certificates_are_detected(tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("one")
    credentials = module.Credentials(server="https://example.test", ca_file=str(ca))
    previous = credentials.tls_identity()
    assert credentials.tls_identity() == previous
    os.utime(ca, ns=(1, 1))
    assert credentials.tls_identity() != previous
