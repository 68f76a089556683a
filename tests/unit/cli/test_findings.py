"""`findings`: what is selected, read, printed and noted. Azure is the simulated Resource Graph's language on rows."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.connector import parse_connector
from defender_devops.api.posture import Category, Coverage, Severity
from defender_devops.azure.resource_graph.recommendations import (
    CategoryResults,
    Recommendation,
    RecommendationResource,
)
from defender_devops.cli.display.view import connector_views
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.findings.azure_findings import ConnectorFindings, read_findings
from defender_devops.cli.findings.notes import absent_organizations, all_notes, summary
from defender_devops.cli.findings.render import document, print_findings
from defender_devops.cli.findings.selection import FindingsFilter, SelectedConnector, select_connector
from defender_devops.cli.output import ListFormat, csv_cell
from defender_devops.cluster.kubernetes_yaml import load_yaml
from defender_devops.errors import AzureUnavailable, Forbidden
from tests.support.manifests import connector as manifest
from tests.unit.azure.fakes import REF, FakeAzure, answer, arm_error, azure_with
from tests.unit.azure.resource_graph.test_queries import OTHER, recommendation, run
from tests.unit.cli import bodies

KEY = "security/contoso"
SELECTED = SelectedConnector(KEY, REF, "tenant", ("contoso", "fabrikam"), ("contoso", "fabrikam"))
EVERYTHING = FindingsFilter()
Row = dict[str, Any]


def azure_of(rows: list[Row], connector: httpx.Response | None = None) -> FakeAzure:
    """Return an Azure with these recommendations; `connector` is the response to the read of a connector."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return connector or arm_error(404, "ResourceNotFound")
        data = run(json.loads(request.content)["query"], rows)
        return answer(200, {"data": data, "totalRecords": len(data), "resultTruncated": "false"})

    return azure_with(respond)


async def read(
    rows: list[Row], selection: FindingsFilter = EVERYTHING, connector: httpx.Response | None = None
) -> ConnectorFindings:
    (result,) = await read_findings(azure_of(rows, connector).arm, [SELECTED], selection)
    return result


ROWS = [
    recommendation(key="1", severity="Low"),
    recommendation(key="2", severity="Critical", recommendationCategory="ExposedSecrets"),
    recommendation("/azureDevOpsOrgs/Fabrikam/projects/A%20B/repos/x", key="3", severity="High"),
    recommendation("/azureDevOpsOrgs/fabrikam", key="4", severity="Odd", recommendationCategory="Quantum"),
    recommendation(key="5", status="Healthy", recommendationCategory="CodeVulnerabilities"),
    recommendation(key="6", connector=OTHER, severity="Critical"),
]


async def test_the_most_severe_findings_come_first() -> None:
    result = await read(ROWS)
    assert [finding.id.rpartition("/")[2] for finding in result.findings] == ["2", "3", "1", "4"]
    assert result.results_total == 5
    assert not result.has_no_results


FILTERS = [
    (FindingsFilter(severities=frozenset({Severity.CRITICAL})), "2"),
    (FindingsFilter(severities=frozenset({Severity.CRITICAL, Severity.LOW})), "21"),
    (FindingsFilter(severities=frozenset({Severity.OTHER})), "4"),
    (FindingsFilter(categories=frozenset({Category.SECRETS})), "2"),
    (FindingsFilter(categories=frozenset({Category.CONFIGURATION})), "31"),
    (FindingsFilter(categories=frozenset({Category.OTHER})), "4"),
    (FindingsFilter(categories=frozenset({Category.CODE})), ""),
    (FindingsFilter(organizations=frozenset({"fabrikam"})), "34"),
    (FindingsFilter(frozenset({"contoso"}), frozenset({Severity.LOW}), frozenset({Category.CONFIGURATION})), "1"),
]


@pytest.mark.parametrize(("selection", "keys"), FILTERS)
async def test_filters_select_findings(selection: FindingsFilter, keys: str) -> None:
    result = await read(ROWS, selection)
    assert "".join(finding.id.rpartition("/")[2] for finding in result.findings) == keys


SEVERITIES = st.sampled_from(["", "Critical", "High", "Medium", "Low", "Odd"])
CATEGORIES = st.sampled_from(["", "Unknown", "ExposedSecrets", "SoftwareUpdate", "Quantum"])
PATHS = st.sampled_from(["", "/projects/Web", "/projects/Web/repos/shop", "/projects/Web/pipelines/7"])
ORGANIZATIONS = st.sampled_from(["contoso", "Contoso", "fabrikam", "fabri%6Bam"])


@given(st.lists(st.tuples(ORGANIZATIONS, PATHS, SEVERITIES, CATEGORIES), max_size=12))
async def test_the_filters_divide_all_findings(places: list[tuple[str, str, str, str]]) -> None:
    rows = [
        recommendation(f"/azureDevOpsOrgs/{name}{path}", key=str(index), severity=severity, recommendationCategory=kind)
        for index, (name, path, severity, kind) in enumerate(places)
    ]
    everything = {finding.id for finding in (await read(rows, connector=answer(200, CONNECTOR))).findings}
    assert len(everything) == len(rows)
    divisions = (
        [FindingsFilter(severities=frozenset({severity})) for severity in Severity],
        [FindingsFilter(categories=frozenset({category})) for category in Category],
        [FindingsFilter(organizations=frozenset({name})) for name in ("contoso", "fabrikam")],
    )
    for selections in divisions:
        results = [await read(rows, selection, connector=answer(200, CONNECTOR)) for selection in selections]
        assert sorted(finding.id for item in results for finding in item.findings) == sorted(everything)


CONNECTOR = {"id": REF.id, "name": REF.name, "location": "westeurope", "properties": {"environmentName": "AzureDevOps"}}


async def test_a_readable_connector_without_results_has_no_results_yet() -> None:
    result = await read([], connector=answer(200, CONNECTOR))
    assert result.failure is None
    assert result.has_no_results
    (note,) = all_notes([result], EVERYTHING)
    assert note.startswith(f"{KEY}: Defender for Cloud has no results yet, which does not mean that there are no ")
    assert summary([result]) == "No results, so there may be findings."


async def test_a_connector_that_is_hidden_from_the_caller_is_reported() -> None:
    result = await read([])
    assert result.failure is not None
    assert result.failure.exit_code == ExitCode.AZURE
    assert "you may not read it" in result.failure.message
    denied = await read([], connector=arm_error(403, "AuthorizationFailed", "The client does not have authorization"))
    assert denied.failure is not None
    assert denied.failure.exit_code == ExitCode.AZURE


async def test_a_connector_without_the_selected_organizations_is_not_asked_for() -> None:
    elsewhere = replace(SELECTED, onboarded=())
    azure = azure_of([], arm_error(403, "AuthorizationFailed"))
    (result,) = await read_findings(azure.arm, [elsewhere], FindingsFilter(organizations=frozenset({"tailspin"})))
    assert not result.is_relevant
    assert result.failure is None, "whether the caller may read it does not matter"
    (result,) = await read_findings(azure.arm, [replace(SELECTED, onboarded=("tailspin",))], EVERYTHING)
    assert result.is_relevant
    assert result.failure is not None


def test_selected_organizations_that_nobody_has_onboarded_are_absent() -> None:
    item = results(finding())
    assert absent_organizations([item], ["CONTOSO", "tailspin"]) == ["tailspin"]
    onboarded = replace(item, connector=replace(SELECTED, onboarded=("Tailspin",)))
    assert absent_organizations([onboarded], ["contoso", "tailspin"]) == []
    failed = ConnectorFindings("security/x", failure=CommandFailed("No.", ExitCode.AZURE))
    assert absent_organizations([item, failed], ["tailspin"]) == [], "it may be there"


async def test_a_refused_or_truncated_answer_is_an_error() -> None:
    row = recommendation()
    complete = answer(200, {"data": [{"id": row["id"]}], "totalRecords": 1, "resultTruncated": "true"})
    with pytest.raises(AzureUnavailable, match="truncated"):
        await read_findings(azure_with(complete).arm, [SELECTED], EVERYTHING)
    with pytest.raises(Forbidden):
        await read_findings(azure_with(arm_error(403, "AuthorizationFailed", "No.")).arm, [SELECTED], EVERYTHING)
    first = answer(200, {"data": [{"id": row["id"]}], "totalRecords": 2, "$skipToken": "t", "resultTruncated": "false"})
    with pytest.raises(AzureUnavailable):
        await read_findings(azure_with(first, answer(500)).arm, [SELECTED], EVERYTHING)


async def test_many_connectors_are_read_with_two_queries() -> None:
    connectors = [
        SelectedConnector(f"security/c{number}", type(REF)(REF.subscription_id, "rg", f"c{number}"), "tenant")
        for number in range(300)
    ]
    rows = [recommendation(key=item.ref.name, connector=item.ref.id) for item in connectors]
    azure = azure_of(rows)
    results = await read_findings(azure.arm, connectors, EVERYTHING)
    assert [len(item.findings) for item in results] == [1] * 300
    assert len(azure.requests) == 2
    assert len(azure.body()["query"]) < 10_000


def view_of(*organizations: bodies.Body, **posture: object) -> SelectedConnector:
    body = bodies.connector(posture=posture) if posture else bodies.connector()
    (view,) = connector_views([body], organizations)
    return select_connector(parse_connector(manifest()), view, SELECTION)


SELECTION = FindingsFilter()


def test_onboarded_organizations_that_are_not_empty_must_have_results() -> None:
    selected = view_of(
        bodies.organization("contoso", onboardingState="Onboarded", repositories={"discovered": 3}),
        bodies.organization("unknown", onboardingState="Onboarded"),
        bodies.organization("empty", onboardingState="Onboarded", repositories={"discovered": 0}),
        bodies.organization("elsewhere", onboardingState="OnboardedByOtherConnector"),
    )
    assert selected.expected == ("contoso", "unknown")
    assert selected.organizations == ("contoso", "elsewhere", "empty", "unknown")


def test_the_coverage_of_the_selected_organizations_is_merged() -> None:
    coverages = {
        "contoso": {"secrets": "NotScanned", "code": "Scanned", "api": "New"},
        "fabrikam": {"secrets": "NotScanned", "code": "NotScanned"},
        "tailspin": {"secrets": "Scanned"},
    }
    organizations = [
        bodies.organization(name, onboardingState="Onboarded", posture={"coverage": coverage})
        for name, coverage in coverages.items()
    ]
    (view,) = connector_views([bodies.connector()], organizations)
    selection = FindingsFilter(organizations=frozenset({"contoso", "fabrikam"}))
    selected = select_connector(parse_connector(manifest()), view, selection)
    assert selected.coverage == {Category.SECRETS: Coverage.NOT_SCANNED, Category.CODE: Coverage.PARTIAL}
    assert view_of(*organizations, coverage={"infrastructureAsCode": "Unknown"}).coverage == {
        Category.INFRASTRUCTURE_AS_CODE: Coverage.UNKNOWN
    }


@pytest.mark.parametrize(
    ("coverages", "merged"),
    [
        ((Coverage.SCANNED, None), Coverage.PARTIAL),
        ((Coverage.NOT_SCANNED, Coverage.UNKNOWN), Coverage.UNKNOWN),
        ((Coverage.NOT_SCANNED, None), Coverage.UNKNOWN),
        ((Coverage.SCANNED, Coverage.SCANNED), Coverage.SCANNED),
    ],
)
def test_an_organization_without_coverage_is_not_covered_by_another_one(
    coverages: tuple[Coverage | None, Coverage | None], merged: Coverage
) -> None:
    organizations = [bodies.organization(name, onboardingState="Onboarded") for name in ("contoso", "fabrikam")]
    for body, coverage in zip(organizations, coverages, strict=True):
        if coverage is not None:
            body["status"]["posture"] = {"coverage": {"code": coverage}}
    excluded = bodies.organization("tailspin", onboardingState="NotOnboarded")
    (view,) = connector_views([bodies.connector()], [*organizations, excluded])
    selection = FindingsFilter(organizations=frozenset({"contoso", "fabrikam", "tailspin"}))
    selected = select_connector(parse_connector(manifest()), view, selection)
    assert selected.coverage == {Category.CODE: merged}


def finding(name: str = "Exposed secret", *, severity: Severity = Severity.HIGH, **place: str) -> Recommendation:
    resource = RecommendationResource(
        REF.key, **{"organization": "contoso", "project": "Web", "repository": "shop", **place}
    )
    since = datetime(2026, 10, 1, 4, 12, tzinfo=UTC)
    return Recommendation("id", resource, name, severity, Category.SECRETS, since, "https://portal.azure.com/#x")


def results(*findings: Recommendation, coverage: dict[Category, Coverage] | None = None) -> ConnectorFindings:
    selected = SelectedConnector(KEY, REF, "t", ("contoso", "fabrikam"), ("contoso", "fabrikam"), coverage or {})
    return ConnectorFindings(KEY, selected, findings, (CategoryResults(REF.key, "Contoso", Category.SECRETS, 12),))


COVERAGES = [
    ({Category.API: Coverage.NOT_SCANNED, Category.CODE: Coverage.SCANNED}, "nothing scans for api."),
    ({Category.API: Coverage.NOT_SCANNED, Category.CODE: Coverage.NOT_SCANNED}, "nothing scans for code, api."),
    ({Category.SECRETS: Coverage.NOT_SCANNED}, "only a part is scanned for secrets."),
    ({Category.SECRETS: Coverage.UNKNOWN}, "only a part is scanned for secrets."),
    ({Category.SECRETS: Coverage.SCANNED}, None),
    ({Category.SECRETS: Coverage.PARTIAL}, "only a part is scanned for secrets."),
    ({Category.CODE: Coverage.UNKNOWN}, "it is not known whether something scans for code."),
    ({}, None),
]


@pytest.mark.parametrize(("coverage", "phrase"), COVERAGES)
def test_kinds_of_finding_that_nothing_scans_for_are_noted(
    coverage: dict[Category, Coverage], phrase: str | None
) -> None:
    ordered = {category: coverage[category] for category in Category if category in coverage}
    notes = list(all_notes([results(finding(), coverage=ordered)], EVERYTHING))
    assert notes[0] == f"{KEY}: no results yet of fabrikam, which does not mean that there are no findings."
    assert notes[1:] == ([] if phrase is None else [f"{KEY}: {phrase} See docs/posture.md."])


def test_only_the_selected_kinds_are_noted() -> None:
    selection = FindingsFilter(categories=frozenset({Category.CODE}))
    item = results(coverage={Category.API: Coverage.NOT_SCANNED})
    assert not any("api" in note for note in all_notes([item], selection))


def test_equal_notes_of_many_connectors_are_one() -> None:
    item = results(coverage={Category.API: Coverage.NOT_SCANNED})
    many = [replace(item, key=f"security/c{number}") for number in range(10)]
    failed = [
        ConnectorFindings(key, failure=CommandFailed("No.", ExitCode.AZURE)) for key in ("security/x", "security/y")
    ]
    names = "security/c0, security/c1, security/c2, security/c3, security/c4, security/c5, security/c6, security/c7"
    assert list(all_notes([*many, *failed], EVERYTHING)) == [
        f"{names} and 2 more: no results yet of fabrikam, which does not mean that there are no findings.",
        f"{names} and 2 more: nothing scans for api. See docs/posture.md.",
        "error: security/x, security/y: No.",
    ]


def test_a_summary_counts_findings_by_severity_and_repositories() -> None:
    item = results(
        finding(severity=Severity.CRITICAL), finding(project="WEB"), finding(repository=""), finding(repository="other")
    )
    assert summary([item]) == "4 findings (1 critical, 3 high) in 2 repositories."
    assert summary([results(finding())]) == "1 finding (1 high) in 1 repository."
    assert summary([results()]) == "No findings among 12 results."


HOSTILE = "=cmd|' /C calc'!A0\x1b[31m\u202e"
CELLS = [
    ("=1+1", "'=1+1"),
    ("+1", "'+1"),
    ("-1", "'-1"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\t=1", "' =1"),
    ("\r=1", "' =1"),
    (" =1", "' =1"),
    ("\uff1d1", "'\uff1d1"),
    ("a=1", "a=1"),
    ("", ""),
    ("2026-10-01T04:12:00Z", "2026-10-01T04:12:00Z"),
]


@pytest.mark.parametrize(("text", "cell"), CELLS)
def test_a_spreadsheet_evaluates_no_cell(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert cell.isprintable()


def test_csv_has_one_row_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([results(finding(HOSTILE), finding('a, "b"', project="A B"))], ListFormat.CSV)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["name"] for row in rows] == ["'=cmd|' /C calc'!A0\\x1b[31m\\u202e", 'a, "b"']
    assert rows[1] == {
        "connector": KEY,
        "organization": "contoso",
        "project": "A B",
        "repository": "shop",
        "resource": "",
        "severity": "high",
        "category": "secrets",
        "since": "2026-10-01T04:12:00Z",
        "name": 'a, "b"',
        "link": "https://portal.azure.com/#x",
    }


def test_csv_without_findings_has_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([results()], ListFormat.CSV)
    header = "connector,organization,project,repository,resource,severity,category,since,name,link\n"
    assert capsys.readouterr().out == header


def test_the_table_has_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings(
        [results(finding(f"a\n{HOSTILE}"), finding("b", repository="", path="pipelines/7"))], ListFormat.TABLE
    )
    assert capsys.readouterr().out.splitlines() == [
        "REPOSITORY               SEVERITY  CATEGORY  SINCE       FINDING",
        "contoso/Web/shop         high      secrets   2026-10-01  a =cmd|' /C calc'!A0\\x1b[31m\\u202e",
        "contoso/Web/pipelines/7  high      secrets   2026-10-01  b",
    ]
    print_findings([results()], ListFormat.TABLE)
    assert capsys.readouterr().out == ""


def test_a_document_has_findings_and_what_they_were_taken_from(capsys: pytest.CaptureFixture[str]) -> None:
    item = results(finding(repository="", project=""), coverage={Category.API: Coverage.NOT_SCANNED})
    failed = ConnectorFindings("security/b", failure=CommandFailed("You may not.", ExitCode.AZURE))
    content = document([item, failed])
    assert content == {
        "findings": [
            {
                "connector": KEY,
                "organization": "contoso",
                "severity": "high",
                "category": "secrets",
                "since": "2026-10-01T04:12:00Z",
                "name": "Exposed secret",
                "link": "https://portal.azure.com/#x",
            }
        ],
        "connectors": [
            {
                "connector": KEY,
                "results": 12,
                "organizationsWithoutResults": ["fabrikam"],
                "coverage": {"api": "NotScanned"},
            },
            {"connector": "security/b", "error": "You may not."},
        ],
    }
    for output in (ListFormat.JSON, ListFormat.YAML):
        print_findings([item, failed], output)
        assert load_yaml(capsys.readouterr().out.encode()) == [content]
