"""The image, built where no registry is reachable, starts as its own user and brings a connector to Ready."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from sandbox.cloud.control.client import ControlClient
from sandbox.cluster import Cluster, KubernetesClient
from sandbox.cluster.client import condition
from sandbox.cluster.ports import free_ports
from sandbox.demo.people import People
from sandbox.process import ManagedProcess
from sandbox.stack import Cloud
from sandbox.stack.cloud import CLIENT_SECRET_IDENTITY
from sandbox.stack.operator import NAMESPACE
from tests.support.chart.helm import ROOT

SCRIPTS = ROOT / "deploy/image"
KINDS = ("pypi", "deb")
TAG = "localhost/defender-devops-operator:test"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not (shutil.which("buildah") and shutil.which("mmdebstrap")) or os.geteuid() != 0,
        reason="needs buildah, mmdebstrap and root",
    ),
]


@pytest.fixture(scope="module")
def image() -> str:
    subprocess.run([SCRIPTS / "build-offline", TAG], check=True)
    return TAG


@pytest.fixture
def container(image: str, cluster: Cluster, cloud: Cloud, tmp_path: Path) -> Iterator[ManagedProcess]:
    """The operator in its container, ready."""
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        **cloud.environment(),
        **CLIENT_SECRET_IDENTITY,
        "KUBECONFIG": str(cluster.kubeconfig),
        "DEFENDER_DEVOPS_NAMESPACE": NAMESPACE,
        "DEFENDER_DEVOPS_METRICS_PORT": str(port),
        "DEFENDER_DEVOPS_REFRESH_INTERVAL": "2",
    }
    log = tmp_path / "operator.log"
    process = ManagedProcess("container", [SCRIPTS / "run-offline", image], log=log, env=environment, grace=30)
    try:
        process.wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), timeout=60)
        yield process
    finally:
        process.stop()
    assert '"stopped"' in log.read_text()


def answers(url: str) -> bool | None:
    try:
        return httpx.get(url, trust_env=False).is_success or None
    except httpx.TransportError:
        return None


@pytest.mark.usefixtures("container")
def test_operator_of_the_image_makes_a_connector_ready(kube: KubernetesClient, cloud: Cloud) -> None:
    manifest = yaml.safe_load((ROOT / "examples/contoso.yaml").read_text())
    manifest["metadata"]["namespace"] = NAMESPACE
    with ControlClient(cloud.control) as control:
        for secret in People(control, cloud).prepare(manifest):
            kube.apply(secret)
    kube.apply(manifest)
    name = manifest["metadata"]["name"]
    kube.wait(
        manifest["kind"],
        name,
        NAMESPACE,
        until=lambda body: condition(body, "Ready").get("status") == "True",
        timeout=60,
    )
    kube.delete(manifest["kind"], name, NAMESPACE)
    kube.wait_deleted(manifest["kind"], name, NAMESPACE, timeout=60)


def test_image_says_what_it_is_and_is_nobody(image: str) -> None:
    config = json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["python", "-m", "defender_devops"]
    assert config["Labels"]["org.opencontainers.image.title"] == "defender-devops-operator"
    version = importlib.metadata.version("defender-devops-operator")
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert config["Labels"]["org.opencontainers.image.base.name"] == "localhost/defender-devops-base:bookworm"


def test_image_holds_the_bill_of_all_that_is_in_it(image: str) -> None:
    container = buildah("from", "--pull-never", image)
    try:
        root = Path(buildah("mount", container))
        bill = json.loads((root / "opt/defender-devops/sbom.cdx.json").read_text())
        packages = (root / "opt/defender-devops").glob("lib/python3*/site-packages/*.dist-info")
        python = {re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() for path in packages}
        debian = re.findall(r"^Package: (\S+)$", (root / "var/lib/dpkg/status").read_text(), re.MULTILINE)
    finally:
        buildah("rm", container)
    listed = {
        kind: {component["name"] for component in bill["components"] if f"pkg:{kind}/" in component["purl"]}
        for kind in KINDS
    }
    assert listed["pypi"] | {bill["metadata"]["component"]["name"]} == python
    assert listed["deb"] == set(debian)


def buildah(*arguments: str) -> str:
    storage = {"STORAGE_DRIVER": "vfs", **os.environ}
    run = subprocess.run(["buildah", *arguments], env=storage, capture_output=True, text=True, check=True)
    return run.stdout.strip()
