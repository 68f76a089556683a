"""Alerts, their runbooks and the dashboard."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.support.chart.helm import CHART, ROOT, render

ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
RUNBOOKS = (ROOT / "docs/alerts.md").read_text()
VALUES = ROOT / "tests/data/chart/values/monitored.yaml"

every_alert = pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])


def rendered_rules() -> list[dict[str, Any]]:
    rule = next(m for m in render("--values", VALUES) if m["kind"] == "PrometheusRule")
    return [rule for group in rule["spec"]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard: dict[str, list[dict[str, Any]]] = json.loads((CHART / "files/dashboard.json").read_text())
    return dashboard["panels"]


@every_alert
def test_an_alert_has_summary_description_severity_and_duration(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"].keys() == {"summary", "description"}
    assert re.fullmatch(r"\d+[mh]", alert["for"])


@every_alert
def test_an_alert_has_a_runbook_with_its_severity(alert: dict[str, Any]) -> None:
    section = re.search(rf"^## {alert['alert']}\n\n\*\*(\w+)\.\*\*", RUNBOOKS, re.MULTILINE)
    assert section is not None
    assert section[1].lower() == alert["labels"]["severity"]


def test_every_runbook_belongs_to_an_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == [alert["alert"] for alert in ALERTS]


def test_rendered_alerts_are_those_of_the_file_with_runbook_and_labels_without_the_disabled_one() -> None:
    rules = {rule["alert"]: rule for rule in rendered_rules() if "alert" in rule}
    assert rules.keys() == {alert["alert"] for alert in ALERTS} - {"DefenderDevOpsThrottled"}
    for alert in ALERTS:
        if alert["alert"] in rules:
            rule = rules[alert["alert"]]
            url = f"https://docs.contoso.com/defender-devops/alerts/#{alert['alert'].lower()}"
            assert rule["annotations"] == {**alert["annotations"], "runbook_url": url}
            assert rule["labels"] == {**alert["labels"], "team": "platform"}
            assert (rule["expr"], rule["for"]) == (alert["expr"], alert["for"])


OPTIONAL_ALERTS = {
    "criticalRecommendations": "DefenderDevOpsCriticalRecommendations",
    "repositoriesNotScanned": "DefenderDevOpsRepositoriesNotScanned",
}


@pytest.mark.parametrize("value", OPTIONAL_ALERTS)
def test_optional_alerts_exist_only_where_they_are_enabled(value: str) -> None:
    arguments = ["--values", VALUES, "--set", f"metrics.prometheusRule.{value}=false"]
    rule = next(m for m in render(*arguments) if m["kind"] == "PrometheusRule")
    rendered = {rule["alert"] for rule in rule["spec"]["groups"][0]["rules"]}
    assert rendered == {alert["alert"] for alert in ALERTS} - {"DefenderDevOpsThrottled", OPTIONAL_ALERTS[value]}
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert defaults["metrics"]["prometheusRule"][value] is False


def test_extra_groups_are_appended() -> None:
    assert rendered_rules()[-1]["record"] == "contoso:connectors"


def test_severity_can_be_overridden_for_all() -> None:
    arguments = ["--values", VALUES, "--set", "metrics.prometheusRule.alertLabels.severity=page"]
    rule = next(m for m in render(*arguments) if m["kind"] == "PrometheusRule")
    assert {r["labels"]["severity"] for r in rule["spec"]["groups"][0]["rules"]} == {"page"}


def test_the_dashboard_is_included_unchanged() -> None:
    dashboard = next(m for m in render("--values", VALUES) if m["metadata"]["name"].endswith("-dashboard"))
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["defender-devops-operator.json"])["panels"] == panels()


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    occupied: dict[tuple[int, int], str] = {}
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        grid = panel["gridPos"]
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in occupied, panel["title"]
                occupied[x, y] = panel["title"]
        assert grid["x"] + grid["w"] <= 24


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_has_a_description_a_unit_and_the_filters(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        selectors = re.findall(r"(?:defender_devops|process)_\w+(\{[^}]*\})?", target["expr"])
        assert selectors
        assert all('job=~"$job", instance=~"$instance"' in selector for selector in selectors), target["expr"]


def test_the_dashboard_has_variables_for_its_filters() -> None:
    variables = json.loads((CHART / "files/dashboard.json").read_text())["templating"]["list"]
    assert [variable["name"] for variable in variables] == ["datasource", "job", "instance", "namespace"]
