"""The queries about recommendations, run by the simulated Resource Graph on rows of every shape."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from defender_devops.azure.resource_graph.queries import (
    RecommendationFilter,
    category_results_query,
    onboarding_query,
    recommendations_query,
)
from sandbox.cloud.graph.query import Query, parse_query
from sandbox.cloud.graph.tables import TABLES
from tests.unit.azure.fakes import REF

Row = dict[str, Any]
ASSESSMENTS = "/providers/Microsoft.Security/assessments"


def recommendation(
    path: str = "/azureDevOpsOrgs/contoso/projects/Web/repos/shop",
    *,
    key: str = "k1",
    connector: str = REF.id,
    status: str = "Unhealthy",
    **metadata: str,
) -> Row:
    """Return a row of the table; metadata is `severity` and `recommendationCategory`."""
    return {
        **dict.fromkeys(TABLES["securityresources"], ""),
        "id": f"{connector}/devops/default{path}{ASSESSMENTS}/{key}",
        "name": key,
        "type": "microsoft.security/assessments",
        "properties": {
            "displayName": f"Finding {key}",
            "status": {"code": status, "statusChangeDate": "2026-10-01T04:12:00Z"},
            "metadata": metadata,
            "additionalData": {"place": "line 7"},
        },
    }


@cache
def _compiled(query: str) -> Query:
    return parse_query(query, TABLES)


def run(query: str, rows: Iterable[Row]) -> list[Row]:
    """Return the result of a query on these rows."""
    compiled = _compiled(query)
    assert compiled.ordered
    assert "id" in compiled.schema
    return [{name: row[name] for name in compiled.schema} for row in compiled.rows(lambda *_: iter(rows))]


def ids(rows: Iterable[Row]) -> set[str]:
    return {row["id"].rpartition("/")[2] for row in rows}


def test_only_unhealthy_recommendations_below_organizations_are_findings() -> None:
    rows = [
        recommendation(key="finding"),
        recommendation(key="lower") | {"id": recommendation(key="lower")["id"].lower()},
        recommendation("/azureDevOpsOrgs/contoso", key="organization"),
        recommendation("/azureDevOpsOrgs/contoso/projects/Web/serviceConnections/x", key="tail"),
        recommendation(key="healthy", status="Healthy"),
        recommendation(key="irrelevant", status="NotApplicable"),
        recommendation(key="machine") | {"id": f"/subscriptions/s/x/machines/vm{ASSESSMENTS}/machine"},
        recommendation(key="old") | {"type": "microsoft.security/assessments/subassessments"},
        recommendation(key="bare") | {"properties": {"status": {"code": "unhealthy"}}},
    ]
    result = run(recommendations_query(RecommendationFilter()), rows)
    assert ids(result) == {"finding", "lower", "organization", "tail", "bare"}
    assert not any("line 7" in str(row) for row in result)


OTHER = "/subscriptions/S/resourceGroups/g/providers/Microsoft.Security/securityConnectors/other"
SELECTIONS: list[tuple[RecommendationFilter, set[str]]] = [
    (RecommendationFilter(), {"high", "none", "other", "fabrikam", "encoded"}),
    (RecommendationFilter(connectors=frozenset({REF.key})), {"high", "none", "fabrikam", "encoded"}),
    (RecommendationFilter(connectors=frozenset({OTHER.lower()})), {"other"}),
    (RecommendationFilter(organizations=frozenset({"Fabrikam"})), {"fabrikam", "encoded"}),
    (RecommendationFilter(severities=frozenset({"high"})), {"high"}),
    (RecommendationFilter(severities=frozenset({"high", "low"})), {"high", "fabrikam"}),
    (RecommendationFilter(categories=frozenset({"", "unknown"})), {"none", "other", "fabrikam", "encoded"}),
    (RecommendationFilter(categories=frozenset({"exposedsecrets"}), severities=frozenset({"low"})), set()),
]


@pytest.mark.parametrize(("selection", "expected"), SELECTIONS)
def test_a_filter_restricts_the_rows(selection: RecommendationFilter, expected: set[str]) -> None:
    rows = [
        recommendation(key="high", severity="High", recommendationCategory="ExposedSecrets"),
        recommendation(key="none"),
        recommendation(key="other", connector=OTHER),
        recommendation("/azureDevOpsOrgs/FABRIKAM", key="fabrikam", severity="Low", recommendationCategory="Unknown"),
        recommendation("/azureDevOpsOrgs/fabri%6bam", key="encoded"),
    ]
    assert ids(run(recommendations_query(selection), rows)) == expected


HOSTILE = [
    "x') or ('' in ('",
    "x\\') or id contains 'devops' //",
    "x\\",
    "'",
    "\\'",
    "x\n| project id",
    "x' | union (securityresources) //",
    '"; drop',
    "%27%29",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("attribute", ["connectors", "organizations", "severities", "categories"])
def test_a_value_cannot_change_the_query(value: str, attribute: str) -> None:
    rows = [recommendation(severity="High", recommendationCategory="ExposedSecrets")]
    selection = RecommendationFilter(**{attribute: frozenset({value})})
    assert run(recommendations_query(selection), rows) == []
    if attribute in {"connectors", "organizations"}:
        assert run(category_results_query(selection), rows) == []
        assert "line" not in category_results_query(selection)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_name_cannot_change_the_query_for_onboarding_connectors(value: str) -> None:
    row = recommendation() | {
        "id": f"{REF.id}/devops/default/azureDevOpsOrgs/contoso",
        "type": "microsoft.security/securityconnectors/devops/azuredevopsorgs",
        "properties": {"onboardingState": "Onboarded"},
    }
    assert run(onboarding_query([value]), [row]) == []
    assert len(run(onboarding_query(["contoso", value]), [row])) == 1


def test_results_of_any_status_are_counted_by_organization_and_category() -> None:
    rows = [
        recommendation(key="a", recommendationCategory="ExposedSecrets"),
        recommendation(key="b", recommendationCategory="exposedSecrets", status="Healthy"),
        recommendation(key="c", status="NotApplicable"),
        recommendation("/azureDevOpsOrgs/fabrikam", key="d"),
        recommendation("/azureDevOpsOrgs/fabrikam", key="e", connector=OTHER),
    ]
    result = run(category_results_query(RecommendationFilter()), rows)
    assert sorted((row["category"], row["results"]) for row in result) == [
        ("", 1),
        ("", 1),
        ("", 1),
        ("exposedsecrets", 2),
    ]
