"""The chart with Helm 3, which Argo CD and many clusters still use: it renders and refuses as Helm 4."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from sandbox.cluster.build import ensure_built
from sandbox.cluster.programs import HELM_3, BinaryError
from tests.support.chart.helm import CHART, NAMESPACE, RELEASE, VALUES, Manifest, render
from tests.unit.deploy.test_chart_composition import REQUIRED

pytestmark = pytest.mark.long  # the first run builds Helm 3, for minutes


@pytest.fixture(scope="module")
def helm_3() -> Path:
    try:
        return ensure_built(HELM_3)
    except BinaryError as error:
        pytest.skip(f"Helm 3 cannot be built: {error}")


def run(helm: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *arguments], capture_output=True, text=True, check=False)


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str, str], Manifest]:
    return {(m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]): m for m in manifests}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_3_renders_what_helm_4_renders(helm_3: Path, values: Path) -> None:
    apis = [
        f"--api-versions=monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule")
    ]
    result = run(
        helm_3, "template", RELEASE, CHART, "--namespace", NAMESPACE, "--kube-version=1.37.0", *apis, "--values", values
    )
    assert result.returncode == 0, result.stderr
    manifests = [manifest for manifest in yaml.safe_load_all(result.stdout) if manifest]
    assert by_name(manifests) == by_name(render("--kube-version=1.37.0", "--values", values))


def test_helm_3_finds_nothing_to_complain_about(helm_3: Path) -> None:
    result = run(helm_3, "lint", "--strict", CHART)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "setting", ["unknown=1", "replicaCount=two", "settings.logLevel=loud", "image.pullPolicy=Sometimes"]
)
def test_helm_3_refuses_what_the_schema_forbids(helm_3: Path, setting: str) -> None:
    result = run(helm_3, "template", RELEASE, CHART, "--kube-version=1.37.0", "--set", setting)
    assert result.returncode != 0
    assert setting.partition("=")[0].rpartition(".")[2] in result.stderr


def test_helm_3_takes_null_for_a_block(helm_3: Path, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    names = yaml.safe_load((CHART / "values.yaml").read_text()).keys() - {path.partition(".")[0] for path in REQUIRED}
    values.write_text(yaml.safe_dump(dict.fromkeys(names)))
    result = run(helm_3, "template", RELEASE, CHART, "--kube-version=1.37.0", "--values", values)
    assert result.returncode == 0, result.stderr
