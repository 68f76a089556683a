"""Rows of recommendations: no payload of the real service is published, so every shape that may occur is read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.posture import Category, Severity
from defender_devops.azure.resource_graph.recommendations import (
    CategoryResults,
    RecommendationResource,
    parse_category,
    parse_category_results,
    parse_portal_link,
    parse_recommendation,
    parse_resource,
    parse_severity,
)
from tests.unit.azure.fakes import REF

BASE = f"{REF.id}/devops/default"
SUFFIX = "/providers/Microsoft.Security/assessments/4711"


def resource(
    organization: str = "", project: str = "", repository: str = "", *, path: str = ""
) -> RecommendationResource:
    return RecommendationResource(REF.key, organization, project, repository, path)


RESOURCES = [
    ("/azureDevOpsOrgs/contoso/projects/Web/repos/shop", resource("contoso", "Web", "shop")),
    ("/azuredevopsorgs/contoso/projects/web/repos/shop", resource("contoso", "web", "shop")),
    ("/azureDevOpsOrgs/contoso/projects/Web%20Shop/repos/caf%C3%A9", resource("contoso", "Web Shop", "café")),
    ("/azureDevOpsOrgs/contoso/projects/Web Shop/repos/a.b", resource("contoso", "Web Shop", "a.b")),
    ("/azureDevOpsOrgs/contoso/projects/Web/repos/a%2Fb", resource("contoso", "Web", "a/b")),
    ("/azureDevOpsOrgs/contoso/projects/Web/repos/100%", resource("contoso", "Web", "100%")),
    ("/azureDevOpsOrgs/contoso/projects/Web", resource("contoso", "Web")),
    ("/azureDevOpsOrgs/contoso", resource("contoso")),
    ("", resource()),
    (
        "/azureDevOpsOrgs/contoso/projects/Web/serviceConnections/prod",
        resource("contoso", "Web", path="serviceConnections/prod"),
    ),
    (
        "/azureDevOpsOrgs/contoso/projects/Web/repos/shop/branches/main",
        resource("contoso", "Web", "shop", path="branches/main"),
    ),
    ("/azureDevOpsOrgs/contoso/repos/shop", resource("contoso", path="repos/shop")),
    ("/azureDevOpsOrgs/contoso/projects", resource("contoso", path="projects")),
    ("/gitHubOwners/octo/repos/cat", resource(path="gitHubOwners/octo/repos/cat")),
]


@pytest.mark.parametrize(("path", "expected"), RESOURCES)
def test_the_id_names_the_resource(path: str, expected: RecommendationResource) -> None:
    assert parse_resource(f"{BASE}{path}{SUFFIX}") == expected
    lower = parse_resource(f"{BASE}{path}{SUFFIX}".lower())
    assert lower.connector == expected.connector
    assert lower.repository == expected.repository.lower()


@pytest.mark.parametrize("identifier", ["", "x", "/subscriptions/s", SUFFIX, f"{REF.id}{SUFFIX}"])
def test_an_id_of_another_form_names_no_organization(identifier: str) -> None:
    assert parse_resource(identifier).organization == ""


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/%"), min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES, st.booleans())
def test_names_survive_either_spelling_of_an_id(
    organization: str, project: str, repository: str, encoded: bool
) -> None:
    write = quote if encoded else str
    path = f"/azureDevOpsOrgs/{write(organization)}/projects/{write(project)}/repos/{write(repository)}"
    assert parse_resource(f"{BASE}{path}{SUFFIX}") == resource(organization, project, repository)


def row(**columns: object) -> dict[str, Any]:
    """Return a row of `recommendations_query`, complete but for what the arguments change."""
    return {
        "id": f"{BASE}/azureDevOpsOrgs/contoso/projects/Web/repos/shop{SUFFIX}",
        "displayName": "Exposed secret",
        "severity": "critical",
        "category": "exposedsecrets",
        "statusChangeDate": "2026-10-01T04:12:00.1234567Z",
        "firstEvaluationDate": "2026-09-01T00:00:00Z",
        "link": "portal.azure.com/#blade/Microsoft_Azure_Security/x",
        **columns,
    }


def test_a_complete_row_is_parsed() -> None:
    finding = parse_recommendation(row())
    assert finding.resource == resource("contoso", "Web", "shop")
    assert (finding.name, finding.severity, finding.category) == ("Exposed secret", Severity.CRITICAL, Category.SECRETS)
    assert finding.since == datetime(2026, 10, 1, 4, 12, 0, 123456, tzinfo=UTC)
    assert finding.portal_link == "https://portal.azure.com/#blade/Microsoft_Azure_Security/x"


TIMES = [
    ({"statusChangeDate": ""}, datetime(2026, 9, 1, tzinfo=UTC)),
    ({"statusChangeDate": None, "firstEvaluationDate": "2026-09-01T00:00:00"}, datetime(2026, 9, 1, tzinfo=UTC)),
    ({"statusChangeDate": "yesterday"}, datetime(2026, 9, 1, tzinfo=UTC)),
    ({"statusChangeDate": "2026-10-01T02:00:00+02:00"}, datetime(2026, 10, 1, tzinfo=UTC)),
    ({"statusChangeDate": "", "firstEvaluationDate": ""}, None),
    ({"statusChangeDate": 5, "firstEvaluationDate": {}}, None),
]


@pytest.mark.parametrize(("columns", "since"), TIMES)
def test_it_exists_since_its_last_change_or_its_first_evaluation(
    columns: dict[str, object], since: datetime | None
) -> None:
    assert parse_recommendation(row(**columns)).since == since


def test_without_a_display_name_the_key_is_shown() -> None:
    assert parse_recommendation(row(displayName="")).name == "4711"


SEVERITIES = [
    ("Critical", Severity.CRITICAL),
    ("HIGH", Severity.HIGH),
    (" medium ", Severity.MEDIUM),
    ("low", Severity.LOW),
    ("Informational", Severity.OTHER),
    ("", Severity.OTHER),
    (None, Severity.OTHER),
    (3, Severity.OTHER),
]


@pytest.mark.parametrize(("value", "expected"), SEVERITIES)
def test_a_severity_that_is_missing_or_unknown_is_other(value: object, expected: Severity) -> None:
    assert parse_severity(value) is expected


CATEGORIES = [
    ("ExposedSecrets", Category.SECRETS),
    ("codevulnerabilities", Category.CODE),
    ("SoftwareUpdate", Category.DEPENDENCIES),
    ("IacVulnerabilities", Category.INFRASTRUCTURE_AS_CODE),
    ("ApiVulnerabilities", Category.API),
    ("Unknown", Category.CONFIGURATION),
    ("", Category.CONFIGURATION),
    (None, Category.CONFIGURATION),
    ("QuantumVulnerabilities", Category.OTHER),
]


@pytest.mark.parametrize(("value", "expected"), CATEGORIES)
def test_a_missing_category_is_configuration_and_an_unknown_one_other(value: object, expected: Category) -> None:
    assert parse_category(value) is expected


LINKS = [
    ("portal.azure.com/#blade/x", "https://portal.azure.com/#blade/x"),
    ("https://portal.azure.com/#view/a%2fb", "https://portal.azure.com/#view/a%2fb"),
    ("https://ms.portal.azure.com/?a=b#c", "https://ms.portal.azure.com/?a=b#c"),
    ("PORTAL.AZURE.COM/#x", "https://PORTAL.AZURE.COM/#x"),
    ("portal.azure.com/#x?back=https://evil.example", "https://portal.azure.com/#x?back=https://evil.example"),
    ("portal.azure.com/#a b\x1b]8;;c", "https://portal.azure.com/#a%20b%1B]8;;c"),
    ("http://portal.azure.com/", None),
    ("https://evil.example/portal.azure.com", None),
    ("https://portal.azure.com.evil.example/", None),
    ("https://evilportal.azure.com/", None),
    ("https://portal.azure.com@evil.example/", None),
    ("https://portal.azure.com:password@evil.example/", None),
    ("https://evil.example\\.portal.azure.com/", None),
    ("https://evil.example#.portal.azure.com/", None),
    ("javascript:alert(1)//portal.azure.com", None),
    ("https://[portal.azure.com/", None),
    ("//portal.azure.com/x", "https://portal.azure.com/x"),
    ("", None),
    (None, None),
    ({"a": 1}, None),
]


@pytest.mark.parametrize(("value", "expected"), LINKS)
def test_only_the_portal_is_linked(value: object, expected: str | None) -> None:
    assert parse_portal_link(value) == expected


@given(st.text())
def test_a_link_has_the_host_of_the_portal_and_no_control_character(value: str) -> None:
    for text in (value, f"portal.azure.com/{value}", f"https://portal.azure.com{value}"):
        link = parse_portal_link(text)
        if link is not None:
            host = urlsplit(link).hostname or ""
            assert host == "portal.azure.com" or host.endswith(".portal.azure.com")
            assert link.isascii()
            assert link.isprintable()
            assert " " not in link


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
COLUMNS = ("id", "displayName", "severity", "category", "statusChangeDate", "firstEvaluationDate", "link", "results")


@given(st.dictionaries(st.sampled_from(COLUMNS), JSON))
def test_any_row_is_read(columns: dict[str, Any]) -> None:
    finding = parse_recommendation(columns)
    assert finding.severity in Severity
    assert finding.category in Category
    assert finding.since is None or finding.since.tzinfo is not None
    assert isinstance(parse_category_results(columns).results, int)


def test_results_of_a_category_are_parsed() -> None:
    columns = row(category="softwareupdate", results=7)
    assert parse_category_results(columns) == CategoryResults(REF.key, "contoso", Category.DEPENDENCIES, 7)
