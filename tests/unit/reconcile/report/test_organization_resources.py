"""The status of each DevOpsOrganization, generated or declared."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import yaml

from defender_devops.api.conditions import find_condition, is_true
from defender_devops.api.names import LABEL_GENERATED
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import REASONS, ConditionType
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.report.organization_resources import report_missing_connector
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import CONNECTOR_ID, NOW, resource, snapshot
from tests.unit.reconcile.cases import ABSENT, FRESH, LISTED, NO_CONFIGURATION, OBSERVE, SELECTED
from tests.unit.reconcile.condition_cases import HELD, PENDING, REVOKED, SIGN_IN, unreadable

OUT = "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}"
EXCLUDE = "spec: {organizations: {exclude: [fabrikam]}}"
ALL_DONE = "{spec: {organizations: {mode: All}}, status: {azure: {organizationsMode: All}}}"
DENY = "spec: {organizations: {overrides: Deny}}"
NEW = "azure: {others: {tailspin: Free}}"
READY = "{type: Ready, status: 'True', reason: Onboarded}"
CONNECTOR_READY = "status: {conditions: [{type: Ready, status: 'True', reason: Ready}]}"
BLOCKED = "{metadata: {deletionTimestamp: '2026-03-01T11:00:00Z'}, spec: {deletionPolicy: Delete},\
 unreadable: {reason: Forbidden, message: Grant it., terminal: true}}"


def declared(organization: str, fragment: str) -> str:
    return f"resources: {{{organization}: {fragment}}}"


def statuses(*world: str) -> dict[str, tuple[DevOpsOrganization, OrganizationStatus]]:
    """What is reported, by the resource's name."""
    result = report(Assessment(snapshot(*world)), None, NOW)
    return {resource.metadata.name: (resource, status) for resource, status in result.organizations}


def status_of(organization: str, *world: str) -> OrganizationStatus:
    actual = [
        status
        for resource, status in statuses(*world).values()
        if resource.spec.organization.lower() == organization.lower()
    ]
    assert len(actual) == 1
    return actual[0]


@dataclass(frozen=True)
class OrganizationCase:
    """The state of an organization.

    Attributes:
        why: the case, as a sentence.
        organization: its name.
        world: fragments for `builder.snapshot`.
        ready: True, False while the operator or Azure is at it, Stalled where a person has to act.
        reason: of Ready.
        words: parts of its message.
        onboarded: reason of Onboarded; None if unknown.
    """

    title: str
    organization: str
    world: tuple[str, ...]
    ready: str
    reason: str
    phrases: tuple[str, ...] = ()
    onboarded: str | None = "Onboarded"

    def __str__(self) -> str:
        return self.title


CASES = [
    OrganizationCase("covered", "fabrikam", (), "True", "Onboarded", ("covers fabrikam",)),
    OrganizationCase(
        "covered, declared in other letters",
        "FABRIKAM",
        (declared("FABRIKAM", "{onboarding: Onboarded}"),),
        "True",
        "Onboarded",
    ),
    OrganizationCase(
        "still to come", "fabrikam", (OUT,), "False", "Onboarding", ("not onboarded fabrikam yet",), "Onboarding"
    ),
    OrganizationCase(
        "still to come, and Azure says why",
        "fabrikam",
        ("azure: {organizations: {fabrikam: {state: Free, message: Queued}}}",),
        "False",
        "Onboarding",
        ("Queued",),
        "Onboarding",
    ),
    OrganizationCase(
        "covered, but Defender cannot work there",
        "fabrikam",
        ("azure: {organizations: {fabrikam: {provisioning: Failed, message: 'Not an administrator.'}}}",),
        "Stalled",
        "Onboarding",
        ("cannot scan fabrikam: Not an administrator.", "every 8 hours"),
    ),
    OrganizationCase(
        "covered, but Defender cannot scan it and Azure gives no reason",
        "fabrikam",
        ("azure: {organizations: {fabrikam: {provisioning: Failed}}}",),
        "Stalled",
        "Onboarding",
        ("Azure gives no reason",),
    ),
    OrganizationCase(
        "held elsewhere",
        "tailspin",
        (HELD,),
        "Stalled",
        "HeldByOtherConnector",
        ("another connector of the tenant", "Excluded"),
        "HeldByOtherConnector",
    ),
    OrganizationCase(
        "held elsewhere, and it is known by whom",
        "tailspin",
        (HELD, "conflictingConnectors: {tailspin: /subscriptions/x}"),
        "Stalled",
        "HeldByOtherConnector",
        ("onboarded by /subscriptions/x",),
        "HeldByOtherConnector",
    ),
    OrganizationCase(
        "not there",
        "typo",
        (declared("typo", "{onboarding: Onboarded}"),),
        "Stalled",
        "OrganizationNotFound",
        ("no organization named typo", "Correct the name"),
        None,
    ),
    OrganizationCase(
        "not there, and nobody asked", "typo", (declared("typo", "{}"),), "Stalled", "OrganizationNotFound", (), None
    ),
    OrganizationCase(
        "covered, but out of reach of the authorization",
        "fabrikam",
        ("azure: {unreachable: [fabrikam]}",),
        "Stalled",
        "OrganizationNotFound",
        ("no longer reaches fabrikam",),
    ),
    OrganizationCase(
        "a decision that the connector denies",
        "fabrikam",
        (EXCLUDE, LISTED, OUT, DENY, declared("fabrikam", "{onboarding: Onboarded}")),
        "Stalled",
        "InvalidSpec",
        ("overrides of connector contoso is Deny", "Remove onboarding"),
        "Excluded",
    ),
    OrganizationCase(
        "a decision to exclude that the connector denies",
        "fabrikam",
        (DENY, declared("fabrikam", "{onboarding: Excluded}")),
        "Stalled",
        "InvalidSpec",
    ),
    OrganizationCase(
        "a denied decision that changes nothing",
        "fabrikam",
        (DENY, declared("fabrikam", "{onboarding: Onboarded}")),
        "True",
        "Onboarded",
    ),
    # left out
    OrganizationCase(
        "excluded by the connector",
        "fabrikam",
        (EXCLUDE, LISTED, OUT),
        "True",
        "Excluded",
        ("is excluded",),
        "Excluded",
    ),
    OrganizationCase(
        "excluded by a decision",
        "fabrikam",
        (LISTED, OUT, declared("fabrikam", "{onboarding: Excluded}")),
        "True",
        "Excluded",
        (),
        "Excluded",
    ),
    OrganizationCase(
        "excluded though it is not there",
        "typo",
        (declared("typo", "{onboarding: Excluded}"),),
        "True",
        "Excluded",
        (),
        None,
    ),
    OrganizationCase(
        "excluded though another holds it",
        "tailspin",
        (HELD, declared("tailspin", "{onboarding: Excluded}")),
        "True",
        "Excluded",
        (),
        "Excluded",
    ),
    OrganizationCase(
        "excluded and still covered", "fabrikam", (EXCLUDE,), "False", "Provisioning", ("not been removed",)
    ),
    OrganizationCase(
        "excluded, and a decision overrules it",
        "fabrikam",
        (EXCLUDE, declared("fabrikam", "{onboarding: Onboarded}")),
        "True",
        "Onboarded",
    ),
    OrganizationCase(
        "not named",
        "tailspin",
        (SELECTED, LISTED, NEW, declared("tailspin", "{}")),
        "True",
        "NotIncluded",
        ("tailspin is not selected",),
        "NotIncluded",
    ),
    OrganizationCase(
        "not named and held elsewhere", "tailspin", (SELECTED, LISTED, HELD), "True", "NotIncluded", (), "NotIncluded"
    ),
    OrganizationCase(
        "come up after All",
        "tailspin",
        (ALL_DONE, LISTED, NEW),
        "True",
        "NotIncluded",
        ("AllAndFuture",),
        "NotIncluded",
    ),
    OrganizationCase(
        "come up after All and asked for by name",
        "tailspin",
        (ALL_DONE, LISTED, NEW, declared("tailspin", "{onboarding: Onboarded}")),
        "False",
        "Onboarding",
        (),
        "Onboarding",
    ),
    OrganizationCase(
        "no longer named and still covered",
        "fabrikam",
        (LISTED, "spec: {organizations: {mode: Selected, names: [contoso]}}"),
        "False",
        "Provisioning",
    ),
    # Observe
    OrganizationCase("observed and covered", "fabrikam", (OBSERVE,), "True", "Onboarded"),
    OrganizationCase(
        "observed and not covered",
        "fabrikam",
        (OBSERVE, OUT),
        "Stalled",
        "DriftDetected",
        ("fabrikam is not onboarded; managementPolicy Observe prevents",),
        "Onboarding",
    ),
    OrganizationCase(
        "observed and covered though excluded",
        "fabrikam",
        (OBSERVE, EXCLUDE),
        "Stalled",
        "DriftDetected",
        ("should not be",),
    ),
    # while nothing is known
    OrganizationCase(
        "the connector does not exist in Azure",
        "fabrikam",
        (ABSENT, FRESH, declared("fabrikam", "{}")),
        "False",
        "AwaitingAuthorization",
        ("connector is not ready",),
        None,
    ),
    OrganizationCase(
        "the configuration does not exist",
        "fabrikam",
        (NO_CONFIGURATION, FRESH, declared("fabrikam", "{}")),
        "False",
        "AwaitingAuthorization",
        (),
        None,
    ),
    OrganizationCase(
        "Azure is being changed", "fabrikam", (PENDING, declared("fabrikam", "{}")), "False", "Provisioning", (), None
    ),
    OrganizationCase(
        "Azure cannot be read",
        "fabrikam",
        (declared("fabrikam", "{}"), unreadable("Forbidden", terminal=True)),
        "Stalled",
        "Forbidden",
        (),
        None,
    ),
    OrganizationCase(
        "Azure does not answer",
        "fabrikam",
        (declared("fabrikam", "{}"), unreadable("AzureUnavailable", terminal=False)),
        "False",
        "AzureUnavailable",
        (),
        None,
    ),
    OrganizationCase(
        "the connector is another's",
        "fabrikam",
        (declared("fabrikam", "{}"), "azure: {owner: another}"),
        "Stalled",
        "OwnershipLost",
        ("see its conditions",),
        None,
    ),
    OrganizationCase(
        "the authorization is lost", "fabrikam", (REVOKED,), "Stalled", "AuthorizationLost", ("see the connector",)
    ),
    OrganizationCase(
        "the authorization is lost before it was taken in",
        "fabrikam",
        (OUT, REVOKED),
        "Stalled",
        "AuthorizationLost",
        ("see the connector",),
        "Onboarding",
    ),
    OrganizationCase(
        "the authorization is lost before it was not been removed",
        "fabrikam",
        (EXCLUDE, LISTED, REVOKED),
        "Stalled",
        "AuthorizationLost",
    ),
    OrganizationCase(
        "excluded, and the connector does not exist in Azure",
        "fabrikam",
        (ABSENT, FRESH, declared("fabrikam", "{onboarding: Excluded}")),
        "True",
        "Excluded",
        (),
        None,
    ),
    OrganizationCase(
        "nobody answers whether it is there",
        "typo",
        (
            "azure: {available: unknown}",
            "status: {conditions: [{type: Authorized, status: 'True', reason: Authorized}]}",
            declared("typo", "{}"),
        ),
        "False",
        "Onboarding",
        ("not returned",),
        None,
    ),
    OrganizationCase(
        "suspended before anybody looked", "fabrikam", ("spec: {suspend: true}", FRESH), "False", "Suspended", (), None
    ),
    OrganizationCase(
        "declared for a connector that worked until it was suspended",
        "tailspin",
        ("spec: {suspend: true}", CONNECTOR_READY, declared("tailspin", "{onboarding: Onboarded}")),
        "False",
        "Suspended",
        ("see its conditions",),
        None,
    ),
    OrganizationCase(
        "declared for a connector that is going and cannot",
        "tailspin",
        (BLOCKED, declared("tailspin", "{onboarding: Onboarded}")),
        "Stalled",
        "DeletionBlocked",
        ("see its conditions",),
        None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_status_of_an_organization(case: OrganizationCase) -> None:
    status = status_of(case.organization, *case.world)
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert ready.reason == case.reason
    assert ready.status == ("True" if case.ready == "True" else "False")
    assert is_true(status.conditions, "Stalled") is (case.ready == "Stalled")
    assert is_true(status.conditions, "Reconciling") is (case.ready == "False")
    for phrase in case.phrases:
        assert phrase in ready.message
    onboarded = find_condition(status.conditions, "Onboarded")
    assert (onboarded.reason if onboarded else None) == case.onboarded
    assert onboarded is None or (onboarded.status == "True") is (onboarded.reason == "Onboarded")
    assert status.observed_generation == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_reason_is_documented(case: OrganizationCase) -> None:
    for condition in status_of(case.organization, *case.world).conditions:
        assert condition.reason in REASONS[ConditionType(condition.type)]


# --- the last word


@pytest.mark.parametrize(
    "world",
    [(PENDING,), (unreadable("Forbidden", terminal=True),)],
    ids=["an operation under way", "no rights"],
)
def test_ready_stays_while_nothing_is_known(world: tuple[str, ...]) -> None:
    fragment = f"{{generated: true, status: {{observedGeneration: 1, conditions: [{READY}]}}}}"
    status = status_of("fabrikam", *world, declared("fabrikam", fragment))
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "Onboarded")


def test_connector_not_found_ends_once_a_connector_exists() -> None:
    orphan = "{type: Ready, status: 'False', reason: ConnectorNotFound}"
    fragment = f"{{onboarding: Onboarded, status: {{observedGeneration: 1, conditions: [{orphan}]}}}}"
    status = status_of("fabrikam", unreadable("Forbidden", terminal=True), declared("fabrikam", fragment))
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Forbidden")


def test_a_conflict_ends_once_the_other_resource_is_deleted() -> None:
    loss = "{type: Ready, status: 'False', reason: Conflict}"
    fragment = f"{{onboarding: Onboarded, status: {{observedGeneration: 1, conditions: [{loss}]}}}}"
    status = status_of("fabrikam", PENDING, declared("fabrikam", fragment))
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Provisioning")


def test_a_copied_connector_state_follows_the_connector() -> None:
    forbidden = status_of("fabrikam", declared("fabrikam", "{}"), unreadable("Forbidden", terminal=True))
    fragment = f"{{status: {yaml.safe_dump(forbidden.dump(), default_flow_style=True)}}}"
    status = status_of("fabrikam", PENDING, declared("fabrikam", fragment))
    ready = find_condition(status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Provisioning")
    assert not is_true(status.conditions, "Stalled")


COVERED = f"""
observedGeneration: 1
onboardingState: Onboarded
organizationId: {CONNECTOR_ID}/devops/default/azureDevOpsOrgs/fabrikam
projects: {{discovered: 3}}
repositories: {{discovered: 4}}
conditions:
  - {READY}
  - {{type: Onboarded, status: 'True', reason: Onboarded}}
  - {{type: Discovered, status: 'True', reason: Discovered}}
"""
"""The status of an organization that is covered, as a block of YAML."""


def covered_before(organization: str, **fragment: object) -> str:
    return yaml.safe_dump({"resources": {organization: {"status": yaml.safe_load(COVERED), **fragment}}})


@pytest.mark.parametrize(
    ("world", "ready", "onboarded"),
    [
        (("azure: {organizations: {fabrikam: null}}",), "OrganizationNotFound", "OrganizationNotFound"),
        (("azure: {organizations: {fabrikam: null}, available: unknown}",), "Onboarding", "OrganizationNotFound"),
        ((OUT,), "Onboarding", "Onboarding"),
        (("azure: {organizations: {fabrikam: Held}}",), "HeldByOtherConnector", "HeldByOtherConnector"),
        ((EXCLUDE, LISTED, OUT), "Excluded", "Excluded"),
        ((ABSENT,), "ConnectorNotFound", "ConnectorNotFound"),
    ],
    ids=[
        "gone",
        "gone, and nobody answers where",
        "not been removed",
        "held elsewhere",
        "excluded",
        "without a connector",
    ],
)
def test_an_uncovered_organization_loses_its_coverage_and_counts(
    world: tuple[str, ...], ready: str, onboarded: str
) -> None:
    status = status_of("fabrikam", *world, covered_before("fabrikam"))
    reasons = {condition.type: condition.reason for condition in status.conditions}
    assert (reasons["Ready"], reasons["Onboarded"]) == (ready, onboarded)
    assert not is_true(status.conditions, "Onboarded")
    assert is_true(status.conditions, "Ready") is (ready == "Excluded")
    assert "Discovered" not in reasons
    assert (status.organization_id, status.projects, status.repositories) == (None, None, None)
    assert status.onboarding_state != "Onboarded"


@pytest.mark.parametrize(
    "world",
    [(PENDING,), (unreadable("Forbidden", terminal=True),), ("azure: {owner: another}",)],
    ids=["an operation under way", "no rights", "another's"],
)
def test_facts_of_an_organization_stay_while_nothing_is_known(world: tuple[str, ...]) -> None:
    status = status_of("fabrikam", *world, covered_before("fabrikam"))
    assert is_true(status.conditions, "Onboarded")
    assert is_true(status.conditions, "Discovered")
    assert status.onboarding_state == "Onboarded"
    assert status.projects is not None


def test_every_condition_has_the_generation_of_the_resource() -> None:
    status = status_of("fabrikam", PENDING, covered_before("fabrikam", generation=2, onboarding="Excluded"))
    assert status.observed_generation == 2
    assert {condition.observed_generation for condition in status.conditions} == {2}


@pytest.mark.parametrize("world", [ABSENT, NO_CONFIGURATION])
def test_without_a_connector_in_azure_nothing_is_covered(world: str) -> None:
    onboarded = "{type: Onboarded, status: 'True', reason: Onboarded}"
    fragment = f"status: {{observedGeneration: 1, onboardingState: Onboarded, conditions: [{READY}, {onboarded}]}}"
    status = status_of("fabrikam", world, declared("fabrikam", f"{{generated: true, {fragment}}}"))
    assert not is_true(status.conditions, "Ready")
    covered = find_condition(status.conditions, "Onboarded")
    assert covered is not None
    assert (covered.status, covered.reason) == ("False", "ConnectorNotFound")
    assert (status.onboarding_state, status.organization_id) == (None, None)


def test_ready_of_an_older_generation_does_not_stay() -> None:
    fragment = f"{{onboarding: Excluded, generation: 2, status: {{observedGeneration: 1, conditions: [{READY}]}}}}"
    status = status_of("fabrikam", PENDING, declared("fabrikam", fragment))
    assert not is_true(status.conditions, "Ready")
    assert status.observed_generation == 2


def test_suspend_changes_no_observed_organization() -> None:
    fragment = f"{{generated: true, status: {{observedGeneration: 1, conditions: [{READY}]}}}}"
    assert "contoso-fabrikam" not in statuses("spec: {suspend: true}", declared("fabrikam", fragment))


def test_organizations_of_a_released_connector_are_not_changed() -> None:
    going = "{metadata: {deletionTimestamp: '2026-03-01T11:00:00Z', finalizers: []}, spec: {deletionPolicy: Delete}}"
    assert statuses(going, declared("tailspin", "{onboarding: Onboarded}")) == {}


# --- two for one


def test_the_older_of_two_resources_decides_and_the_other_reports_a_conflict() -> None:
    two = "[{onboarding: Excluded, name: older, age: 90}, {onboarding: Onboarded, name: newer, age: 5}]"
    fragment = statuses(LISTED, OUT, declared("fabrikam", two))
    (_, older), (_, newer) = fragment["older"], fragment["newer"]
    assert is_true(older.conditions, "Ready")
    conflict = find_condition(newer.conditions, "Ready")
    assert conflict is not None
    assert (conflict.status, conflict.reason) == ("False", "Conflict")
    assert is_true(newer.conditions, "Stalled")
    assert "DevOpsOrganization older is older and takes precedence for fabrikam. Delete one" in conflict.message


def test_a_conflict_is_reported_while_the_connector_is_suspended() -> None:
    two = "[{onboarding: Excluded, name: older, age: 90}, {onboarding: Onboarded, name: newer, age: 5}]"
    _, newer = statuses("spec: {suspend: true}", declared("fabrikam", two))["newer"]
    conflict = find_condition(newer.conditions, "Ready")
    assert conflict is not None
    assert conflict.reason == "Conflict"


def test_a_declared_resource_has_no_conflict_with_a_generated_one() -> None:
    fragment = statuses(declared("fabrikam", "[{generated: true, age: 90}, {name: mine, age: 5}]"))
    _, mine = fragment["mine"]
    assert is_true(mine.conditions, "Ready")


# --- facts


def test_the_facts_are_those_of_azure() -> None:
    status = status_of("fabrikam", "counts: {fabrikam: [10, 80]}", "expected: {fabrikam: [10, 84]}")
    assert status.onboarding_state == "Onboarded"
    assert status.organization_id == f"{CONNECTOR_ID}/devops/default/azureDevOpsOrgs/fabrikam"
    assert status.conflicting_connector is None
    assert status.projects is not None
    assert status.repositories is not None
    assert (status.projects.discovered, status.projects.expected) == (10, 10)
    assert (status.repositories.discovered, status.repositories.expected) == (80, 84)


def test_the_conflicting_connector_is_named_until_it_releases_the_organization() -> None:
    rival = "conflictingConnectors: {tailspin: /subscriptions/x}"
    conflicting = status_of("tailspin", HELD, rival)
    assert (conflicting.conflicting_connector, conflicting.organization_id) == ("/subscriptions/x", None)
    assert conflicting.onboarding_state == "OnboardedByOtherConnector"
    previous = "{status: {conflictingConnector: /subscriptions/x}}"
    assert (
        status_of(
            "fabrikam", "conflictingConnectors: {fabrikam: /x}", declared("fabrikam", previous)
        ).conflicting_connector
        is None
    )


def test_missing_counts_stay_unchanged() -> None:
    previous = "{generated: true, status: {projects: {discovered: 3}, repositories: {discovered: 4}}}"
    status = status_of("fabrikam", declared("fabrikam", previous))
    assert status.projects is not None
    assert status.projects.discovered == 3


CHECK = "{check: AccessLevel, status: 'False', reason: NotAMember, message: Assign Basic.}"


def test_prerequisites_are_listed_with_their_condition() -> None:
    status = status_of("fabrikam", SIGN_IN, f"prerequisites: {{fabrikam: [{CHECK}]}}")
    (check,) = status.prerequisites
    assert (check.check, check.status, check.reason) == ("AccessLevel", "False", "NotAMember")
    met = find_condition(status.conditions, "PrerequisitesMet")
    assert met is not None
    assert (met.status, met.message) == ("False", "fabrikam: AccessLevel (Assign Basic.)")
    assert is_true(status.conditions, "Ready")


def test_prerequisites_stay_while_unchecked_and_are_removed_with_the_sign_in() -> None:
    unmet = "{type: PrerequisitesMet, status: 'False', reason: PrerequisitesNotMet}"
    previous = f"{{generated: true, status: {{prerequisites: [{CHECK}], conditions: [{unmet}]}}}}"
    remaining, removed = (status_of("fabrikam", *world, declared("fabrikam", previous)) for world in ((SIGN_IN,), ()))
    assert remaining.prerequisites
    assert find_condition(remaining.conditions, "PrerequisitesMet") is not None
    assert not removed.prerequisites
    assert find_condition(removed.conditions, "PrerequisitesMet") is None


# --- discovery

COMPLETED = """
status:
  discovery:
    startedAt: '2026-03-01T01:00:00Z'
    completedAt: '2026-03-01T02:00:00Z'
    organizations: {onboarded: 2}
"""


@pytest.mark.parametrize(
    ("world", "reasons"),
    [
        ((), ("Discovering", "Discovering")),
        (("counts: {contoso: [1, 8], fabrikam: [2, 3]}",), ("Discovering", "Discovering")),
        (
            ("counts: {contoso: [1, 8], fabrikam: [2, 3]}", "expected: {contoso: [1, 8], fabrikam: [2, 4]}"),
            ("Discovered", "Discovering"),
        ),
        (
            ("counts: {contoso: [1, 8], fabrikam: [2, 4]}", "expected: {contoso: [1, 8], fabrikam: [2, 4]}"),
            ("Discovered", "Discovered"),
        ),
        (
            (
                "counts: {contoso: [1, 8]}",
                "expected: {contoso: [1, 8], fabrikam: [2, 4]}",
                "status: {discovery: {startedAt: '2026-03-01T01:00:00Z', organizations: {onboarded: 2}}}",
            ),
            ("Discovered", "DeadlineExceeded"),
        ),
        (
            (
                "counts: {contoso: [1, 8], fabrikam: [2, 3]}",
                COMPLETED,
            ),
            ("Discovered", "Discovered"),
        ),
    ],
)
def test_each_organization_reports_its_own_discovery(world: tuple[str, ...], reasons: tuple[str, str]) -> None:
    actual = [find_condition(status_of(name, *world).conditions, "Discovered") for name in ("contoso", "fabrikam")]
    assert tuple(condition.reason if condition else None for condition in actual) == reasons


def test_an_organization_that_is_not_onboarded_has_no_discovery() -> None:
    assert find_condition(status_of("tailspin", HELD).conditions, "Discovered") is None


# --- without a connector


def test_an_organization_that_comes_before_its_connector_waits_for_it() -> None:
    fresh = resource("fabrikam", {"name": "mine"})
    first = report_missing_connector(fresh, NOW)
    ready = find_condition(first.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "ConnectorNotFound")
    assert "There is no AzureDevOpsConnector contoso in this namespace. Create it" in ready.message
    assert is_true(first.conditions, "Reconciling")
    again = report_missing_connector(fresh.model_copy(update={"status": first}), NOW)
    assert again == first


def test_an_organization_that_outlives_its_connector_needs_a_person() -> None:
    (remaining,) = (
        resource
        for resource in snapshot(covered_before("fabrikam")).organizations
        if resource.spec.organization == "fabrikam"
    )
    first = report_missing_connector(remaining, NOW)
    assert is_true(first.conditions, "Stalled")
    assert not is_true(first.conditions, "Onboarded")
    assert first.onboarding_state is None
    assert first.projects is None
    again = report_missing_connector(remaining.model_copy(update={"status": first}), NOW)
    assert again == first


def test_a_resource_that_was_just_created_gets_a_status_at_once() -> None:
    """An object without a status is not Current for kstatus."""
    generated = statuses()
    assert all(resource.metadata.labels.get(LABEL_GENERATED) for resource, _ in generated.values())
    assert all(status.observed_generation == resource.metadata.generation for resource, status in generated.values())
