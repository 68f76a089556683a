"""What Defender for Cloud has found: the condition PostureAvailable, the numbers, and what is never shown as clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.azure_types import AgentlessConfiguration, AutoDiscovery, InventoryItem
from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import ConnectorStatus
from defender_devops.api.organization import OrganizationStatus
from defender_devops.api.posture import Category, Coverage, PostureCounts, PostureStatus, Severity
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.coverage import SCANNABLE, combined_coverage, organization_coverage
from defender_devops.reconcile.facts.posture import PostureObservation
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.report import posture as posture_module
from defender_devops.reconcile.report.posture import posture
from defender_devops.reconcile.report.report import Report, report
from defender_devops.reconcile.report.status_events import status_events
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.condition_cases import (
    REVOKED,
    SIGN_IN,
    ConditionCase,
    assert_condition,
    assert_reasons_are_documented,
    signed_in,
)

CONTOSO = "contoso: {critical/secrets: 1, high/code: 2, medium/configuration: 1, repositories: 3}"
FABRIKAM = "fabrikam: {high/dependencies: 4, healthy: 9, repositories: 2}"
BOTH = f"posture: {{organizations: {{{CONTOSO}, {FABRIKAM}}}}}"
ONE = f"posture: {{organizations: {{{CONTOSO}}}}}"
SILENT = "posture: {organizations: {}}"
UNANSWERED = "posture: {answered: false}"
OFF = "posture: {enabled: false}"
DENIED = "posture: {failure: {reason: Forbidden, message: 'Not allowed: assessments/read.', terminal: true}}"
DENIED_AT_FIRST = "posture: {answered: false, failure: {reason: Forbidden, message: Not allowed., terminal: true}}"
CUT_OFF = "posture: {failure: {reason: AzureUnavailable, message: The response was truncated.}}"
STALE = "posture: {stale: [fabrikam]}"
REPOSITORIES = "counts: {contoso: [1, 5], fabrikam: [1, 5]}"
LATE = "resources: {fabrikam: {generated: true, status: {posture: {resultsExpectedSince: '2026-02-27T12:00:00Z'}}}}"
WAITING = "resources: {fabrikam: {generated: true, status: {posture: {resultsExpectedSince: '2026-02-27T12:00:01Z'}}}}"
SEVEN = "recommendations: {critical: 0, high: 7, medium: 0, low: 0, other: 0}"
WITH_RESULTS = (
    f"resources: {{fabrikam: {{generated: true, status: {{posture: {{{SEVEN}, affectedRepositories: 2,"
    " categories: {code: 7}, coverage: {code: Partial}, changedAt: '2026-02-01T08:00:00Z', findings: 7H}}}}"
)
WAS_STALE = (
    "resources: {fabrikam: {generated: true, status: {conditions: [{type: PostureAvailable, status: 'False',"
    " reason: StaleResults}]}}}"
)
KIND = "PostureAvailable"

CASES = [
    ConditionCase("it was not read", (), KIND),
    ConditionCase("no answer yet", (UNANSWERED,), KIND),
    ConditionCase("the query is off", (OFF,), KIND, "Unknown", "Disabled", ("settings.postureInterval is 0",)),
    ConditionCase(
        "every organization has results",
        (BOTH,),
        KIND,
        "True",
        "ResultsAvailable",
        ("1 critical, 6 high, 1 medium, in 5 repositories", "Not known to be scanned: infrastructureAsCode, api."),
    ),
    ConditionCase(
        "results without a finding",
        ("posture: {organizations: {contoso: {healthy: 5}, fabrikam: {healthy: 5}}}",),
        KIND,
        "True",
        "ResultsAvailable",
        ("Open recommendations: none.", "Not known to be scanned: secrets, code, dependencies"),
    ),
    ConditionCase("one organization has none yet", (ONE,), KIND, "Unknown", "NoResultsYet", ("fabrikam",)),
    ConditionCase(
        "no result at all, which may be a missing role",
        (SILENT,),
        KIND,
        "Unknown",
        "NoResultsYet",
        ("contoso, fabrikam", "does not mean that there are no findings", "Security Reader"),
    ),
    ConditionCase(
        "no organization is onboarded",
        ("azure: {organizations: null}", SILENT),
        KIND,
        "Unknown",
        "NoResultsYet",
        ("No organization is onboarded yet.",),
    ),
    ConditionCase(
        "results have not come for 48 hours",
        (ONE, REPOSITORIES, LATE),
        KIND,
        "False",
        "ResultsMissing",
        ("fabrikam", "48 hours", "Security Reader"),
    ),
    ConditionCase(
        "results have not come for a second less", (ONE, REPOSITORIES, WAITING), KIND, "Unknown", "NoResultsYet"
    ),
    ConditionCase(
        "an organization without repositories need not have results", (ONE, LATE), KIND, "Unknown", "NoResultsYet"
    ),
    ConditionCase(
        "an organization that had results has none in the answer",
        (ONE, WITH_RESULTS),
        KIND,
        "Unknown",
        "Incomplete",
        ("no result of fabrikam any more", "the last answer that had results"),
    ),
    ConditionCase(
        "the query is refused",
        (BOTH, DENIED),
        KIND,
        "Unknown",
        "QueryDenied",
        ("assessments/read", "Assign Security Reader", "those of the last complete answer"),
    ),
    ConditionCase(
        "no result has a status that is known",
        ("posture: {organizations: {contoso: {otherStatus: 5}, fabrikam: {healthy: 5}}}",),
        KIND,
        "Unknown",
        "Incomplete",
        ("only results with a status", "contoso", "does not mean that there are no findings"),
    ),
    ConditionCase(
        "some results have a status that is not known",
        ("posture: {organizations: {contoso: {otherStatus: 5, healthy: 1}, fabrikam: {otherStatus: 2, low/code: 1}}}",),
        KIND,
        "True",
        "ResultsAvailable",
        ("1 low", "does not know their status: 7."),
    ),
    ConditionCase("the first query is refused", (DENIED_AT_FIRST,), KIND, "Unknown", "QueryDenied", ("Not allowed",)),
    ConditionCase(
        "the answer is cut off",
        (BOTH, CUT_OFF),
        KIND,
        "Unknown",
        "Incomplete",
        ("The response was truncated", "those of the last complete answer"),
    ),
    ConditionCase(
        "a refusal precedes late results", (ONE, REPOSITORIES, LATE, DENIED), KIND, "Unknown", "QueryDenied"
    ),
    ConditionCase(
        "results of one organization have stopped changing", (BOTH, STALE), KIND, "False", "StaleResults", ("fabrikam",)
    ),
    ConditionCase(
        "results that had stopped, and it is not known yet whether they still have",
        (BOTH, WAS_STALE),
        KIND,
        "False",
        "StaleResults",
        ("fabrikam",),
    ),
    ConditionCase(
        "results that had stopped and change again",
        (BOTH, WAS_STALE, "posture: {active: [fabrikam]}"),
        KIND,
        "True",
        "ResultsAvailable",
    ),
    ConditionCase("the connector does not exist any more", ("azure: null", BOTH), KIND),
    ConditionCase("an operation is under way", ("azure: {configuration: {state: Pending}}", BOTH), KIND),
    ConditionCase(
        "stale results are a sign and no proof of a lost authorization",
        (BOTH, STALE),
        "ReauthRequired",
        "False",
        "NotRequired",
        ("The results of fabrikam in Defender for Cloud have stopped changing", "can be a sign"),
    ),
    ConditionCase(
        "stale results beside a lost authorization",
        (BOTH, STALE, REVOKED),
        "ReauthRequired",
        "True",
        "AuthorizationLost",
        ("The results of fabrikam in Defender for Cloud have stopped changing.",),
    ),
    ConditionCase(
        "stale results beside a lost sign-in",
        (
            BOTH,
            STALE,
            SIGN_IN,
            signed_in("{signed_in: false, is_lost: true, reason: SignInRequired, message: Sign in again.}"),
        ),
        "ReauthRequired",
        "True",
        "SignInRequired",
        ("have stopped. The results of fabrikam",),
    ),
    ConditionCase("results that stopped before a start stay a sign", (UNANSWERED, WAS_STALE), "ReauthRequired", "False",
                  "NotRequired", ("The results of fabrikam",)),
    ConditionCase("Ready does not depend on it", (SILENT,), "Ready", "True", "Ready"),
    ConditionCase("Ready does not depend on stale results", (BOTH, STALE), "Ready", "True", "Ready"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_condition_states_the_problem_and_the_fix(case: ConditionCase) -> None:
    assert_condition(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented_for_its_condition(case: ConditionCase) -> None:
    assert_reasons_are_documented(case)


def reported(*world: str, now: datetime = NOW) -> Report:
    return report(Assessment(snapshot(*world)), None, now)


def organization(result: Report, name: str) -> OrganizationStatus:
    return next(status for resource, status in result.organizations if resource.spec.organization == name)


def numbers(status: ConnectorStatus | OrganizationStatus) -> dict[str, Any]:
    assert status.posture is not None
    return status.posture.dump()


def successor(
    world: ConnectorSnapshot, result: Report, observed: PostureObservation | None = None
) -> ConnectorSnapshot:
    """The snapshot of the next reconcile, with the statuses as the API server returns them."""
    statuses = {resource.metadata.uid: status for resource, status in result.organizations}
    return replace(
        world,
        connector=world.connector.model_copy(update={"status": ConnectorStatus.model_validate(result.status.dump())}),
        organizations=tuple(
            resource.model_copy(
                update={"status": OrganizationStatus.model_validate(statuses[resource.metadata.uid].dump())}
            )
            for resource in world.organizations
        ),
        posture=observed if observed is not None else world.posture,
    )


def dumped(result: Report) -> list[dict[str, Any]]:
    """What the report says of results, in every status."""
    written = []
    for status in (result.status, *(status for _, status in result.organizations)):
        body = status.dump()
        conditions = [item for item in body["conditions"] if item["type"] in {KIND, "ReauthRequired"}]
        written.append({"posture": body.get("posture"), "conditions": conditions})
    return written


def reevaluated_at(*world: str) -> datetime | None:
    reported_posture = posture(Assessment(snapshot(*world)), NOW)
    return reported_posture.reevaluate_at if reported_posture is not None else None


# --- numbers


def test_an_organization_has_its_numbers_by_severity_and_by_category() -> None:
    assert numbers(organization(reported(BOTH), "contoso")) == {
        "findings": "1C 2H 1M",
        "recommendations": {"critical": 1, "high": 2, "medium": 1, "low": 0, "other": 0},
        "categories": {"secrets": 1, "code": 2, "configuration": 1},
        "affectedRepositories": 3,
        "coverage": {
            "secrets": "Partial",
            "code": "Partial",
            "dependencies": "Unknown",
            "infrastructureAsCode": "Unknown",
            "api": "Unknown",
            "configuration": "Scanned",
        },
        "changedAt": "2026-03-01T12:00:00Z",
    }


def test_a_connector_has_the_sums_of_its_organizations() -> None:
    posture = numbers(reported(BOTH).status)
    assert posture["recommendations"] == {"critical": 1, "high": 6, "medium": 1, "low": 0, "other": 0}
    assert posture["categories"] == {"secrets": 1, "code": 2, "dependencies": 4, "configuration": 1}
    assert posture["affectedRepositories"] == 5
    assert posture["findings"] == "1C 6H 1M"


def test_words_that_this_version_does_not_know_are_counted_as_other() -> None:
    result = reported("posture: {organizations: {contoso: {other/other: 2, low/other: 1}, fabrikam: {healthy: 1}}}")
    posture = numbers(result.status)
    assert posture["recommendations"] == {"critical": 0, "high": 0, "medium": 0, "low": 1, "other": 2}
    assert posture["categories"] == {"other": 3, "configuration": 0}
    assert posture["findings"] == "1L 2O"


def test_an_organization_without_a_row_has_no_numbers_and_no_zero() -> None:
    status = organization(reported(ONE), "fabrikam")
    assert numbers(status) == {"coverage": dict.fromkeys((category.value for category in SCANNABLE), "Unknown")}


def test_results_without_findings_are_zero_only_where_something_looks() -> None:
    posture = numbers(organization(reported("posture: {organizations: {contoso: {healthy: 3}}}"), "contoso"))
    assert posture["categories"] == {"configuration": 0}
    assert posture["findings"] == "0, partly scanned"


def test_an_exception_of_one_organization_concerns_its_resource_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its cause: nothing is counted as zero, and what had stopped changing has not recovered."""
    world = snapshot(BOTH, WITH_RESULTS)

    def raising(organization: str, *arguments: Any, **options: Any) -> dict[Category, Coverage]:  # noqa: ANN401
        if organization == "fabrikam":
            raise LookupError(organization)
        return organization_coverage(organization, *arguments, **options)

    monkeypatch.setattr(posture_module, "organization_coverage", raising)
    result = report(Assessment(world), None, NOW)
    assert [(item.spec.organization, type(error)) for item, error in result.errors] == [("fabrikam", LookupError)]
    assert [item.spec.organization for item, _ in result.organizations] == ["contoso"]
    assert numbers(result.status)["recommendations"] == {"critical": 1, "high": 9, "medium": 1, "low": 0, "other": 0}
    condition = find_condition(result.status.conditions, KIND)
    assert condition is not None
    assert (condition.status, condition.reason) == ("Unknown", "Incomplete")
    assert "fabrikam could not be evaluated" in condition.message
    assert [item.organization for item in result.findings or ()] == ["contoso"], "no metric, rather than zero"
    ready = find_condition(result.status.conditions, "Ready")
    assert ready is not None
    assert ready.status == "True"

    stale = posture(Assessment(snapshot(BOTH, WAS_STALE)), NOW)
    assert stale is not None
    assert stale.organizations["fabrikam"].is_stale


def test_an_exception_without_a_resource_that_could_report_it_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    world = replace(snapshot(BOTH), organizations=())
    monkeypatch.setattr(posture_module, "organization_coverage", Mock(side_effect=LookupError))
    with pytest.raises(LookupError):
        posture(Assessment(world), NOW)


def test_an_organization_that_vanishes_from_the_answer_keeps_its_numbers() -> None:
    result = reported(ONE, WITH_RESULTS)
    posture = numbers(organization(result, "fabrikam"))
    assert posture["recommendations"]["high"] == 7
    assert posture["changedAt"] == "2026-02-01T08:00:00Z"
    assert posture["coverage"]["code"] == "Partial"
    assert posture["resultsExpectedSince"] == "2026-03-01T12:00:00Z"
    assert numbers(result.status)["recommendations"]["high"] == 2 + 7
    assert reevaluated_at(ONE, WITH_RESULTS) == NOW + timedelta(hours=48)


def test_a_disabled_query_leaves_no_outdated_numbers() -> None:
    result = reported(OFF, WITH_RESULTS, f"status: {{posture: {{{SEVEN}}}}}")
    assert result.status.posture is None
    assert organization(result, "fabrikam").posture is None
    condition = find_condition(organization(result, "fabrikam").conditions, KIND)
    assert condition is not None
    assert condition.reason == "Disabled"


@pytest.mark.parametrize("world", ["azure: {organizations: {fabrikam: Free}}", "azure: null"])
def test_an_organization_that_is_not_covered_any_more_has_no_numbers(world: str) -> None:
    conditions = "conditions: [{type: PostureAvailable, status: 'True', reason: ResultsAvailable}]"
    had = f"resources: {{fabrikam: {{status: {{posture: {{{SEVEN}}}, {conditions}}}}}}}"
    status = organization(reported(world, had, ONE), "fabrikam")
    assert status.posture is None
    assert find_condition(status.conditions, KIND) is None


def test_a_connector_that_vanishes_has_no_numbers() -> None:
    conditions = "conditions: [{type: PostureAvailable, status: 'True', reason: ResultsAvailable}]"
    result = reported(
        "azure: null",
        f"status: {{posture: {{{SEVEN}}}, {conditions}}}",
    )
    assert result.status.posture is None
    assert find_condition(result.status.conditions, KIND) is None
    assert result.findings == ()


# --- when something is written


def test_nothing_changes_with_time_or_with_an_equal_answer() -> None:
    world = snapshot(BOTH)
    first = report(Assessment(world), None, NOW)
    assert world.posture is not None
    later = replace(world.posture, answered_at=NOW + timedelta(hours=5))
    again = report(Assessment(successor(world, first, later)), None, NOW + timedelta(hours=5))
    assert dumped(again) == dumped(first)


def test_the_time_moves_with_the_numbers_of_the_organization_that_changed() -> None:
    world = snapshot(BOTH)
    first = report(Assessment(world), None, NOW)
    changed = snapshot(BOTH, "posture: {organizations: {fabrikam: {high/dependencies: 5}}}").posture
    second = report(Assessment(successor(world, first, changed)), None, NOW + timedelta(hours=1))
    assert numbers(organization(second, "contoso")) == numbers(organization(first, "contoso"))
    assert numbers(organization(second, "fabrikam"))["changedAt"] == "2026-03-01T13:00:00Z"
    assert numbers(second.status)["changedAt"] == "2026-03-01T13:00:00Z"


@pytest.mark.parametrize("unknown", [UNANSWERED, ""], ids=["no answer yet", "not read"])
def test_before_the_first_answer_after_a_start_everything_stays(unknown: str) -> None:
    world = snapshot(BOTH, STALE)
    first = report(Assessment(world), None, NOW)
    restarted = replace(successor(world, first), posture=snapshot(unknown).posture, cspm_plan=None)
    assert dumped(report(Assessment(restarted), None, NOW + timedelta(days=3))) == dumped(first)


def test_a_failed_query_changes_no_number() -> None:
    world = snapshot(BOTH)
    first = report(Assessment(world), None, NOW)
    failed = snapshot(BOTH, CUT_OFF).posture
    second = report(Assessment(successor(world, first, failed)), None, NOW + timedelta(hours=1))
    assert second.status.posture == first.status.posture
    assert [status.posture for _, status in second.organizations] == [
        status.posture for _, status in first.organizations
    ]


def test_results_are_missing_48_hours_after_repositories_were_there() -> None:
    world = snapshot(SILENT, REPOSITORIES)
    first = report(Assessment(world), None, NOW)
    assert reevaluated_at(SILENT, REPOSITORIES) == NOW + timedelta(hours=48)
    assert reevaluated_at(SILENT) is None
    for hours, status in ((47, "Unknown"), (48, "False"), (49, "False")):
        result = report(Assessment(successor(world, first)), None, NOW + timedelta(hours=hours))
        condition = find_condition(result.status.conditions, KIND)
        assert condition is not None
        assert condition.status == status
        assert numbers(organization(result, "contoso"))["resultsExpectedSince"] == "2026-03-01T12:00:00Z"


def test_a_time_in_the_future_does_not_suspend_the_deadline() -> None:
    future = "resources: {fabrikam: {status: {posture: {resultsExpectedSince: '2999-01-01T00:00:00Z'}}}}"
    posture = organization(reported(ONE, REPOSITORIES, future), "fabrikam").posture
    assert posture is not None
    assert posture.results_expected_since == NOW


def test_a_status_of_an_older_version_gets_the_numbers() -> None:
    older = "status: {conditions: [{type: Ready, status: 'True', reason: Ready}], discovery: {percent: 100}}"
    result = reported(BOTH, older)
    assert result.status.posture is not None
    assert result.status.discovery is not None


@pytest.mark.parametrize(
    ("world", "events"),
    [
        ((BOTH, DENIED), ["QueryDenied"]),
        ((BOTH, STALE), ["StaleResults"]),
        ((ONE, REPOSITORIES, LATE), ["ResultsMissing"]),
        ((BOTH, CUT_OFF), []),
        ((SILENT,), []),
    ],
)
def test_an_event_is_for_what_a_person_should_notice_and_comes_once(world: tuple[str, ...], events: list[str]) -> None:
    previous, result = reported(BOTH).status.conditions, reported(*world).status.conditions
    assert [event.reason for event in status_events(previous, result)] == events
    assert status_events(result, result) == ()


# --- metrics


def test_metrics_have_a_zero_only_where_something_looks() -> None:
    findings = {item.organization: item for item in reported(BOTH).findings or ()}
    assert findings["contoso"].affected_repositories == 3
    numbers_by_pair = findings["contoso"].unhealthy
    assert numbers_by_pair[Severity.HIGH, Category.CODE] == 2
    assert numbers_by_pair[Severity.LOW, Category.CODE] == 0
    assert numbers_by_pair[Severity.CRITICAL, Category.CONFIGURATION] == 0
    assert {category for _, category in numbers_by_pair} == {Category.SECRETS, Category.CODE, Category.CONFIGURATION}


def test_nothing_is_zero_while_a_status_is_not_known() -> None:
    (contoso,) = reported("posture: {organizations: {contoso: {otherStatus: 5, high/code: 1}}}").findings or ()
    assert contoso.unhealthy == {(Severity.HIGH, Category.CODE): 1}
    result = reported("posture: {organizations: {contoso: {otherStatus: 5, healthy: 1}, fabrikam: {healthy: 1}}}")
    assert numbers(organization(result, "contoso"))["findings"] == "0, partly scanned"
    assert numbers(organization(result, "contoso")).get("categories", {}) == {}
    assert numbers(organization(result, "fabrikam"))["categories"] == {"configuration": 0}


def test_results_that_are_not_understood_have_no_numbers_and_keep_the_last_ones() -> None:
    world = snapshot(BOTH)
    result = reported(BOTH)
    not_understood = PostureObservation(organizations={"contoso": PostureCounts(other_status=9)}, answered_at=NOW)
    later = report(Assessment(successor(world, result, not_understood)), None, NOW)
    assert (
        numbers(organization(later, "contoso"))["recommendations"]
        == (numbers(organization(result, "contoso"))["recommendations"])
    )
    assert later.findings == ()
    first = reported("posture: {organizations: {contoso: {otherStatus: 9}}}")
    assert "recommendations" not in numbers(organization(first, "contoso"))


def test_metrics_have_nothing_of_an_organization_without_results() -> None:
    assert [item.organization for item in reported(ONE).findings or ()] == ["contoso"]
    assert reported(UNANSWERED).findings is None
    assert reported(OFF).findings == ()


# --- coverage


def agentless(*scopes: str, inclusion: bool = False, enabled: bool = True, **options: Any) -> AgentlessConfiguration:  # noqa: ANN401
    return AgentlessConfiguration(
        enabled=enabled,
        inventory_list_type="Inclusion" if inclusion else "Exclusion",
        inventory=tuple(InventoryItem("AzureDevOpsOrganization", scope) for scope in scopes),
        **options,
    )


AGENTLESS = {Category.CODE, Category.INFRASTRUCTURE_AS_CODE, Category.DEPENDENCIES}
CLEAN = PostureCounts(healthy=1)


@pytest.mark.parametrize(
    ("configuration", "coverage"),
    [
        (None, Coverage.UNKNOWN),
        (agentless(enabled=False), Coverage.UNKNOWN),
        (agentless(), Coverage.SCANNED),
        (agentless("Fabrikam"), Coverage.SCANNED),
        (agentless("Contoso"), Coverage.UNKNOWN),
        (agentless("contoso/Web"), Coverage.PARTIAL),
        (agentless("contoso/Web/shop", inclusion=True), Coverage.PARTIAL),
        (agentless("CONTOSO", inclusion=True), Coverage.SCANNED),
        (agentless("fabrikam", inclusion=True), Coverage.UNKNOWN),
        (agentless("contoso", auto_discovery=AutoDiscovery.ENABLED), Coverage.SCANNED),
    ],
)
def test_agentless_scanning_covers_its_scope(configuration: AgentlessConfiguration | None, coverage: Coverage) -> None:
    actual = organization_coverage("contoso", CLEAN, configuration, has_cspm_plan=True)
    assert {actual[category] for category in AGENTLESS} == {coverage}
    assert actual[Category.SECRETS] is Coverage.UNKNOWN
    assert actual[Category.API] is Coverage.UNKNOWN


@pytest.mark.parametrize("has_plan", [False, None])
def test_agentless_scanning_covers_nothing_without_the_plan(has_plan: bool | None) -> None:
    actual = organization_coverage("contoso", CLEAN, agentless(), has_cspm_plan=has_plan)
    assert {actual[category] for category in AGENTLESS} == {Coverage.UNKNOWN}


@pytest.mark.parametrize(
    ("scanners", "categories"),
    [
        (("Bandit",), {Category.CODE}),
        (("trivy", "template-analyzer"), {Category.DEPENDENCIES, Category.INFRASTRUCTURE_AS_CODE}),
        (("a scanner of tomorrow",), set()),
    ],
)
def test_agentless_scanning_covers_what_its_scanners_find(scanners: tuple[str, ...], categories: set[Category]) -> None:
    actual = organization_coverage("contoso", CLEAN, agentless(scanners=scanners), has_cspm_plan=True)
    assert {category for category in AGENTLESS if actual[category] is Coverage.SCANNED} == categories


def test_the_configuration_is_scanned_once_there_is_a_result() -> None:
    assert organization_coverage("a", None, None, has_cspm_plan=True)[Category.CONFIGURATION] is Coverage.UNKNOWN
    assert organization_coverage("a", CLEAN, None, has_cspm_plan=None)[Category.CONFIGURATION] is Coverage.SCANNED


def test_agentless_scanning_in_azure_and_the_plan_are_in_the_status() -> None:
    azure = "azure: {configuration: {agentless: {enabled: true}}}"
    result = reported(azure, "plan: on", "posture: {organizations: {contoso: {healthy: 1}, fabrikam: {healthy: 1}}}")
    posture = numbers(result.status)
    assert posture["coverage"]["code"] == "Scanned"
    assert posture["categories"] == {"code": 0, "dependencies": 0, "infrastructureAsCode": 0, "configuration": 0}
    assert posture["findings"] == "0, partly scanned"


def test_a_plan_that_was_not_read_since_the_start_leaves_the_coverage() -> None:
    world = snapshot("azure: {configuration: {agentless: {enabled: true}}}", "plan: on", BOTH)
    first = report(Assessment(world), None, NOW)
    again = report(Assessment(replace(successor(world, first), cspm_plan=None)), None, NOW)
    assert dumped(again) == dumped(first)


@pytest.mark.parametrize(
    ("coverages", "combined"),
    [
        ((), Coverage.UNKNOWN),
        ((Coverage.SCANNED, Coverage.SCANNED), Coverage.SCANNED),
        ((Coverage.NOT_SCANNED,), Coverage.NOT_SCANNED),
        ((Coverage.SCANNED, Coverage.UNKNOWN), Coverage.PARTIAL),
        ((Coverage.PARTIAL, Coverage.NOT_SCANNED), Coverage.PARTIAL),
        ((Coverage.NOT_SCANNED, Coverage.UNKNOWN), Coverage.UNKNOWN),
    ],
)
def test_organizations_that_differ_are_covered_in_part(coverages: tuple[Coverage, ...], combined: Coverage) -> None:
    assert combined_coverage(coverages) is combined


# --- properties

PAIRS = st.tuples(st.sampled_from(Severity), st.sampled_from(Category))
COUNTS = st.builds(
    PostureCounts,
    st.dictionaries(PAIRS, st.integers(1, 10**6), max_size=12),
    healthy=st.integers(0, 9),
    affected_repositories=st.integers(0, 9),
)
OBSERVED = st.dictionaries(st.sampled_from(["contoso", "fabrikam"]), COUNTS)


def observation(organizations: Mapping[str, PostureCounts]) -> PostureObservation:
    return PostureObservation(organizations=organizations, answered_at=NOW)


@given(OBSERVED)
def test_numbers_add_up_by_severity_by_category_and_by_organization(organizations: dict[str, PostureCounts]) -> None:
    result = report(Assessment(replace(snapshot(), posture=observation(organizations))), None, NOW)
    total = sum(sum(counts.unhealthy.values()) for counts in organizations.values())
    for statuses in ([result.status], [status for _, status in result.organizations]):
        postures: list[PostureStatus] = [status.posture for status in statuses if status.posture is not None]
        assert total == sum(_sum(posture.recommendations) for posture in postures)
        assert total == sum(_sum(posture.categories) for posture in postures)
    assert total == sum(sum(item.unhealthy.values()) for item in result.findings or ())


def _sum(counts: Any) -> int:  # noqa: ANN401
    return sum(counts.model_dump(exclude_none=True).values()) if counts is not None else 0


@given(st.lists(st.tuples(OBSERVED, st.booleans()), min_size=1, max_size=4))
def test_an_organization_without_a_row_or_an_answer_never_has_a_smaller_number(
    answers: list[tuple[dict[str, PostureCounts], bool]],
) -> None:
    world, now = snapshot(), NOW
    for organizations, is_complete in answers:
        now += timedelta(hours=1)
        previous = {resource.spec.organization: resource.status.posture for resource in world.organizations}
        failure = snapshot(CUT_OFF).posture
        assert failure is not None
        posture = observation(organizations) if is_complete else replace(failure, organizations={})
        world = replace(world, posture=posture)
        result = report(Assessment(world), None, now)
        for resource, status in result.organizations:
            old = previous[resource.spec.organization]
            if resource.spec.organization not in posture.organizations and old is not None:
                assert status.posture is not None
                assert status.posture.recommendations == old.recommendations
                condition = find_condition(status.conditions, KIND)
                assert condition is not None
                assert condition.status != "True"
        world = successor(world, result)
