"""The client against a server that plays the API server by script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from tests.support.fakes.kubernetes_api import FakeKubernetesApi, write_kubeconfig


@pytest.fixture
async def server() -> AsyncIterator[FakeKubernetesApi]:
    fake = FakeKubernetesApi()
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.port = runner.addresses[0][1]
    yield fake
    await runner.cleanup()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("first")
    return file


@pytest.fixture
async def client(
    server: FakeKubernetesApi, token_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KubernetesClient]:
    """A client whose token is in a file."""
    kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url, tokenFile=str(token_file))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    client = KubernetesClient(CredentialsLoader())
    yield client
    await client.close()
