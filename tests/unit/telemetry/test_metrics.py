from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from defender_devops.api.posture import Category, Coverage, Severity
from defender_devops.telemetry.metric_definitions import METRICS
from defender_devops.telemetry.metrics import Metrics

Series = dict[tuple[str, ...], float]


def _connector(name: str = "contoso", **status: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "kind": "AzureDevOpsConnector",
        "metadata": {"namespace": "security", "name": name},
        "status": {"conditions": [], **status},
    }


def _conditions(**statuses: str) -> list[dict[str, str]]:
    return [{"type": name, "status": status, "reason": "Any"} for name, status in statuses.items()]


async def _series(metrics: Metrics, name: str) -> Series:
    """Samples of one metric by the values of their labels, in the order of the labels' names."""
    text = (await metrics.exposition()).decode()
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"defender_devops_{name}"
    }


async def test_every_metric_that_is_documented_is_there_and_no_other() -> None:
    metrics = Metrics()
    metrics.set_leader_callback(lambda: True)
    text = (await metrics.exposition()).decode()
    exported = set(re.findall(r"^# TYPE (defender_devops_\w+) (\w+)$", text, re.MULTILINE))
    assert exported == {(metric.full_name, metric.type) for metric in METRICS}


async def test_names_follow_the_conventions_of_prometheus() -> None:
    for facts in METRICS:
        assert re.fullmatch(r"[a-z][a-z_]*", facts.name)
        assert facts.name.endswith("_total") == (facts.type == "counter")
        assert facts.type != "histogram" or facts.name.endswith("_seconds")
        assert facts.text.endswith(".")


async def test_the_metrics_that_alerts_and_dashboard_use_exist(pytestconfig: pytest.Config) -> None:
    files = pytestconfig.rootpath / "deploy/helm/defender-devops-operator/files"
    used = set()
    for file in ("alerts.yaml", "dashboard.json"):
        used |= set(re.findall(r"defender_devops_\w+", (files / file).read_text()))
    assert yaml.safe_load((files / "alerts.yaml").read_text())["groups"]
    assert used
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= {facts.full_name for facts in METRICS}


@pytest.mark.parametrize(
    ("result", "label", "exceptions"),
    [("success", "success", {}), ("failure", "error", {}), ("exception", "error", 1.0), ("cancelled", "cancelled", {})],
)
async def test_a_reconcile_is_counted_by_its_result(result: Any, label: str, exceptions: Any) -> None:  # noqa: ANN401
    metrics = Metrics()
    metrics.reconcile_started(0.5)
    metrics.reconcile_finished(("security", "contoso"), result, 2.0)
    assert await _series(metrics, "reconcile_total") == {("AzureDevOpsConnector", label): 1.0}
    assert await _series(metrics, "reconcile_duration_seconds_sum") == {("AzureDevOpsConnector",): 2.0}
    assert await _series(metrics, "queue_wait_seconds_sum") == {(): 0.5}
    expected = {("AzureDevOpsConnector",): exceptions} if exceptions else {}
    assert await _series(metrics, "reconcile_exceptions_total") == expected


async def test_requests_are_counted_by_operation_and_status() -> None:
    metrics = Metrics()
    metrics.azure_request("create connector", 201, 0.3)
    metrics.azure_request("create connector", None, 30.0)
    metrics.azure_devops_request("git", 200, 0.2)
    metrics.azure_devops_request("git", None, 30.0)
    metrics.kubernetes_request("patch", "azuredevopsconnectors/status", "409", 0.01)
    assert await _series(metrics, "azure_requests_total") == {
        ("201", "create connector"): 1.0,
        ("error", "create connector"): 1.0,
    }
    assert await _series(metrics, "azure_devops_requests_total") == {("git", "200"): 1.0, ("git", "error"): 1.0}
    assert await _series(metrics, "azure_devops_request_duration_seconds_sum") == {("git",): 30.2}
    assert await _series(metrics, "kubernetes_requests_total") == {
        ("409", "azuredevopsconnectors/status", "patch"): 1.0
    }


async def test_what_there_is_is_asked_for_at_each_scrape() -> None:
    metrics, depth, leads = Metrics(), {"waiting": 3, "running": 2}, [False]
    metrics.set_queue_callback(lambda: depth)
    metrics.set_leader_callback(lambda: leads[0])
    metrics.set_rate_limiter_callback(lambda: [("t/c", "s", "reads", 200.0)])
    metrics.set_watch_silence_callback(lambda: {"secrets": 12.0})
    metrics.set_watch_failing_callback(lambda: {"secrets team-a": True, "secrets team-b": False})
    assert await _series(metrics, "queue") == {("waiting",): 3.0, ("running",): 2.0}
    assert await _series(metrics, "leader") == {(): 0.0}
    assert await _series(metrics, "azure_budget_requests") == {("reads", "t/c", "s"): 200.0}
    assert await _series(metrics, "watch_silence_seconds") == {("secrets",): 12.0}
    assert await _series(metrics, "watch_failing") == {("secrets team-a",): 1.0, ("secrets team-b",): 0.0}
    depth["waiting"], leads[0] = 0, True
    assert (await _series(metrics, "queue"))["waiting",] == 0.0
    assert await _series(metrics, "leader") == {(): 1.0}


async def test_it_says_which_version_runs() -> None:
    ((version,),) = await _series(Metrics(), "build_info")
    assert re.match(r"\d+\.\d+\.\d+", version)


@pytest.mark.parametrize(("status", "series"), [("True", (1.0, 0.0)), ("False", (0.0, 1.0)), ("Unknown", (0.0, 0.0))])
async def test_a_condition_is_one_for_the_status_that_it_has(status: str, series: tuple[float, float]) -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector(conditions=_conditions(Ready=status)))
    series_of_conditions = await _series(metrics, "resource_condition")
    labels = ("", "AzureDevOpsConnector", "contoso", "security")
    assert series_of_conditions == {(*labels, "True", "Ready"): series[0], (*labels, "False", "Ready"): series[1]}


async def test_of_organizations_only_what_matters_is_shown() -> None:
    metrics = Metrics()
    organization = _connector("fabrikam", conditions=_conditions(Ready="True", Onboarded="True", Stalled="False"))
    spec = {"connectorRef": {"name": "contoso"}}
    metrics.resources.upsert({**organization, "kind": "DevOpsOrganization", "spec": spec})
    series = await _series(metrics, "resource_condition")
    assert {(labels[0], labels[5]) for labels in series} == {("contoso", "Ready"), ("contoso", "Stalled")}
    assert await _series(metrics, "reauth_required") == {}


async def test_a_connector_shows_who_must_act_when_and_how_far_discovery_is() -> None:
    metrics = Metrics()
    metrics.resources.upsert(
        _connector(
            conditions=_conditions(ReauthRequired="True"),
            signIn={"tokenExpiresAt": "1970-01-01T00:01:00Z"},
            discovery={
                "organizations": {"available": 12, "onboarded": 11, "conflicting": 1},
                "projects": {"discovered": 118, "expected": 120},
                "percent": 94,
            },
        )
    )
    assert await _series(metrics, "reauth_required") == {("contoso", "security"): 1.0}
    assert await _series(metrics, "token_expiry_timestamp_seconds") == {("contoso", "security"): 60.0}
    assert await _series(metrics, "organizations") == {
        ("contoso", "security", "available"): 12.0,
        ("contoso", "security", "onboarded"): 11.0,
        ("contoso", "security", "conflicting"): 1.0,
    }
    assert (await _series(metrics, "projects"))["contoso", "security", "expected"] == 120.0
    assert await _series(metrics, "repositories") == {}


@dataclass(frozen=True)
class Findings:
    organization: str
    unhealthy: Mapping[tuple[Severity, Category], int]
    affected_repositories: int = 0
    coverage: Mapping[Category, Coverage] = field(default_factory=dict)


async def test_recommendations_are_shown_by_organization_severity_and_category() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector())
    numbers = {(Severity.HIGH, Category.CODE): 3, (Severity.LOW, Category.CODE): 0}
    coverage = {Category.CODE: Coverage.SCANNED, Category.SECRETS: Coverage.UNKNOWN}
    organizations = [Findings("fabrikam", numbers, 2, coverage), Findings("tailspin", {}, 0, coverage)]
    metrics.resources.set_findings("security", "contoso", organizations)
    assert await _series(metrics, "recommendations") == {
        ("code", "contoso", "security", "fabrikam", "high"): 3.0,
        ("code", "contoso", "security", "fabrikam", "low"): 0.0,
    }
    assert await _series(metrics, "affected_repositories") == {
        ("contoso", "security", "fabrikam"): 2.0,
        ("contoso", "security", "tailspin"): 0.0,
    }
    assert await _series(metrics, "posture_coverage") == {
        ("code", "contoso", "Scanned", "security"): 2.0,
        ("secrets", "contoso", "Unknown", "security"): 2.0,
    }


async def test_any_name_of_an_organization_can_be_parsed() -> None:
    metrics, name = Metrics(), 'a"b\\c\nd'
    metrics.resources.upsert(_connector())
    metrics.resources.set_findings("security", "contoso", [Findings(name, {(Severity.LOW, Category.API): 1}, 1)])
    assert await _series(metrics, "affected_repositories") == {("contoso", "security", name): 1.0}
    assert len(await _series(metrics, "recommendations")) == 1


async def test_recommendations_vanish_with_the_organization_and_with_the_connector() -> None:
    metrics = Metrics()
    numbers = {(Severity.HIGH, Category.CODE): 3}
    metrics.resources.set_findings("security", "contoso", [Findings("a", numbers)])  # the connector is deleted already
    assert await _series(metrics, "recommendations") == {}
    metrics.resources.upsert(_connector())
    metrics.resources.set_findings("security", "contoso", [Findings("a", numbers), Findings("b", numbers)])
    assert len(await _series(metrics, "recommendations")) == 2
    metrics.resources.set_findings("security", "contoso", [Findings("a", numbers)])
    assert len(await _series(metrics, "recommendations")) == 1
    metrics.resources.remove("AzureDevOpsConnector", "security", "contoso")
    assert b"contoso" not in await metrics.exposition()


async def test_equal_recommendations_are_not_rendered_again() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector())
    findings = [Findings("a", {(Severity.HIGH, Category.CODE): 3})]
    metrics.resources.set_findings("security", "contoso", findings)
    version = metrics.resources._version
    metrics.resources.set_findings("security", "contoso", findings)
    assert metrics.resources._version == version


def _organization(name: str = "a", **pipelines: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "kind": "DevOpsOrganization",
        "metadata": {"namespace": "security", "name": f"contoso-{name}"},
        "spec": {"connectorRef": {"name": "contoso"}, "organization": name},
        "status": {"conditions": [], **({"pipelines": pipelines} if pipelines else {})},
    }


STATES = {"ran": 5, "configured": 4, "coveredOtherwise": 3, "undecided": 2, "missing": 1, "notApplicable": 0}


async def test_repositories_are_shown_by_whether_they_are_scanned() -> None:
    metrics = Metrics()
    for body in (_organization("a", repositories=STATES, ranWithoutResults=0), _organization("b", repositories=STATES)):
        metrics.resources.upsert(body)
    series = await _series(metrics, "pipeline_repositories")
    assert series == {
        ("contoso", "security", name, state): float(number) for name in "ab" for state, number in STATES.items()
    }
    # Unknown is not zero.
    assert await _series(metrics, "pipeline_repositories_without_results") == {("contoso", "security", "a"): 0.0}


async def test_repositories_of_any_organization_can_be_parsed() -> None:
    metrics, name = Metrics(), 'a"b\\c\nd'
    metrics.resources.upsert(_organization(name, repositories=STATES))
    assert ("contoso", "security", name, "ran") in await _series(metrics, "pipeline_repositories")


NOT_CHECKED: list[dict[str, Any]] = [{}, {"examples": []}, {"repositories": None}]


@pytest.mark.parametrize("pipelines", NOT_CHECKED)
async def test_an_organization_that_is_not_checked_any_more_has_no_series(pipelines: dict[str, Any]) -> None:
    metrics = Metrics()
    metrics.resources.upsert(_organization(repositories=STATES, ranWithoutResults=3))
    metrics.resources.upsert(_organization(**pipelines))
    assert await _series(metrics, "pipeline_repositories") == {}
    assert await _series(metrics, "pipeline_repositories_without_results") == {}


async def test_the_series_of_repositories_vanish_with_the_organization() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_organization(repositories=STATES))
    metrics.resources.remove("DevOpsOrganization", "security", "contoso-a")
    assert await _series(metrics, "pipeline_repositories") == {}


async def test_the_reason_of_results_that_are_not_available_is_shown() -> None:
    metrics = Metrics()
    denied = {"type": "PostureAvailable", "status": "Unknown", "reason": "QueryDenied"}
    metrics.resources.upsert(_connector(conditions=[denied]))
    assert await _series(metrics, "posture_unavailable") == {("contoso", "security", "QueryDenied"): 1.0}
    metrics.resources.upsert(_connector(conditions=[{**denied, "status": "True", "reason": "ResultsAvailable"}]))
    assert await _series(metrics, "posture_unavailable") == {}


async def test_the_age_of_an_answer_grows_between_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, answered_at = Metrics(), datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    metrics.set_posture_answers_callback(lambda: [(("security", "contoso"), answered_at)])
    for seconds, age in ((90, 90.0), (3600, 3600.0), (-5, 0.0)):
        monkeypatch.setattr("time.time", lambda seconds=seconds: answered_at.timestamp() + seconds)
        assert await _series(metrics, "posture_answer_age_seconds") == {("contoso", "security"): age}


async def test_a_status_that_changes_replaces_its_series() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector(conditions=_conditions(ReauthRequired="True")))
    assert await _series(metrics, "reauth_required") == {("contoso", "security"): 1.0}
    metrics.resources.upsert(_connector(conditions=_conditions(ReauthRequired="False")))
    assert await _series(metrics, "reauth_required") == {("contoso", "security"): 0.0}
    metrics.resources.upsert(_connector(conditions=_conditions(ReauthRequired="Unknown")))
    assert await _series(metrics, "reauth_required") == {}, "unknown is neither yes nor no"


async def test_a_resource_that_is_gone_takes_all_its_series_along() -> None:
    metrics = Metrics()
    metrics.resources.upsert(
        _connector(conditions=_conditions(Ready="True"), signIn={"tokenExpiresAt": "2026-11-24T05:00:00Z"})
    )
    metrics.reconcile_finished(("security", "contoso"), "success", 1.0)
    assert b"contoso" in await metrics.exposition()
    metrics.resources.remove("AzureDevOpsConnector", "security", "contoso")
    metrics.reconcile_finished(("security", "contoso"), "success", 1.0)  # the reconcile that saw it go
    assert b"contoso" not in await metrics.exposition()
    metrics.resources.remove("AzureDevOpsConnector", "security", "contoso")


async def test_the_last_success_is_known_and_failures_do_not_move_it() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector())
    metrics.reconcile_finished(("security", "contoso"), "success", 1.0)
    first = await _series(metrics, "last_success_timestamp_seconds")
    metrics.reconcile_finished(("security", "contoso"), "failure", 1.0)
    assert await _series(metrics, "last_success_timestamp_seconds") == first
    assert first["contoso", "security"] > 1.7e9


async def test_what_has_not_changed_is_not_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector(conditions=_conditions(Ready="True")))
    first = await metrics.resources.render()
    rendered: list[None] = []
    render = metrics.resources._render
    monkeypatch.setattr(metrics.resources, "_render", lambda: (rendered.append(None), render())[1])
    metrics.resources.upsert(_connector(conditions=_conditions(Ready="True")))
    assert await metrics.resources.render() == first
    assert rendered == []
    metrics.resources.upsert(_connector(conditions=_conditions(Ready="False")))
    assert await metrics.resources.render() != first


async def test_a_change_during_a_rendering_is_in_the_next() -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector("a", conditions=_conditions(Ready="True")))
    rendering = asyncio.create_task(metrics.resources.render())
    await asyncio.sleep(0)
    metrics.resources.upsert(_connector("b", conditions=_conditions(Ready="True")))
    await rendering
    assert b'name="b"' in await metrics.exposition()


@pytest.mark.parametrize("moment", [None, "", "soon", "2026-13-45"])
async def test_a_time_that_is_none_shows_nothing(moment: object) -> None:
    metrics = Metrics()
    metrics.resources.upsert(_connector(signIn={"tokenExpiresAt": moment}))
    assert await _series(metrics, "token_expiry_timestamp_seconds") == {}


async def test_a_fresh_resource_has_no_status_yet() -> None:
    metrics = Metrics()
    body = _connector()
    del body["status"]
    metrics.resources.upsert(body)
    assert await _series(metrics, "reauth_required") == {}
