"""Every client through a real proxy, in front of which no name resolves, to a server with an authority of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import aiohttp
import httpx
import pytest
import requests
import trustme
import yaml
from aiohttp import web
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from pydantic import SecretStr

from defender_devops.azure.arm.session import ArmSession
from defender_devops.azure.arm.transport import HttpRequest
from defender_devops.azure.identity.credentials import client_secret_credential
from defender_devops.azure.identity.local_developer import local_azure_devops_token
from defender_devops.cluster.client import KubernetesClient
from defender_devops.cluster.kubeconfig.credentials import CredentialsLoader
from defender_devops.errors import KubernetesRefused, KubernetesUnavailable, OperatorError
from defender_devops.http_client import (
    InvalidCertificateAuthorities,
    check_http_environment,
    open_http_client,
    tls_context,
)
from defender_devops.telemetry.export_session import open_export_session
from tests.support.fakes.forward_proxy import ForwardProxy, serve_forward_proxy

HOST = "services.test"
"""Resolves nowhere (RFC 6761)."""

PASSWORD = r"p@ss#w\rd/ü"
TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "55555555-5555-5555-5555-555555555555"


@dataclass
class Site:
    """A server behind a proxy."""

    proxy: ForwardProxy
    url: str
    folder: Path

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]


async def respond(request: web.Request) -> web.Response:
    if request.path.endswith("/token"):
        return web.json_response({"access_token": "token", "expires_in": 3600, "token_type": "Bearer"})
    if "openid-configuration" in request.path or "discovery" in request.path:
        authority = f"https://{request.host}/{TENANT}"
        return web.json_response(
            {
                "tenant_discovery_endpoint": f"{authority}/v2.0/.well-known/openid-configuration",
                "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                "token_endpoint": f"{authority}/oauth2/v2.0/token",
                "issuer": f"{authority}/v2.0",
                "metadata": [],
            }
        )
    return web.json_response({"path": request.path})


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", respond)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    for name in ("https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with serve_forward_proxy(ForwardProxy({HOST: "127.0.0.1"}, ("CORP\\ada", PASSWORD))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", rf"CORP\ada:{PASSWORD}@127.0.0.1:{proxy.port}")
        yield Site(proxy, f"https://{HOST}:{runner.addresses[0][1]}", tmp_path)
    await runner.cleanup()


async def with_arm(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        session = ArmSession.open(site.url)
        stack.push_async_callback(session.close)
        response = await session.http.send(HttpRequest("GET", f"{site.url}/subscriptions?a=b", {}), body_max=1000)
        assert json.loads(response.body) == {"path": "/subscriptions"}


async def with_entra_and_azure_devops(site: Site) -> None:
    async with open_http_client() as http:
        assert (await http.get(f"{site.url}/contoso/_apis")).json() == {"path": "/contoso/_apis"}


async def with_azure_identity(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        credential = client_secret_credential(TENANT, CLIENT, SecretStr("secret"))
        stack.push_async_callback(credential.close)
        assert (await credential.token(claims=None, force_refresh=False)).value.get_secret_value() == "token"
        assert (await credential.token(claims=None, force_refresh=True)).value.get_secret_value() == "token"


async def with_local_credentials(site: Site) -> None:
    assert (await local_azure_devops_token(CLIENT, TENANT)).get_secret_value() == "token"


async def with_traces(site: Site) -> None:
    def export() -> None:
        with open_export_session() as session:
            response = session.post(f"{site.url}/v1/traces", data=b"spans", timeout=10)
        assert response.json() == {"path": "/v1/traces"}

    await asyncio.to_thread(export)


async def with_kubernetes(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = KubernetesClient(CredentialsLoader())
        stack.push_async_callback(client.close)
        assert await client.get("/api/v1/namespaces") == {"path": "/api/v1/namespaces"}


CLIENTS: dict[str, Callable[[Site], Awaitable[None]]] = {
    "Azure Resource Manager": with_arm,
    "Entra ID and Azure DevOps": with_entra_and_azure_devops,
    "azure-identity": with_azure_identity,
    "the local credentials": with_local_credentials,
    "Kubernetes": with_kubernetes,
    "the exporter of traces": with_traces,
}


def write_kubeconfig(site: Site, **cluster: str) -> Path:
    file = site.folder / "kubeconfig"
    named = {"server": site.url, "certificate-authority": str(site.folder / "ca.pem"), **cluster}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": named}],
        "users": [{"name": "me", "user": {"token": "kubernetes-token"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture
def environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(site)))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"\ufeff{site.url}/\r\n")
    monkeypatch.setenv("AZURE_TENANT_ID", f"{TENANT}\n")
    monkeypatch.setenv("AZURE_CLIENT_ID", f"{CLIENT}\r\n")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "\ufeffsecret\n")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("use", CLIENTS.values(), ids=CLIENTS.keys())
async def test_every_client_goes_through_the_proxy(site: Site, use: Callable[[Site], Awaitable[None]]) -> None:
    await use(site)
    assert set(site.proxy.tunnels) == {f"{HOST}:{site.port}"}
    assert site.proxy.rejected == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("use", CLIENTS.values(), ids=CLIENTS.keys())
async def test_no_client_goes_through_the_proxy_where_no_proxy_excludes_the_host(
    site: Site, use: Callable[[Site], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", ".test")
    with pytest.raises(
        (OperatorError, httpx.HTTPError, aiohttp.ClientError, requests.RequestException)
    ):  # the name does not resolve
        async with asyncio.timeout(20):
            await use(site)
    assert (site.proxy.tunnels, site.proxy.rejected) == ([], [])


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("use", CLIENTS.values(), ids=CLIENTS.keys())
async def test_an_invalid_proxy_is_named_by_every_client(
    site: Site, use: Callable[[Site], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://ada:hidden@proxy.test:1080")
    with pytest.raises(OperatorError, match="HTTPS_PROXY has the scheme socks5") as invalid:
        await use(site)
    assert "hidden" not in str(invalid.value)


@pytest.mark.usefixtures("environment")
async def test_proxy_url_of_a_kubeconfig_precedes_the_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    url = rf"http://CORP\ada:{PASSWORD}@127.0.0.1:{site.proxy.port}"
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(site, **{"proxy-url": url})))
    monkeypatch.setenv("HTTPS_PROXY", "http://nowhere.test:9")
    await with_kubernetes(site)
    assert site.proxy.tunnels == [f"{HOST}:{site.port}"]


@pytest.mark.usefixtures("environment")
async def test_a_socks_proxy_of_a_kubeconfig_is_rejected_by_its_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(site, **{"proxy-url": "socks5://ada:hidden@127.0.0.1:1080"})))
    with pytest.raises(KubernetesRefused, match="proxy-url: socks5://") as refused:
        await with_kubernetes(site)
    assert "hidden" not in str(refused.value)


@pytest.mark.usefixtures("environment")
async def test_a_wrong_password_of_the_proxy_is_not_reported_as_one_of_the_identity(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://ada:wrong@127.0.0.1:{site.proxy.port}")
    with pytest.raises(KubernetesUnavailable):
        await with_kubernetes(site)
    with pytest.raises(OperatorError) as failed:
        await with_azure_identity(site)
    assert not failed.value.terminal
    assert "wrong" not in str(failed.value)
    assert set(site.proxy.rejected) == {407}


@pytest.mark.usefixtures("environment")
async def test_a_collector_can_have_authorities_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(site.folder / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(site.folder / "other.pem"))
    with pytest.raises(requests.exceptions.SSLError):
        await with_traces(site)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", site.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(site.folder / "ca.pem"))
    exporter = OTLPSpanExporter(session=open_export_session())
    provider = TracerProvider()
    exported: list[SpanExportResult] = []
    span = provider.get_tracer("test").start_span("reconcile")
    span.end()
    await asyncio.to_thread(lambda: exported.append(exporter.export([cast("ReadableSpan", span)])))
    assert exported == [SpanExportResult.SUCCESS]
    assert set(site.proxy.tunnels) == {f"{HOST}:{site.port}"}


@pytest.mark.usefixtures("environment")
async def test_the_variables_of_other_libraries_change_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.folder / "empty.pem").write_text("")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(site.folder / "empty.pem"))
    monkeypatch.setenv("ALL_PROXY", "http://nowhere.test:9")
    await with_traces(site)
    assert set(site.proxy.tunnels) == {f"{HOST}:{site.port}"}


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_unusable_certificate_authorities_are_named_with_their_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for use in (tls_context, check_http_environment):
        with pytest.raises(InvalidCertificateAuthorities, match="SSL_CERT_FILE"):
            use()
