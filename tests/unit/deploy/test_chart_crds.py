"""The chart's CRDs are those of deploy/crds, which are generated from the models; helm upgrades and keeps them."""

from __future__ import annotations

import pytest
import yaml

from tests.support.chart.helm import ROOT, Manifest, render

SOURCE = sorted((ROOT / "deploy/crds").glob("*.yaml"))


def crds(*arguments: str) -> list[Manifest]:
    return [manifest for manifest in render(*arguments) if manifest["kind"] == "CustomResourceDefinition"]


def test_rendered_crds_are_the_source_with_labels_and_the_keep_policy() -> None:
    assert len(SOURCE) == 2
    for rendered, path in zip(crds(), SOURCE, strict=True):
        source = yaml.safe_load(path.read_text())
        assert rendered["spec"] == source["spec"]
        assert rendered["metadata"]["name"] == source["metadata"]["name"]
        assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert rendered["metadata"]["labels"]["app.kubernetes.io/name"] == "defender-devops-operator"


def test_source_leaves_labels_and_annotations_to_the_chart() -> None:
    for path in SOURCE:
        assert yaml.safe_load(path.read_text())["metadata"].keys() == {"name"}


@pytest.mark.parametrize(("setting", "count"), [("crds.enabled=false", 0), ("crds.keep=false", 2)])
def test_values_omit_the_crds_or_their_keep_policy(setting: str, count: int) -> None:
    rendered = crds("--set", setting)
    assert len(rendered) == count
    assert not any("annotations" in crd["metadata"] for crd in rendered)
