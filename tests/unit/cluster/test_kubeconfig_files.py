"""Kubeconfigs are read as kubectl reads them: both send a request to the same server, and the headers are compared."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import web

from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.kubeconfig.credentials import Credentials, CredentialsLoader
from defender_devops.errors import KubernetesError, KubernetesRefused, KubernetesUnavailable
from tests.support.fakes.kubernetes_api import FakeKubernetesApi
from tests.support.kubectl import kubectl_path

Fields = Mapping[str, Any]
TLS = {"insecure-skip-tls-verify": True}
"""kubectl sends credentials over TLS only."""

COMPARED = ("authorization", "impersonate-user", "impersonate-uid", "impersonate-group", "impersonate-extra-scopes")


def write(
    file: Path, server: str, *, cluster: Fields | None = None, user: Fields | None = None, **context: str
) -> Path:
    """Write a kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "me", "user": dict(user or {})}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me", **context}}],
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
async def tls_server() -> AsyncIterator[FakeKubernetesApi]:
    fake = FakeKubernetesApi()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    fake.port = runner.addresses[0][1]
    yield fake
    await runner.cleanup()


def https(server: FakeKubernetesApi) -> str:
    return f"https://127.0.0.1:{server.port}"


async def run_kubectl(folder: Path) -> bool:
    """Send one request with kubectl, and return whether that succeeded."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": os.environ["KUBECONFIG"]}
    command = [str(kubectl_path()), "get", "--raw", "/version"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=folder, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


async def request(loader: CredentialsLoader) -> None:
    client = KubernetesClient(loader)
    await client.get("/version")
    await client.close()


def compared_headers(server: FakeKubernetesApi) -> list[tuple[str, str]]:
    """Return the compared headers of the last request, repeated ones included."""
    headers = server.requests[-1].headers
    return sorted((name.lower(), value) for name, value in headers.items() if name.lower() in COMPARED)


def exec_command(folder: Path) -> dict[str, object]:
    """Return an exec command with a path relative to the kubeconfig."""
    script = folder / "bin/login"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(
        '#!/bin/sh\necho \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"of-the-command"}}\'\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./bin/login",
        "interactiveMode": "Never",
        "args": [],
    }


USERS: dict[str, Fields] = {
    "token": {"token": "static"},
    "token file": {"tokenFile": "token"},
    "token and token file": {"token": "static", "tokenFile": "token"},
    "token and a missing token file": {"token": "static", "tokenFile": "missing"},
    "impersonated user": {"token": "static", "as": "jane"},
    "impersonated user with everything": {
        "token": "static",
        "as": "jane",
        "as-uid": "1234",
        "as-groups": ["developers"],
        "as-user-extra": {"Scopes": ["view"]},
    },
    "number as token": {"token": "12345"},
}


@pytest.mark.parametrize("name", USERS)
async def test_a_user_is_authenticated_as_by_kubectl(
    tls_server: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "token").write_text("of-the-file\n")
    monkeypatch.setenv(
        "KUBECONFIG", str(write(tmp_path / "kubeconfig", https(tls_server), cluster=TLS, user=USERS[name]))
    )
    assert await run_kubectl(tmp_path)
    expected = compared_headers(tls_server)
    await request(CredentialsLoader())
    assert compared_headers(tls_server) == expected


async def test_a_relative_exec_command_runs_as_with_kubectl(
    server: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"exec": exec_command(tmp_path / "config")}
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "config/kubeconfig", server.url, user=user)))
    await request(CredentialsLoader())
    assert compared_headers(server) == [("authorization", "Bearer of-the-command")]


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http", ""])
async def test_the_address_of_the_server_is_read_as_by_kubectl(
    server: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    address = server.url.removeprefix("http://")
    url = f"{scheme}://{address}/" if scheme else address
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "kubeconfig", url)))
    assert await run_kubectl(tmp_path)
    number = len(server.requests)
    await request(CredentialsLoader())
    assert len(server.requests) == number + 1
    assert {received.path for received in server.requests} == {"/version"}


async def test_a_server_behind_a_path_is_reached(
    server: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "kubeconfig", f"{server.url}/k8s/clusters/c-1/")))
    await request(CredentialsLoader())
    assert server.requests[-1].path == "/k8s/clusters/c-1/version"


async def test_files_are_merged_as_by_kubectl(
    tls_server: FakeKubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file wins for each entry as a whole; files that are empty or missing are skipped."""
    first = write(tmp_path / "first", https(tls_server), cluster=TLS, user={"token": "first"})
    second = write(tmp_path / "second", "https://other.example", cluster=TLS, user={"token": "second", "as": "jane"})
    files = [os.devnull, str(tmp_path / "missing"), str(first), str(second), ""]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(files))
    assert await run_kubectl(tmp_path)
    expected = compared_headers(tls_server)
    await request(CredentialsLoader())
    assert compared_headers(tls_server) == expected == [("authorization", "Bearer first")]


REJECTED: dict[str, tuple[Fields, Fields, str]] = {
    "auth provider": ({}, {"auth-provider": {"name": "oidc"}}, "user me: auth-provider is not supported"),
    "password": ({}, {"username": "a", "password": "b"}, "user me: username is not supported"),
    "field of a user": ({}, {"future-field": 1}, "user me: future-field is not supported"),
    "field of a cluster": ({"future-field": 1}, {}, "cluster it: future-field is not supported"),
    "field of exec": (
        {},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "future": 1}},
        "exec: future is not supported",
    ),
    "version of exec": (
        {},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}},
        "v1alpha1 is not supported",
    ),
    "groups without a user": ({}, {"as-groups": ["a"]}, "need `as`"),
    "header injection": ({}, {"as": "jane\r\nX: y"}, "Impersonate-User: the value has control characters"),
    "SOCKS proxy": ({"proxy-url": "socks5://u:secret@proxy:1080"}, {}, "socks5:// is not supported"),
    "proxy without a scheme": ({"proxy-url": "proxy:3128"}, {}, "without a scheme is not supported"),
    "insecure with a CA": (
        {"insecure-skip-tls-verify": True, "certificate-authority-data": "YQ=="},
        {},
        "exclude each other",
    ),
    "two CAs": ({"certificate-authority": "a", "certificate-authority-data": "YQ=="}, {}, "exclude each other"),
    "certificate without a key": ({}, {"client-certificate-data": "YQ=="}, "need each other"),
    "missing certificate": ({"certificate-authority": "missing.crt"}, {}, "missing.crt cannot be read"),
    "missing token file": ({}, {"tokenFile": "missing"}, "missing cannot be read"),
}


@pytest.mark.parametrize("name", REJECTED)
async def test_what_is_not_supported_is_rejected_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    cluster, user, message = REJECTED[name]
    file = write(tmp_path / "kubeconfig", "https://example.test", cluster=cluster, user=user)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(KubernetesRefused) as error_info:
        await CredentialsLoader().credentials()
    assert message in error_info.value.message
    assert "secret" not in error_info.value.message


@pytest.mark.parametrize("server", ["ftp://example.test", "https://", "://x", "http://[::1"])
async def test_an_invalid_address_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "kubeconfig", server)))
    with pytest.raises(KubernetesRefused, match="server"):
        await CredentialsLoader().credentials()


async def test_certificates_in_the_file_are_used_from_private_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"client-certificate-data": "Y2VydGlmaWNhdGU=", "client-key-data": "a2V5"}
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "kubeconfig", "HTTPS://example.test", user=data)))
    credentials: Credentials = await CredentialsLoader().credentials()
    assert credentials.server == "https://example.test"
    assert credentials.key_file is not None
    assert Path(credentials.key_file).read_bytes() == b"key"
    assert Path(credentials.key_file).stat().st_mode & 0o077 == 0


OUTPUTS = {
    "no JSON": "echo hello",
    "no credential": """echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{}}'""",
    "another version": """echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"t"}}'""",
    "certificate without a key": (
        """echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{"clientCertificateData":"c"}}'"""
    ),
    "failure": "exit 3",
}


@pytest.mark.parametrize("name", OUTPUTS)
async def test_an_exec_command_without_a_credential_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    command = exec_command(tmp_path)
    (tmp_path / "bin/login").write_text(f"#!/bin/sh\n{OUTPUTS[name]}\n")
    monkeypatch.setenv(
        "KUBECONFIG", str(write(tmp_path / "kubeconfig", "https://example.test", user={"exec": command}))
    )
    with pytest.raises(KubernetesUnavailable, match="gave no credential"):
        await CredentialsLoader().credentials()


async def test_a_missing_exec_command_is_reported_with_its_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-login",
        "installHint": "Install it.",
    }
    monkeypatch.setenv(
        "KUBECONFIG", str(write(tmp_path / "kubeconfig", "https://example.test", user={"exec": command}))
    )
    with pytest.raises(KubernetesError, match=r"no-such-login: No such file or directory\. Install it\."):
        await CredentialsLoader().credentials()
