"""The operator and the command line behind a proxy, which alone resolves the names of Azure and of the API server."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
import trustme

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.credentials import kubeconfig
from sandbox.stack import Cloud, Operator
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from tests.conftest import StartCloud
from tests.support.fakes.forward_proxy import ForwardProxy, run_forward_proxy
from tests.support.scenarios.scenario import SUBSCRIPTION, TENANT, wait_for
from tests.support.scenarios.sign_in_scenario import SignInScenario

CLOUD, API_SERVER, COLLECTOR = "cloud.test", "kubernetes.default.svc", "collector.test"
"""Names in the certificates of the cloud, of the API server and of a collector; none resolves on this machine."""

USER, PASSWORD = "CORP\\ada", "p@ss#word"


@dataclass(frozen=True)
class Site:
    """Everything behind the proxy."""

    scenario: SignInScenario
    cloud: Cloud
    proxy: ForwardProxy
    environment: dict[str, str]

    def tunnels(self) -> set[str]:
        """Every `host:port` that the proxy was asked for so far."""
        return set(self.proxy.tunnels)

    def services(self) -> set[str]:
        """`host:port` of the services that a connector needs whose sign-in is a service principal."""
        devops = self.cloud.endpoints["azureDevOps"]
        urls = [self.cloud.endpoints["authority"], self.cloud.endpoints["arm"], devops["devAzure"]]
        return {f"{CLOUD}:{urlsplit(url).port}" for url in urls}


@pytest.fixture(scope="module")
def cloud(start_cloud: StartCloud) -> Cloud:
    """One for all tests: only one of them has a connector."""
    return start_cloud("--speed", "360")


@pytest.fixture
def site(cluster: Cluster, kube: KubernetesClient, cloud: Cloud, namespace: str, tmp_path: Path) -> Iterator[Site]:
    access = tmp_path / "behind-a-proxy.kubeconfig"
    server = f"https://{API_SERVER}:{urlsplit(cluster.server).port}"
    access.write_text(kubeconfig(server, cluster.ca, token=cluster.admin_token))
    with (
        run_forward_proxy(ForwardProxy({CLOUD: "127.0.0.1", API_SERVER: "127.0.0.1"}, (USER, PASSWORD))) as proxy,
        ControlClient(cloud.control) as control,
    ):
        reachable = {name: value.replace("localhost", CLOUD) for name, value in cloud.environment().items()}
        environment = {
            **reachable,
            **CLIENT_SECRET_IDENTITY,
            "KUBECONFIG": str(access),
            "HTTPS_PROXY": f"{USER}:{PASSWORD}@127.0.0.1:{proxy.port}",
            "NO_PROXY": "",
            "no_proxy": "",
        }
        log = tmp_path / "operator.log"
        yield Site(SignInScenario(kube, control, namespace, cloud.ca, log), cloud, proxy, environment)


def test_the_operator_works_where_only_the_proxy_reaches_anything(site: Site, collector: dict[str, str]) -> None:
    scenario = site.scenario
    grants = [{"namespace": scenario.namespace, "tenantId": TENANT, "subscriptionId": SUBSCRIPTION}]
    settings = {
        "DEFENDER_DEVOPS_NAMESPACES": json.dumps([scenario.namespace]),
        "DEFENDER_DEVOPS_IDENTITY_GRANTS": json.dumps(grants),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "1",
        "DEFENDER_DEVOPS_CHECK_INTERVAL": "2",
    }
    # As a file or a Secret made by echo on Windows has it.
    site.environment["AZURE_AUTHORITY_HOST"] = f"\ufeff{site.environment['AZURE_AUTHORITY_HOST']}/\r\n"
    with Operator.start(scenario.log, site.environment | settings | collector):
        scenario.connect({"method": "ServicePrincipal", "account": None})
        scenario.wait("Ready", "True")
        scenario.wait("SignedIn", "True")
        wait_for(lambda: site.tunnels() >= site.services(), f"no request to {site.services()}")
        wait_for(lambda: "/v1/traces" in Collector.paths, "no span was exported")
        scenario.leave()
    assert {tunnel.partition(":")[0] for tunnel in site.tunnels()} == {API_SERVER, CLOUD, COLLECTOR}
    assert site.proxy.rejected == []
    assert PASSWORD not in scenario.log.read_text()


class Collector(BaseHTTPRequestHandler):
    """A collector of OpenTelemetry that accepts every span."""

    paths: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def collector(site: Site, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of the operator for a collector with an authority of its own, which only the proxy reaches."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "collector.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(COLLECTOR).configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.proxy.hosts[COLLECTOR] = "127.0.0.1"
    yield {
        "DEFENDER_DEVOPS_TRACES": "otlp",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://{COLLECTOR}:{server.server_port}",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "collector.pem"),
    }
    server.shutdown()
    server.server_close()


def command_line(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = f"import sys; from defender_devops.cli import main; sys.exit(main.run_command_line({list(arguments)!r}))"
    return subprocess.run(
        [sys.executable, "-c", script], env=site.environment, capture_output=True, text=True, check=False
    )


def test_the_command_line_reaches_the_api_server_through_the_proxy(site: Site) -> None:
    result = command_line(site, "status", "-n", site.scenario.namespace)
    assert result.returncode == 0, result.stderr
    assert [tunnel.partition(":")[0] for tunnel in site.tunnels()] == [API_SERVER]


@pytest.mark.parametrize(
    ("value", "phrase"),
    [("http://ada:hidden@proxy.test:port", "port is invalid"), ("socks5://ada:hidden@proxy.test:1080", "socks5")],
    ids=["port", "socks5"],
)
def test_an_invalid_proxy_is_reported_in_one_line_without_its_password(site: Site, value: str, phrase: str) -> None:
    site.environment["HTTPS_PROXY"] = value
    results = [
        command_line(site, "status"),
        subprocess.run(
            [sys.executable, "-m", "defender_devops"], env=site.environment, capture_output=True, text=True, check=False
        ),
    ]
    for result in results:
        assert result.returncode == 2
        assert "HTTPS_PROXY" in result.stderr
        assert phrase in result.stderr
        assert "hidden" not in result.stderr + result.stdout
        assert result.stderr.count("\n") == 1
