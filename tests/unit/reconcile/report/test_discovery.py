"""How far discovery has come: counts, percent, estimate, deadline, rest. Nothing of it moves by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import ConnectorStatus, DiscoveryStatus
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.report.report import Report, report
from tests.unit.reconcile.builder import NOW, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, LISTED
from tests.unit.reconcile.condition_cases import HELD, PENDING

EXPECTED = "expected: {contoso: [100, 800], fabrikam: [20, 204]}"
HOUR = timedelta(hours=1)


def counts(contoso: str | None, fabrikam: str | None) -> str:
    counts = {"contoso": contoso, "fabrikam": fabrikam}
    return "counts: {" + ", ".join(f"{name}: {item}" for name, item in counts.items() if item) + "}"


class Clock:
    """Looks at one connector again and again, each time at what was written before."""

    def __init__(self, *world: str) -> None:
        self.world = world
        self.now = NOW
        self.status = snapshot(*world).connector.status

    def advance(self, *news: str, delay: timedelta = timedelta()) -> Report:
        self.now += delay
        self.world = (*self.world, *news)
        result = report(Assessment(self.snapshot), None, self.now)
        self.status = result.status
        return result

    @property
    def snapshot(self) -> ConnectorSnapshot:
        return with_status(snapshot(*self.world), self.status)

    @property
    def discovery(self) -> DiscoveryStatus:
        assert self.status.discovery is not None
        return self.status.discovery

    def verdict(self) -> tuple[str, str, str]:
        actual = find_condition(self.status.conditions, "Discovered")
        assert actual is not None
        return actual.status, actual.reason, actual.message


def numbers(status: DiscoveryStatus) -> tuple[int | None, ...]:
    assert status.projects is not None
    assert status.repositories is not None
    return (
        status.projects.discovered,
        status.projects.expected,
        status.repositories.discovered,
        status.repositories.expected,
    )


def test_counts_are_summed_over_the_onboarded_organizations() -> None:
    clock = Clock(EXPECTED, "counts: {contoso: [98, 750], fabrikam: [20, 201], tailspin: [9, 9]}", HELD)
    clock.advance()
    assert numbers(clock.discovery) == (118, 120, 951, 1004)
    assert clock.discovery.percent == 94
    assert clock.verdict() == (
        "False",
        "Discovering",
        "Defender for Cloud has reported 118 of 120 projects and 951 of 1004 repositories so far.",
    )
    organizations = clock.discovery.organizations
    assert organizations is not None
    assert (organizations.available, organizations.onboarded, organizations.conflicting) == (3, 2, 1)


def test_an_excluded_organization_of_another_connector_is_no_conflict() -> None:
    clock = Clock(HELD, "spec: {organizations: {exclude: [tailspin]}}")
    clock.advance()
    assert clock.discovery.organizations is not None
    assert clock.discovery.organizations.conflicting == 0


@pytest.mark.parametrize(
    ("contoso", "fabrikam", "percent"),
    [
        (None, None, 0),
        ("[1, 8]", None, 0),
        ("[100, 800]", None, 79),
        ("[100, 800]", "[20, 203]", 99),
        ("[100, 800]", "[19, 204]", 99),
        ("[100, 800]", "[20, 204]", 100),
        ("[101, 900]", "[20, 104]", 90),
        ("[100, 800]", "[21, 205]", 100),
    ],
)
def test_percent_counts_repositories_and_is_100_only_when_complete(
    contoso: str | None, fabrikam: str | None, percent: int
) -> None:
    clock = Clock(EXPECTED, counts(contoso, fabrikam))
    result = clock.advance()
    assert (result.reevaluate_at is None) == (percent == 100)
    assert clock.discovery.percent == percent
    assert (clock.discovery.completed_at is not None) == (percent == 100)


def test_without_a_sign_in_there_is_neither_expected_nor_percent_nor_estimate() -> None:
    clock = Clock(counts("[1, 8]", "[2, 3]"))
    clock.advance()
    clock.advance(counts("[5, 50]", "[2, 3]"), delay=HOUR)
    assert numbers(clock.discovery) == (7, None, 53, None)
    assert clock.discovery.percent is None
    assert clock.discovery.estimated_completion_at is None
    assert "7 projects and 53 repositories" in clock.verdict()[2]


def test_expected_counts_of_some_organizations_only_are_none() -> None:
    clock = Clock("expected: {contoso: [1, 8]}", counts("[1, 8]", "[2, 3]"))
    clock.advance()
    assert numbers(clock.discovery) == (3, None, 11, None)
    assert clock.discovery.percent is None


# --- estimate


def test_the_estimate_follows_the_rate_and_is_rounded_up_to_five_minutes() -> None:
    clock = Clock(EXPECTED, counts("[0, 0]", "[0, 0]"))
    clock.advance()
    assert clock.discovery.estimated_completion_at is None
    clock.advance(counts("[50, 231]", "[0, 0]"), delay=HOUR)
    # 281 of 1124 in an hour: three more hours
    assert clock.discovery.estimated_completion_at == NOW + 4 * HOUR
    clock.advance(counts("[50, 232]", "[0, 0]"), delay=timedelta(minutes=1))
    assert clock.discovery.estimated_completion_at == datetime(2026, 3, 1, 16, 5, tzinfo=NOW.tzinfo)


def test_the_estimate_moves_only_with_the_counts() -> None:
    clock = Clock(EXPECTED, counts("[0, 0]", "[0, 0]"))
    clock.advance()
    clock.advance(counts("[50, 231]", "[0, 0]"), delay=HOUR)
    result = clock.status
    for _ in range(5):
        clock.advance(delay=HOUR)
        assert clock.status == result


def test_counts_from_the_start_give_no_rate() -> None:
    clock = Clock(EXPECTED, counts("[50, 231]", "[0, 0]"))
    clock.advance()
    assert clock.discovery.estimated_completion_at is None


def test_a_rate_that_would_take_months_gives_no_estimate() -> None:
    clock = Clock("expected: {contoso: [0, 1000000], fabrikam: [0, 0]}", counts("[0, 0]", "[0, 0]"))
    clock.advance()
    clock.advance(counts("[0, 1]", "[0, 0]"), delay=timedelta(days=300))
    assert clock.discovery.estimated_completion_at is None


def test_a_complete_discovery_has_no_estimate() -> None:
    clock = Clock(EXPECTED, counts("[0, 0]", "[0, 0]"))
    clock.advance()
    clock.advance(counts("[50, 231]", "[0, 0]"), delay=HOUR)
    clock.advance(counts("[100, 800]", "[20, 204]"), delay=HOUR)
    assert clock.discovery.estimated_completion_at is None
    assert clock.discovery.completed_at == NOW + 2 * HOUR


# --- deadline


@pytest.mark.parametrize(
    ("spec", "expected", "actual", "hours"),
    [
        ("8h", "[100, 800]", "[1, 1]", 8),
        ("1h", "[10, 80]", "[1, 1]", 1),
        ("1h", "[500, 800]", "[1, 1]", 5),
        ("8h", "[5000, 9000]", "[1, 1]", 50),
        ("1h", None, "[300, 1]", 3),
    ],
)
def test_the_deadline_is_the_spec_s_or_what_the_projects_need(
    spec: str, expected: str | None, actual: str, hours: int
) -> None:
    world = [f"spec: {{discovery: {{deadline: {spec}}}}}", counts(actual, "[0, 0]")]
    if expected:
        world.append(f"expected: {{contoso: {expected}, fabrikam: [0, 0]}}")
    clock = Clock(*world)
    clock.advance()
    assert clock.discovery.deadline == NOW + hours * HOUR


def test_after_the_deadline_lagging_organizations_are_named() -> None:
    clock = Clock(EXPECTED, counts("[100, 800]", "[1, 4]"))
    first = clock.advance()
    assert first.reevaluate_at == NOW + 8 * HOUR
    clock.advance(delay=8 * HOUR - timedelta(seconds=1))
    assert clock.verdict()[1] == "Discovering"
    late = clock.advance(delay=timedelta(seconds=1))
    status, reason, message = clock.verdict()
    assert (status, reason) == ("False", "DeadlineExceeded")
    assert "101 of 120 projects" in message
    assert "incomplete: fabrikam." in message
    assert "raise spec.discovery.deadline" in message
    assert late.reevaluate_at is None


def test_a_longer_deadline_revokes_deadline_exceeded() -> None:
    clock = Clock(EXPECTED, counts("[1, 1]", "[1, 4]"))
    clock.advance()
    clock.advance(delay=9 * HOUR)
    clock.advance("spec: {discovery: {deadline: 12h}}")
    assert clock.verdict()[1] == "Discovering"


def test_counts_after_the_deadline_complete_the_discovery() -> None:
    clock = Clock(EXPECTED, counts("[1, 1]", "[1, 4]"))
    clock.advance()
    clock.advance(delay=9 * HOUR)
    clock.advance(counts("[100, 800]", "[20, 204]"))
    assert clock.verdict()[:2] == ("True", "Discovered")


# --- rest, where nobody knows what to expect


def test_without_expected_counts_discovery_completes_after_an_hour_without_change() -> None:
    clock = Clock(counts("[5, 9]", "[1, 2]"))
    first = clock.advance()
    assert first.reevaluate_at == NOW + HOUR
    clock.advance(counts("[6, 9]", "[1, 2]"), delay=timedelta(minutes=50))
    clock.advance(delay=timedelta(minutes=59))
    assert clock.verdict()[:2] == ("False", "Discovering")
    last = clock.advance(delay=timedelta(minutes=1))
    assert clock.verdict() == (
        "True",
        "Discovered",
        "Defender for Cloud has reported 7 projects and 11 repositories.",
    )
    assert last.reevaluate_at is None


def test_discovery_does_not_complete_while_an_organization_has_no_counts() -> None:
    clock = Clock(counts("[5, 9]", None))
    clock.advance()
    clock.advance(delay=5 * HOUR)
    assert clock.verdict()[1] == "Discovering"
    clock.advance(delay=5 * HOUR)
    assert clock.verdict()[1] == "DeadlineExceeded"


@pytest.mark.parametrize(
    "time",
    ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"],
)
def test_a_status_with_extreme_times_is_reported_and_corrected(time: str) -> None:
    """Whoever may write statuses must not be able to end the reports, or to suspend the deadline."""
    world = snapshot(counts("[5, 9]", "[1, 2]"))
    status = report(Assessment(world), None, NOW).status.dump()
    status["discovery"] |= dict.fromkeys(("startedAt", "countsChangedAt", "estimatedCompletionAt"), time)
    status["authorization"] = {"lastAuthorizedAt": time}
    for condition in status["conditions"]:
        condition["lastTransitionTime"] = time
    edited = with_status(world, ConnectorStatus.model_validate(status))
    discovery = report(Assessment(edited), None, NOW).status.discovery
    assert discovery is not None
    assert discovery.started_at is not None
    assert discovery.started_at <= NOW


# --- completion is kept


def test_a_complete_discovery_stays_complete_when_projects_change() -> None:
    clock = Clock(EXPECTED, counts("[100, 800]", "[20, 204]"))
    clock.advance()
    fulfilled = clock.discovery.completed_at
    clock.advance("expected: {contoso: [110, 900]}", delay=HOUR)
    assert clock.verdict()[0] == "True"
    clock.advance(counts("[10, 80]", "[20, 204]"), delay=9 * HOUR)
    assert clock.verdict()[0] == "True"
    assert clock.discovery.completed_at == fulfilled
    assert clock.discovery.percent == 100


def test_a_new_organization_restarts_the_discovery() -> None:
    clock = Clock(counts("[5, 9]", "[1, 2]"))
    clock.advance()
    clock.advance(delay=HOUR)
    clock.advance("azure: {organizations: {tailspin: Onboarded}}", "resources: {tailspin: {}}", delay=HOUR)
    assert clock.verdict()[1] == "Discovering"
    assert clock.discovery.started_at == NOW + 2 * HOUR
    assert clock.discovery.completed_at is None


def test_a_removed_organization_does_not_restart_the_discovery() -> None:
    clock = Clock(counts("[5, 9]", "[1, 2]"))
    clock.advance()
    clock.advance(delay=HOUR)
    clock.advance("azure: {organizations: {fabrikam: null}}", delay=HOUR)
    assert clock.verdict()[0] == "True"
    assert numbers(clock.discovery) == (5, None, 9, None)


# --- what is not known


def test_missing_counts_are_not_zero() -> None:
    clock = Clock(EXPECTED, counts("[50, 400]", "[20, 204]"))
    clock.advance()
    clock.advance("{counts: null}", counts("[51, 401]", None), delay=HOUR)
    assert numbers(clock.discovery) == (70, 120, 604, 1004)


@pytest.mark.parametrize("answer", ["unknown", "none"])
def test_without_an_answer_the_previous_number_of_organizations_stays(answer: str) -> None:
    clock = Clock(HELD)
    clock.advance()
    clock.advance(f"azure: {{available: {answer}}}")
    assert clock.discovery.organizations is not None
    assert clock.discovery.organizations.available == 3


def test_a_change_of_the_configuration_does_not_restart_the_discovery() -> None:
    clock = Clock(counts("[5, 9]", "[1, 2]"))
    clock.advance()
    clock.advance(delay=HOUR)
    previous = clock.discovery
    clock.advance(PENDING, delay=HOUR)
    assert clock.discovery == previous
    assert clock.verdict()[0] == "True"


def test_without_an_organization_there_is_nothing_to_discover() -> None:
    clock = Clock("azure: {organizations: null}")
    clock.advance()
    assert clock.verdict()[:2] == ("Unknown", "NotChecked")
    assert clock.discovery.started_at is None


def test_without_a_connector_there_is_nothing_to_discover() -> None:
    clock = Clock(counts("[5, 9]", "[1, 2]"))
    clock.advance()
    clock.advance(ABSENT)
    assert clock.verdict()[:2] == ("Unknown", "NotChecked")


def test_an_empty_organization_is_complete() -> None:
    clock = Clock("expected: {contoso: [0, 0], fabrikam: [0, 0]}", LISTED)
    clock.advance()
    assert clock.verdict()[:2] == ("True", "Discovered")
    assert clock.discovery.percent == 100


def test_an_organization_in_place_of_another_starts_a_new_discovery() -> None:
    clock = Clock(EXPECTED, counts("[100, 800]", "[20, 204]"))
    clock.advance()
    assert clock.verdict()[:2] == ("True", "Discovered")
    world = snapshot("expected: {}", counts("[100, 800]", None))
    swapped = with_status(world, clock.status)
    organizations = tuple(
        resource.model_copy(update={"status": resource.status.model_copy(update={"onboarding_state": "NotOnboarded"})})
        if resource.spec.organization == "fabrikam"
        else resource
        for resource in swapped.organizations
    )
    result = report(Assessment(replace(swapped, organizations=organizations)), None, NOW)
    actual = find_condition(result.status.conditions, "Discovered")
    assert actual is not None
    assert (actual.status, actual.reason) == ("False", "Discovering")
    statuses = {resource.spec.organization: status for resource, status in result.organizations}
    own = find_condition(statuses["fabrikam"].conditions, "Discovered")
    assert own is not None
    assert own.status == "False"
