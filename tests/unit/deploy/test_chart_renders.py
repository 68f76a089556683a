"""Golden files of the chart's render for each values file: all objects of the defaults, otherwise those that differ.

`UPDATE_GOLDEN=1 pytest tests/unit/deploy/test_chart_renders.py` rewrites them for review.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart.helm import CHART, NAMESPACE, ROOT, VALUES, helm, render

DEFAULTS = ROOT / "tests/data/chart/values/defaults.yaml"
RENDERS = ROOT / "tests/data/chart/renders"
WITHOUT_NAMESPACE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}

every_values_file = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@cache
def rendered(values: Path) -> list[dict[str, Any]]:
    return render("--values", values)


def by_name(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """All but the CRDs, which have a test of their own."""
    return {
        f"{m['kind']} {m['metadata'].get('namespace', '')}/{m['metadata']['name']}": m
        for m in manifests
        if m["kind"] != "CustomResourceDefinition"
    }


def golden_text(values: Path) -> str:
    """The golden file's text."""
    objects, usual = by_name(rendered(values)), by_name(rendered(DEFAULTS))
    if values == DEFAULTS:
        return yaml.safe_dump_all(objects.values(), sort_keys=False)
    missing = "".join(f"# without {name}\n" for name in usual.keys() - objects.keys() if values != DEFAULTS)
    changed = [manifest for name, manifest in objects.items() if manifest != usual.get(name)]
    return "".join(sorted(missing.splitlines(keepends=True))) + yaml.safe_dump_all(changed, sort_keys=False)


@every_values_file
def test_the_render_equals_its_golden_file(values: Path) -> None:
    golden = RENDERS / values.name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(golden_text(values))
    assert golden_text(values) == golden.read_text()


def test_every_golden_file_belongs_to_a_values_file() -> None:
    assert {golden.name for golden in RENDERS.iterdir()} == {values.name for values in VALUES}


@every_values_file
def test_helm_lint_passes(values: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", values)


@every_values_file
def test_every_object_carries_the_recommended_labels(values: Path) -> None:
    extra = {"devops-notes", "devops-more", "defender-devops-operator-notes"}
    for manifest in rendered(values):
        if manifest["metadata"]["name"] in extra:
            continue
        labels = manifest["metadata"]["labels"]
        assert {"name", "instance", "version", "part-of", "managed-by"} <= {
            key.removeprefix("app.kubernetes.io/") for key in labels
        }, manifest["metadata"]["name"]


def test_common_labels_reach_every_object_and_the_pods() -> None:
    manifests = render("--set", "commonLabels.team=platform", "--set", "metrics.serviceMonitor.enabled=true")
    assert {m["metadata"]["labels"].get("team") for m in manifests} == {"platform"}
    deployment = next(m for m in manifests if m["kind"] == "Deployment")
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "platform"
    assert "team" not in deployment["spec"]["selector"]["matchLabels"]


@every_values_file
def test_every_namespaced_object_has_its_namespace(values: Path) -> None:
    for name, manifest in by_name(rendered(values)).items():
        if manifest["kind"] not in WITHOUT_NAMESPACE and not name.endswith(("-notes", "-more")):
            assert manifest["metadata"].get("namespace"), name


def test_two_releases_in_two_namespaces_share_no_object_but_the_crds() -> None:
    first = by_name(render(namespace="one", release="defender-devops-operator"))
    second = by_name(render(namespace="two", release="defender-devops-operator"))
    assert not first.keys() & second.keys()


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("defender-devops-operator", "defender-devops-operator"),
        ("security", "security-defender-devops-operator"),
        ("my-defender-devops-operator-2", "my-defender-devops-operator-2"),
        ("a" * 53, ("a" * 53 + "-defender-devops-operator")[:63].rstrip("-")),
    ],
)
def test_names_contain_release_and_chart_and_fit_a_label(release: str, name: str) -> None:
    manifests = render(release=release)
    assert {m["metadata"]["name"] for m in manifests if m["kind"] in {"Deployment", "ServiceAccount"}} == {name}
    for service in (m["metadata"]["name"] for m in manifests if m["kind"] == "Service"):
        assert len(service) <= 63, service


def test_pod_template_does_not_change_with_the_version_of_the_chart_alone(tmp_path: Path) -> None:
    packed = Path(helm("package", CHART, "--version", "9.9.9", "--destination", tmp_path).split(": ", 1)[1].strip())
    newer = helm("template", "defender-devops-operator", packed, "--namespace", NAMESPACE)
    deployments = [
        next(m for m in manifests if m and m["kind"] == "Deployment")
        for manifests in (rendered(DEFAULTS), list(yaml.safe_load_all(newer)))
    ]
    assert deployments[0]["spec"] == deployments[1]["spec"]
