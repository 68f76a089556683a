"""The examples for Argo CD and Flux match the chart and the resources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.api import names
from tests.support.chart.helm import CHART, ROOT, helm

GITOPS = ROOT / "deploy/gitops"
EXAMPLES = [GITOPS / "argocd/applications.yaml", GITOPS / "flux/operator.yaml", GITOPS / "flux/connectors.yaml"]


def objects(kind: str) -> Iterator[dict[str, Any]]:
    for path in EXAMPLES:
        yield from (m for m in yaml.safe_load_all(path.read_text()) if m["kind"] == kind)


def values_of_examples() -> list[dict[str, Any]]:
    applications = [app["spec"]["source"].get("helm", {}).get("valuesObject") for app in objects("Application")]
    releases = [release["spec"]["values"] for release in objects("HelmRelease")]
    return [values for values in applications + releases if values]


def test_values_of_the_examples_pass_the_charts_schema(tmp_path: Path) -> None:
    examples = values_of_examples()
    assert len(examples) == 2
    for values in examples:
        path = tmp_path / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        assert "kind: Deployment" in helm("template", "defender-devops-operator", CHART, "--values", path)


def test_paths_of_the_examples_are_the_path_of_the_chart() -> None:
    paths = [app["spec"]["source"]["path"] for app in objects("Application")]
    paths += [release["spec"]["chart"]["spec"]["chart"] for release in objects("HelmRelease")]
    assert [path for path in paths if path.startswith("deploy/")] == ["deploy/helm/defender-devops-operator"] * 2


def test_flux_waits_for_resources_that_exist() -> None:
    checks = [check for kustomization in objects("Kustomization") for check in kustomization["spec"]["healthChecks"]]
    resource_checks = [check for check in checks if check["apiVersion"] == names.API_VERSION]
    assert [check["kind"] for check in resource_checks] == [names.CONNECTOR.kind]
    releases = {(release["metadata"]["namespace"], release["metadata"]["name"]) for release in objects("HelmRelease")}
    assert {(c["namespace"], c["name"]) for c in checks if c["kind"] == "HelmRelease"} == releases


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_referenced_source_is_in_the_same_file(path: Path) -> None:
    manifests = list(yaml.safe_load_all(path.read_text()))
    sources = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    for manifest in manifests:
        spec = manifest["spec"]
        ref = spec.get("sourceRef") or spec.get("chart", {}).get("spec", {}).get("sourceRef")
        assert ref is None or (ref["kind"], ref["name"]) in sources


def test_connectors_are_synced_after_the_operator() -> None:
    key = "argocd.argoproj.io/sync-wave"
    waves = {app["metadata"]["name"]: app["metadata"]["annotations"][key] for app in objects("Application")}
    assert waves["defender-devops-operator"] < waves["defender-devops-connectors"]
