"""The example for kube-state-metrics reads only fields that the CRDs have, with the types that its metrics need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart.helm import ROOT

VALUES = yaml.safe_load((ROOT / "deploy/monitoring/kube-state-metrics.yaml").read_text())
RESOURCES = VALUES["customResourceState"]["config"]["spec"]["resources"]
CRDS = {
    crd["spec"]["names"]["kind"]: crd
    for crd in (yaml.safe_load(path.read_text()) for path in (ROOT / "deploy/crds").glob("*.yaml"))
}
NUMBERS = {"integer", "number", "boolean"}


def schema_at(schema: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Return the schema of a path of kube-state-metrics, which passes through lists."""
    for key in path:
        while schema.get("type") == "array":
            schema = schema["items"]
        schema = schema["properties"][key]
    return schema


def root_of(resource: dict[str, Any]) -> dict[str, Any]:
    version = CRDS[resource["groupVersionKind"]["kind"]]["spec"]["versions"][0]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    text = {"type": "string"}
    return {"properties": {**properties, "metadata": {"properties": {"name": text, "namespace": text}}}}


def metrics() -> Iterator[Any]:
    for resource in RESOURCES:
        for metric in resource["metrics"]:
            yield pytest.param(resource, metric, id=f"{resource['groupVersionKind']['kind']}-{metric['name']}")


@pytest.mark.parametrize(("resource", "metric"), list(metrics()))
def test_a_metric_reads_a_field_of_the_right_type(resource: dict[str, Any], metric: dict[str, Any]) -> None:
    kind = metric["each"]["type"]
    each = metric["each"][kind[0].lower() + kind[1:]]
    schema = schema_at(root_of(resource), each.get("path", []))
    element = schema["items"] if schema.get("type") == "array" else schema
    for path in each.get("labelsFromPath", {}).values():
        assert schema_at(element, path)["type"] in {"string", "boolean", "integer"}
    if kind == "Info":
        return
    values = (
        list(element["properties"].values())
        if "labelFromKey" in each
        else [schema_at(element, each.get("valueFrom", []))]
    )
    for value in values:
        if kind == "StateSet":
            assert set(each["list"]) == set(value["enum"])
        else:
            assert value["type"] in NUMBERS or value.get("format") == "date-time"


def test_both_resources_are_covered_and_may_be_listed() -> None:
    for resource in RESOURCES:
        kind = resource["groupVersionKind"]
        spec = CRDS[kind["kind"]]["spec"]
        assert (kind["group"], kind["version"]) == (spec["group"], spec["versions"][0]["name"])
        for path in resource["labelsFromPath"].values():
            schema_at(root_of(resource), path)
    assert {resource["groupVersionKind"]["kind"] for resource in RESOURCES} == CRDS.keys()
    (rule,) = VALUES["rbac"]["extraRules"]
    assert set(rule["resources"]) == {crd["spec"]["names"]["plural"] for crd in CRDS.values()}
