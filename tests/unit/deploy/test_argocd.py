"""Argo CD's health checks and actions, run with Lua 5.1 (the version that Argo CD uses) on their test data."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender_devops.api import names
from defender_devops.api.reasons import Reason
from tests.support.chart.argocd import ARGOCD, KINDS, NOW, health, run
from tests.support.chart.helm import ROOT


def health_tests() -> Iterator[Any]:
    for kind in KINDS:
        for test in yaml.safe_load((kind / "health_test.yaml").read_text())["tests"]:
            yield pytest.param(kind, test, id=f"{kind.name}-{Path(test['inputPath']).stem}")


def action_tests() -> Iterator[Any]:
    for path in ARGOCD.rglob("action_test.yaml"):
        for test in yaml.safe_load(path.read_text())["actionTests"]:
            yield pytest.param(path.parent, test, id=f"{test['action']}-{Path(test['inputPath']).stem}")


def discovery_tests() -> Iterator[Any]:
    for path in ARGOCD.rglob("action_test.yaml"):
        for test in yaml.safe_load(path.read_text())["discoveryTests"]:
            yield pytest.param(path.parent, test, id=Path(test["inputPath"]).stem)


@pytest.mark.parametrize(("kind", "test"), list(health_tests()))
def test_health_check_returns_the_expected_status(kind: Path, test: dict[str, Any]) -> None:
    obj = yaml.safe_load((kind / test["inputPath"]).read_text())
    assert obj["kind"] == kind.name
    assert health(obj) == test["healthStatus"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_file_of_test_data_is_used(kind: Path) -> None:
    tests = yaml.safe_load((kind / "health_test.yaml").read_text())["tests"]
    assert {kind / test["inputPath"] for test in tests} == set((kind / "testdata").iterdir())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_reason_in_the_test_data_is_one_that_the_operator_gives(kind: Path) -> None:
    for path in (kind / "testdata").iterdir():
        for condition in yaml.safe_load(path.read_text())["status"].get("conditions", []):
            assert condition["reason"] in set(Reason), path.name


def test_both_resources_have_the_same_check() -> None:
    assert len({(kind / "health.lua").read_text() for kind in KINDS}) == 1
    assert {kind.name for kind in KINDS} == {names.CONNECTOR.kind, names.ORGANIZATION.kind}


@pytest.mark.parametrize("missing", ["status", "spec"])
def test_an_object_without_status_or_spec_is_not_an_error(missing: str) -> None:
    obj = yaml.safe_load((KINDS[0] / "testdata/ready-and-discovering.yaml").read_text())
    del obj[missing]
    expected = {"status": "Progressing", "spec": "Healthy"}[missing]
    assert health(obj)["status"] == expected


@pytest.mark.parametrize(("actions", "test"), list(action_tests()))
def test_action_produces_the_expected_object(actions: Path, test: dict[str, Any]) -> None:
    obj = yaml.safe_load((actions / test["inputPath"]).read_text())
    script = (actions / test["action"] / "action.lua").read_text()
    assert run(script, obj) == yaml.safe_load((actions / test["expectedOutputPath"]).read_text())


@pytest.mark.parametrize(("actions", "test"), list(discovery_tests()))
def test_actions_without_an_effect_are_disabled(actions: Path, test: dict[str, Any]) -> None:
    obj = yaml.safe_load((actions / test["inputPath"]).read_text())
    offered = run((actions / "discovery.lua").read_text(), obj)
    assert [{"name": name, **action} for name, action in offered.items()] == in_lua_order(test["result"], offered)
    assert {path.parent.name for path in actions.glob("*/action.lua")} == offered.keys()


def in_lua_order(expected: list[dict[str, Any]], offered: dict[str, Any]) -> list[dict[str, Any]]:
    """The expected actions in the order of Lua's table, which is arbitrary."""
    return sorted(expected, key=lambda action: list(offered).index(action["name"]))


def test_reconcile_sets_the_annotation_that_the_operator_watches() -> None:
    script = (KINDS[0] / "actions/reconcile/action.lua").read_text()
    annotations = run(script, {"metadata": {}, "spec": {}})["metadata"]["annotations"]
    assert annotations == {names.ANNOTATION_RECONCILE_REQUESTED_AT: NOW}


@pytest.mark.parametrize(("actions", "test"), list(action_tests()))
def test_action_passes_the_test_of_argo_cds_repository(actions: Path, test: dict[str, Any]) -> None:
    """With the real clock, both objects normalized as deploy/gitops/argocd/upstream.md says."""
    obj = yaml.safe_load((actions / test["inputPath"]).read_text())
    output = run((actions / test["action"] / "action.lua").read_text(), obj, has_clock=True)
    expected = yaml.safe_load((actions / test["expectedOutputPath"]).read_text())
    if test["action"] == "reconcile":
        written = dt.datetime.fromisoformat(output["metadata"]["annotations"][names.ANNOTATION_RECONCILE_REQUESTED_AT])
        assert abs(dt.datetime.now(dt.UTC) - written) < dt.timedelta(minutes=1)
    for value in (output, expected):
        annotations = value["metadata"].get("annotations", {})
        if names.ANNOTATION_RECONCILE_REQUESTED_AT in annotations:
            annotations[names.ANNOTATION_RECONCILE_REQUESTED_AT] = NOW
    assert output == expected


def test_the_layout_is_that_of_argo_cds_repository() -> None:
    for kind in KINDS:
        assert {path.name for path in kind.iterdir()} <= {"health.lua", "health_test.yaml", "testdata", "actions"}
        assert {path.name for path in kind.glob("actions/*/*") if path.suffix == ".lua"} <= {"action.lua"}
    assert KINDS[0].parent.name == names.GROUP
    assert names.ANNOTATION_RECONCILE_REQUESTED_AT in (ARGOCD / "upstream.md").read_text()


def test_config_map_contains_these_scripts() -> None:
    check = [sys.executable, ROOT / "deploy/gitops/generate.py", "--check"]
    result = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    data = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text())["data"]
    actions = yaml.safe_load(data["resource.customizations.actions.defender-devops.io_AzureDevOpsConnector"])
    assert [action["name"] for action in actions["definitions"]] == ["reconcile", "resume", "suspend"]
    health = data["resource.customizations.health.defender-devops.io_DevOpsOrganization"]
    assert health == (KINDS[1] / "health.lua").read_text()
