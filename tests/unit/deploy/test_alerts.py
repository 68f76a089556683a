"""Every alert, evaluated by promtool: when it fires, stays silent and resolves, and that one cause alerts once."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.chart.helm import CHART

ALERTS_FILE = CHART / "files/alerts.yaml"
ALERTS = [rule["alert"] for group in yaml.safe_load(ALERTS_FILE.read_text())["groups"] for rule in group["rules"]]
PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: the package prometheus; .ci/run installs it)"
)

Series = dict[str, str]
CONNECTOR = {"namespace": "security", "name": "contoso"}
FINDING = {"namespace": "security", "connector": "contoso"}
LEADER = {'defender_devops_leader{job="operator", pod="a"}': "1x3000"}
"""An operator that works: without it DefenderDevOpsNoLeader fires in every scenario."""


def samples(*phases: tuple[float, int]) -> str:
    """Values of a series at one sample a minute: (value, minutes) for each phase."""
    return " ".join(f"{value}x{minutes - 1}" for value, minutes in phases)


def condition(type_: str, *phases: tuple[str, int], kind: str = "AzureDevOpsConnector", **labels: str) -> Series:
    """The two series of a condition whose status changes: (status, minutes) for each phase."""
    resource = {"kind": kind, **CONNECTOR, "connector": "", **labels}
    return {
        series("resource_condition", **resource, type=type_, status=value): samples(
            *((float(status == value), minutes) for status, minutes in phases)
        )
        for value in ("True", "False")
    }


def organization(name: str, *phases: tuple[str, int]) -> Series:
    """An organization of the connector that is stalled in some phases."""
    return condition("Stalled", *phases, kind="DevOpsOrganization", name=name, connector="contoso")


def series(metric: str, **labels: str) -> str:
    pairs = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    return f"defender_devops_{metric}{{{pairs}}}"


def reauth(*phases: tuple[float, int]) -> Series:
    return {series("reauth_required", **CONNECTOR): samples(*phases)}


def posture(*phases: tuple[str, int]) -> Series:
    """Reasons for which results are not available: (reason, or empty while they are, minutes) for each phase."""
    result, start = {}, 0
    for reason, minutes in phases:
        if reason:
            gap = f"_x{start} " if start else ""
            result[series("posture_unavailable", **FINDING, reason=reason)] = f"{gap}1x{minutes - 1} stale"
        start += minutes
    return result


def counter(metric: str, increases: tuple[tuple[int, int], ...], **labels: str) -> Series:
    """A counter that grows by a number a minute: (increase, minutes) for each phase."""
    value, values = 0, []
    for increase, minutes in increases:
        for _ in range(minutes):
            value += increase
            values.append(str(value))
    return {series(metric, **labels): " ".join(values)}


@dataclass(frozen=True)
class Scenario:
    """Series, and the alerts that fire at some minutes.

    Attributes:
        series: by their names.
        firing: alert and value of `name` or `kind` by minute.
    """

    series: Series
    firing: dict[int, set[tuple[str, str]]] = field(default_factory=dict)


def firing(alert: str, name: str = "contoso") -> set[tuple[str, str]]:
    return {(f"DefenderDevOps{alert}", name)}


OUTAGE = ((10, 90), (0, 60))
SUCCESS = ((1, 150),)

SCENARIOS: dict[str, Scenario] = {
    "a lost authorization alerts after five minutes and resolves with it": Scenario(
        reauth((0, 10), (1, 30), (0, 30)),
        {9: set(), 14: set(), 16: firing("ReauthRequired"), 39: firing("ReauthRequired"), 41: set()},
    ),
    "a short interruption does not alert": Scenario(
        reauth((0, 10), (1, 4), (0, 30)), {12: set(), 16: set(), 30: set()}
    ),
    "one lost account alerts once for its connector, not for its organizations and consequences": Scenario(
        {
            **reauth((0, 10), (1, 1600)),
            **condition("Ready", ("True", 10), ("False", 1600)),
            **condition("Stalled", ("False", 10), ("True", 1600)),
            **condition("OrganizationsAvailable", ("True", 10), ("False", 1600)),
            **condition("PrerequisitesMet", ("True", 10), ("False", 1600)),
            **condition("Discovered", ("True", 10), ("False", 1600)),
            **organization("contoso-a", ("False", 10), ("True", 1600)),
            **organization("contoso-b", ("False", 10), ("True", 1600)),
        },
        {5: set(), 30: firing("ReauthRequired"), 120: firing("ReauthRequired"), 1600: firing("ReauthRequired")},
    ),
    "no replica leads": Scenario(
        {
            'defender_devops_leader{job="operator", pod="a"}': "1x9 0x30 1x30",
            'defender_devops_leader{job="operator", pod="b"}': "0x70",
        },
        {9: set(), 14: set(), 16: firing("NoLeader", ""), 41: set()},
    ),
    "all replicas are gone": Scenario(
        {'defender_devops_leader{job="operator", pod="a"}': "1x9 _x30 1x30"},
        {9: set(), 22: firing("NoLeader", ""), 45: set()},
    ),
    "one of two operators has no leader": Scenario(
        {'defender_devops_leader{job="one"}': "1x60", 'defender_devops_leader{job="two"}': "0x60"},
        {10: firing("NoLeader", "")},
    ),
    "two releases watch the same connectors until one is limited to other namespaces": Scenario(
        {series("connectors_managed_elsewhere", operator="one/operator", pod="a"): samples((0, 5), (3, 40), (0, 30))},
        {4: set(), 18: set(), 21: firing("ManagedElsewhere", ""), 46: set()},
    ),
    "a stalled connector alerts once with its organizations": Scenario(
        {
            **condition("Stalled", ("True", 40), ("False", 30)),
            **organization("contoso-a", ("True", 40), ("False", 30)),
            **organization("contoso-b", ("True", 40), ("False", 30)),
        },
        {14: set(), 16: firing("Stalled"), 39: firing("Stalled"), 41: set()},
    ),
    "stalled organizations of a ready connector alert once": Scenario(
        {
            **condition("Stalled", ("False", 70)),
            **condition("Ready", ("True", 70)),
            **organization("contoso-a", ("True", 40), ("False", 30)),
            **organization("contoso-b", ("False", 5), ("True", 35), ("False", 30)),
        },
        {14: set(), 16: firing("Stalled"), 39: firing("Stalled"), 41: set()},
    ),
    "a connector that is neither ready nor stalled alerts after an hour": Scenario(
        condition("Ready", ("False", 90), ("True", 60)), {59: set(), 61: firing("NotReady"), 91: set()}
    ),
    "a stalled connector is not reported as not ready": Scenario(
        {**condition("Ready", ("False", 150)), **condition("Stalled", ("True", 150))}, {120: firing("Stalled")}
    ),
    "a ready connector does not alert": Scenario(
        {
            **condition("Ready", ("True", 1600)),
            **condition("Stalled", ("Unknown", 1600)),
            **condition("OrganizationsAvailable", ("True", 1600)),
            **condition("PrerequisitesMet", ("True", 1600)),
            **condition("Discovered", ("True", 1600)),
            **organization("contoso-a", ("False", 1600)),
            **reauth((0, 1600)),
        },
        {30: set(), 150: set(), 1600: set()},
    ),
    "an organization that is onboarded elsewhere alerts once": Scenario(
        {
            **condition("OrganizationsAvailable", ("False", 60), ("True", 30)),
            **condition("Ready", ("False", 60), ("True", 30)),
            **organization("contoso-a", ("True", 60), ("False", 30)),
        },
        {29: set(), 31: firing("OrganizationsUnavailable"), 61: set()},
    ),
    "an unavailable organization that stalls its connector alerts once": Scenario(
        {
            **condition("OrganizationsAvailable", ("False", 60)),
            **condition("Stalled", ("True", 60)),
            **organization("contoso-a", ("True", 60)),
        },
        {50: firing("Stalled")},
    ),
    "a prerequisite that is not met alerts after two hours": Scenario(
        condition("PrerequisitesMet", ("False", 150), ("Unknown", 30)),
        {119: set(), 121: firing("PrerequisitesNotMet"), 151: set()},
    ),
    "a discovery that takes more than a day alerts": Scenario(
        condition("Discovered", ("False", 1500), ("True", 30)),
        {1435: set(), 1445: firing("DiscoverySlow"), 1510: set()},
    ),
    "a sign-in that expires in two weeks alerts until it is renewed": Scenario(
        {series("token_expiry_timestamp_seconds", **CONNECTOR): samples((13 * 86400, 90), (90 * 86400, 60))},
        {59: set(), 61: firing("SignInExpiresSoon"), 91: set()},
    ),
    "a sign-in that is lost does not expire": Scenario(
        {series("token_expiry_timestamp_seconds", **CONNECTOR): samples((0, 90)), **reauth((1, 90))},
        {80: firing("ReauthRequired")},
    ),
    "results of Defender that are missing alert after six hours": Scenario(
        posture(("ResultsMissing", 420), ("", 60)),
        {355: set(), 365: firing("PostureResultsMissing"), 419: firing("PostureResultsMissing"), 425: set()},
    ),
    "a refused query alerts, whatever was known before": Scenario(
        posture(("NoResultsYet", 100), ("QueryDenied", 400), ("", 60)),
        {100: set(), 455: set(), 465: firing("PostureResultsMissing"), 505: set()},
    ),
    "results that need time, or are not read, do not alert": Scenario(
        posture(("NoResultsYet", 1440), ("Disabled", 1440)), {400: set(), 1400: set(), 2800: set()}
    ),
    "results that are missing because of a lost account do not alert": Scenario(
        {**posture(("StaleResults", 600)), **reauth((1, 600))}, {500: firing("ReauthRequired")}
    ),
    "critical recommendations alert once for each connector until they are closed": Scenario(
        {
            series("recommendations", **FINDING, organization="a", severity="critical", category="code"): samples(
                (0, 10), (2, 50), (0, 30)
            ),
            series("recommendations", **FINDING, organization="b", severity="critical", category="secrets"): samples(
                (1, 40), (0, 50)
            ),
            series("recommendations", **FINDING, organization="b", severity="high", category="code"): samples((5, 90)),
        },
        {14: set(), 16: firing("CriticalRecommendations"), 59: firing("CriticalRecommendations"), 61: set()},
    ),
    "other recommendations do not alert": Scenario(
        {series("recommendations", **FINDING, organization="a", severity="high", category="code"): samples((5, 90))},
        {60: set()},
    ),
    "repositories that nothing scans alert once for each connector until something does": Scenario(
        {
            series("pipeline_repositories", **FINDING, organization="a", state="missing"): samples((0, 30), (2, 120)),
            series("pipeline_repositories", **FINDING, organization="b", state="missing"): samples((1, 100), (0, 50)),
        },
        {59: set(), 61: firing("RepositoriesNotScanned"), 149: firing("RepositoriesNotScanned")},
    ),
    "repositories that nothing scans do not alert once something does": Scenario(
        {series("pipeline_repositories", **FINDING, organization="a", state="missing"): samples((3, 90), (0, 60))},
        {59: set(), 61: firing("RepositoriesNotScanned"), 91: set()},
    ),
    "repositories in other states do not alert": Scenario(
        {
            series("pipeline_repositories", **FINDING, organization="a", state=state): samples((5, 90))
            for state in ("ran", "configured", "coveredOtherwise", "undecided", "notApplicable")
        },
        {80: set()},
    ),
    "reconciles fail": Scenario(
        {
            **counter("reconcile_total", OUTAGE, kind="AzureDevOpsConnector", result="error"),
            **counter("reconcile_total", SUCCESS, kind="AzureDevOpsConnector", result="success"),
        },
        {29: set(), 40: firing("ReconcileFailing", ""), 89: firing("ReconcileFailing", ""), 110: set()},
    ),
    "some reconciles fail": Scenario(
        {
            **counter("reconcile_total", ((1, 150),), kind="AzureDevOpsConnector", result="error"),
            **counter("reconcile_total", ((2, 150),), kind="AzureDevOpsConnector", result="success"),
        },
        {60: set(), 140: set()},
    ),
    "Azure throttles": Scenario(
        {
            **counter("azure_requests_total", OUTAGE, operation="get", code="429"),
            **counter("azure_requests_total", SUCCESS, operation="get", code="200"),
        },
        {29: set(), 40: firing("Throttled", ""), 125: set()},
    ),
    "Azure has an outage": Scenario(
        {
            **counter("azure_requests_total", OUTAGE, operation="get", code="503"),
            **counter("azure_requests_total", OUTAGE, operation="put", code="error"),
            **counter("azure_requests_total", SUCCESS, operation="get", code="200"),
        },
        {29: set(), 40: firing("AzureErrors", ""), 110: set()},
    ),
    "Azure refuses requests for other causes": Scenario(
        {
            **counter("azure_requests_total", OUTAGE, operation="get", code="403"),
            **counter("azure_requests_total", ((100, 150),), operation="get", code="200"),
        },
        {60: set()},
    ),
}


def promtool(tmp_path: Path, test: dict[str, Any], interval: str = "1m") -> None:
    """Run a test group with the rules evaluated at an interval; fail with promtool's report."""
    assert PROMTOOL is not None
    shutil.copy(ALERTS_FILE, tmp_path / "alerts.yaml")
    suite = {"rule_files": ["alerts.yaml"], "evaluation_interval": interval, "tests": [test]}
    (tmp_path / "tests.yaml").write_text(json.dumps(suite))
    run = subprocess.run(
        [PROMTOOL, "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def input_series(values: Series) -> list[dict[str, str]]:
    return [{"series": name, "values": text} for name, text in values.items()]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_the_alerts_that_fire(tmp_path: Path, scenario: Scenario) -> None:
    leads = any("leader" in name for name in scenario.series)
    expected = [
        {
            "eval_time": f"{minute}m",
            "expr": 'count by (alertname, name) (ALERTS{alertstate="firing"})',
            "exp_samples": [
                {
                    "labels": f'{{alertname="{alert}", name="{name}"}}' if name else f'{{alertname="{alert}"}}',
                    "value": 1,
                }
                for alert, name in sorted(alerts)
            ],
        }
        for minute, alerts in scenario.firing.items()
    ]
    inputs = input_series({**({} if leads else LEADER), **scenario.series})
    interval = "5m" if max(scenario.firing) > 1000 else "1m"  # a day of evaluations takes seconds
    promtool(tmp_path, {"interval": "1m", "input_series": inputs, "promql_expr_test": expected}, interval)


def test_every_alert_fires_stays_silent_and_resolves_in_a_scenario() -> None:
    for alert in ALERTS:
        states = [
            [alert in {name for name, _ in alerts} for _, alerts in sorted(scenario.firing.items())]
            for scenario in SCENARIOS.values()
        ]
        assert any(re.search("False.*True.*False", str(state)) for state in states), alert


@pytest.mark.parametrize(
    ("values", "kind", "subject"),
    [
        (condition("Stalled", ("True", 60)), "AzureDevOpsConnector", "Connector"),
        (organization("contoso-a", ("True", 60)), "DevOpsOrganization", "Organizations of connector"),
    ],
)
def test_the_summary_names_the_connector(tmp_path: Path, values: Series, kind: str, subject: str) -> None:
    labels = {"severity": "warning", "kind": kind, **CONNECTOR}
    annotations = {
        "summary": f"{subject} security/contoso cannot continue without action by a person",
        "description": "The message of the condition Stalled says why, and what to do.",
    }
    if kind == "DevOpsOrganization":
        labels["connector"] = "contoso"
    alert = {
        "eval_time": "30m",
        "alertname": "DefenderDevOpsStalled",
        "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}],
    }
    promtool(tmp_path, {"interval": "1m", "input_series": input_series(values), "alert_rule_test": [alert]})
