"""Ready, Reconciling and Stalled: what kstatus reads, and which of several problems is reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from defender_devops.api.conditions import find_condition, is_true
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, SPENT_CODE, cloud_of, snapshot, with_status
from tests.unit.reconcile.cases import ABSENT, CODE, FRESH, LISTED, NO_CONFIGURATION, OBSERVE, SELECTED
from tests.unit.reconcile.condition_cases import (
    AUTHORIZED,
    EXCHANGE_FAILED,
    FORBIDDEN,
    HELD,
    HELD_BY_NAME,
    NEVER_AUTHORIZED,
    PENDING,
    REVOKED,
    SIGN_IN,
    TYPO,
    WEIRD,
    WHO,
    signed_in,
    unreadable,
)

READY = """
status:
  conditions: [{type: Ready, status: 'True', reason: Ready}, {type: Authorized, status: 'True', reason: Authorized}]
"""
RENEWED = """
status:
  conditions:
  - {type: Authorized, status: 'False', reason: AuthorizationLost}
  - {type: Provisioned, status: 'True', reason: Provisioned, observedGeneration: 1}
"""
NOBODY_THERE = """
spec: {organizations: {mode: Selected, names: [typo]}}
azure: {organizations: null}
resources: {typo: {}}
"""
WAITING = "status: {conditions: [{type: Authorized, status: 'False', reason: AwaitingAuthorization}]}"
OUT = "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}"
DOWN = unreadable("AzureUnavailable", terminal=False)


@dataclass(frozen=True)
class Ends:
    """What kstatus says (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus), and for what reason."""

    title: str
    world: tuple[str, ...]
    kstatus: str
    reason: str
    failure: Failure | None = None

    def __str__(self) -> str:
        return self.title


CURRENT, IN_PROGRESS, FAILED = "Current", "InProgress", "Failed"

CASES = [
    Ends(
        "the authorization is lost and the probe is down",
        (
            "status: {conditions: [{type: Authorized, status: 'False', reason: AuthorizationLost}]}",
            "azure: {probe: {reason: Throttled, message: slow}}",
        ),
        FAILED,
        "AuthorizationLost",
    ),
    Ends("all is well", (), CURRENT, "Ready"),
    Ends(
        "the authorization no longer reaches one", ("azure: {unreachable: [fabrikam]}",), FAILED, "OrganizationNotFound"
    ),
    Ends(
        "the authorization no longer reaches the only one that is requested",
        (
            "spec: {organizations: {mode: Selected, names: [contoso]}}",
            "azure: {unreachable: [contoso], organizations: {fabrikam: null}, others: {tailspin: Free}}",
            LISTED,
        ),
        FAILED,
        "OrganizationNotFound",
    ),
    Ends("Azure rejects the check for an unknown reason", (WEIRD, AUTHORIZED), IN_PROGRESS, "CheckUnavailable"),
    Ends(
        "Azure keeps rejecting the check for an unknown reason",
        (WEIRD, AUTHORIZED, "azure: {refusals: 3}"),
        FAILED,
        "CheckUnavailable",
    ),
    Ends(
        "another account has authorized",
        (CODE, WHO, "status: {authorization: {account: alex@contoso.com}}"),
        FAILED,
        "WrongAccount",
    ),
    Ends("under Observe all is well", (OBSERVE,), CURRENT, "Ready"),
    Ends("a first authorization is waited for", (ABSENT, FRESH), IN_PROGRESS, "AwaitingAuthorization"),
    Ends("a first code is waited for", (ABSENT, FRESH, CODE), IN_PROGRESS, "AwaitingAuthorization"),
    Ends(
        "a code was lost on the way",
        (
            NO_CONFIGURATION,
            CODE,
            "code: spent",
            f"status: {{authorization: {{lastAuthorizedAt: null, codeHash: {SPENT_CODE}}}}}",
        ),
        IN_PROGRESS,
        "AwaitingAuthorization",
    ),
    Ends("a code was refused", (ABSENT, FRESH, CODE, "code: refused"), FAILED, "AuthorizationCodeInvalid"),
    Ends("a code is being exchanged", (PENDING, CODE, NEVER_AUTHORIZED), IN_PROGRESS, "Provisioning"),
    Ends(
        "a code is being exchanged after a loss",
        (
            PENDING,
            CODE,
            RENEWED,
        ),
        IN_PROGRESS,
        "AwaitingAuthorization",
    ),
    Ends("an exchange failed", (EXCHANGE_FAILED, CODE, NEVER_AUTHORIZED), FAILED, "TokenExchangeFailed"),
    Ends("the authorization is lost", (REVOKED, AUTHORIZED), FAILED, "AuthorizationLost"),
    Ends(
        "the authorization is lost and the choice differs", (REVOKED, AUTHORIZED, SELECTED), FAILED, "AuthorizationLost"
    ),
    Ends("the connector was deleted", (ABSENT, AUTHORIZED), FAILED, "ConnectorNotFound"),
    Ends("the configuration was deleted", (NO_CONFIGURATION, AUTHORIZED), FAILED, "ConnectorNotFound"),
    Ends("Azure has to be changed", (SELECTED,), IN_PROGRESS, "Provisioning"),
    Ends("Azure is at it", (PENDING, AUTHORIZED), IN_PROGRESS, "Provisioning"),
    Ends("an operation failed", ("azure: {configuration: {state: Failed}}",), IN_PROGRESS, "AzureUnavailable"),
    Ends("Azure is down for a new connector", (FRESH, DOWN), IN_PROGRESS, "AzureUnavailable"),
    Ends("Azure throttles", (FRESH, unreadable("Throttled", terminal=False)), IN_PROGRESS, "Throttled"),
    Ends("Azure is down while a first authorization is waited for", (WAITING, DOWN), IN_PROGRESS, "AzureUnavailable"),
    Ends(
        "the probe is down while a first authorization is waited for",
        (WAITING, NEVER_AUTHORIZED, "azure: {available: unknown}"),
        IN_PROGRESS,
        "AwaitingAuthorization",
    ),
    *(
        Ends(f"a person has to see to it: {reason}", (FRESH, unreadable(reason, terminal=True)), FAILED, reason)
        for reason in ("Forbidden", "InvalidSpec", "ProviderNotRegistered", "CredentialsMissing")
    ),
    *(
        Ends(f"a step asks for a person: {reason}", (), FAILED, reason, Failure(reason, "m", terminal=True))
        for reason in ("PolicyDenied", "RegionNotSupported", "Forbidden", "KubernetesRefused")
    ),
    *(
        Ends(f"a step is tried again: {reason}", (), IN_PROGRESS, reason, Failure(reason, "m"))
        for reason in ("AzureUnavailable", "Throttled", "KubernetesUnavailable", "InternalError")
    ),
    Ends("our own rights are missing for the probe", (FORBIDDEN,), FAILED, "Forbidden"),
    Ends("another owns it", (FRESH, "azure: {owner: another}"), FAILED, "NotAdopted"),
    Ends("another took it", ("azure: {owner: another}",), FAILED, "OwnershipLost"),
    Ends("drift under Observe", (OBSERVE, SELECTED), FAILED, "DriftDetected"),
    # organizations: only those that were asked for by name
    Ends("one that was named is missing", (TYPO, LISTED), FAILED, "OrganizationNotFound"),
    Ends(
        "one that a resource names is missing",
        ("resources: {typo: {onboarding: Onboarded}}",),
        FAILED,
        "OrganizationNotFound",
    ),
    Ends("one that a resource names is held elsewhere", (HELD_BY_NAME,), FAILED, "OrganizationConflict"),
    Ends("one that nobody named is held elsewhere", (HELD,), CURRENT, "Ready"),
    Ends("there are none and nobody named one", ("azure: {organizations: null}",), CURRENT, "Ready"),
    Ends(
        "there are none and one was named",
        (
            LISTED,
            NOBODY_THERE,
        ),
        FAILED,
        "NoOrganizations",
    ),
    Ends(
        "one that was named is still to come",
        ("azure: {organizations: {fabrikam: {state: Free}}}", "resources: {fabrikam: {onboarding: Onboarded}}"),
        IN_PROGRESS,
        "Onboarding",
    ),
    Ends(
        "one that was named is not known of yet",
        (AUTHORIZED, "azure: {available: unknown}", "resources: {tailspin: {onboarding: Onboarded}}"),
        IN_PROGRESS,
        "Onboarding",
    ),
    Ends("one that nobody named is still to come", ("azure: {others: {tailspin: Free}}",), CURRENT, "Ready"),
    # never gated on these
    Ends(
        "nobody is signed in",
        (SIGN_IN, signed_in("{signed_in: false, reason: SignInRequired, message: m}")),
        CURRENT,
        "Ready",
    ),
    Ends(
        "a lost sign-in",
        (SIGN_IN, signed_in("{signed_in: false, is_lost: true, reason: AccountBlocked, message: m}")),
        CURRENT,
        "Ready",
    ),
    Ends(
        "a prerequisite is not met",
        (SIGN_IN, "prerequisites: {contoso: [{check: AccessLevel, status: 'False'}]}"),
        CURRENT,
        "Ready",
    ),
    Ends("discovery goes on", ("counts: {contoso: [1, 1]}",), CURRENT, "Ready"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_kstatus(case: Ends) -> None:
    conditions = report(Assessment(snapshot(*case.world)), case.failure, NOW).status.conditions
    ready, reconciling, stalled = (find_condition(conditions, kind) for kind in ("Ready", "Reconciling", "Stalled"))
    assert ready is not None
    assert ready.reason == case.reason
    assert (ready.status == "True") is (case.kstatus == CURRENT)
    assert (reconciling is not None) is (case.kstatus == IN_PROGRESS)
    assert (stalled is not None) is (case.kstatus == FAILED)
    for condition in (reconciling, stalled):
        assert condition is None or (condition.status, condition.reason, condition.message) == (
            "True",
            ready.reason,
            ready.message,
        )


def test_an_accepted_list_matches_while_an_organization_is_pending() -> None:
    """With All one organization that cannot be onboarded must not keep the connector from being ready."""
    world = snapshot("spec: {organizations: {mode: All}}", LISTED, OUT)
    for step in plan(Assessment(world), NOW).actions:
        world = step.effect(world, NOW)
    requested = cloud_of(world).pending_requests
    previous = snapshot("spec: {organizations: {mode: All}}", LISTED, OUT)
    ignored = replace(previous, cloud=replace(cloud_of(previous), pending_requests=requested))
    assert not is_true(report(Assessment(previous), None, NOW).status.conditions, "Provisioned")
    assert is_true(report(Assessment(ignored), None, NOW).status.conditions, "Provisioned")
    assert is_true(report(Assessment(ignored), None, NOW).status.conditions, "Ready")


# --- patience


@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize("reason", ["AzureUnavailable", "Throttled"])
def test_a_transient_read_failure_changes_no_condition_of_a_ready_connector(failures: int, reason: str) -> None:
    world = snapshot(
        READY, unreadable(reason, terminal=False), "resources: {fabrikam: {generated: true}}", failures=failures
    )
    result = report(Assessment(world), None, NOW)
    assert result.status == world.connector.status
    assert not result.organizations


@pytest.mark.parametrize(
    ("title", "world", "failures"),
    [
        ("the fourth in a row", (READY, DOWN), 3),
        ("a person has to see to it", (READY, unreadable("Forbidden", terminal=True)), 0),
        ("it did not work before", (AUTHORIZED, DOWN), 0),
        ("the spec is new", (READY, DOWN, "metadata: {generation: 2}"), 0),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_read_failure_is_reported_after_the_limit(title: str, world: tuple[str, ...], failures: int) -> None:
    result = report(Assessment(snapshot(*world, failures=failures)), None, NOW)
    assert not is_true(result.status.conditions, "Ready")
    assert result.status.observed_generation == snapshot(*world).connector.metadata.generation


def test_an_outage_of_azure_keeps_the_sign_in_status() -> None:
    previous = "status: {signIn: {account: a@b.c, url: 'https://sign-in.contoso.com'}}"
    result = report(Assessment(snapshot(SIGN_IN, previous, unreadable("Forbidden", terminal=True))), None, NOW)
    assert result.status.sign_in == snapshot(previous).connector.status.sign_in


def test_the_sign_in_status_stays_while_signed_out() -> None:
    previous = "status: {signIn: {account: a@b.c, tenantId: t, url: old, tokenExpiresAt: '2026-03-05T00:00:00Z'}}"
    loss = signed_in("{signed_in: false, reason: SignInRequired, message: m, url: new}")
    status = report(Assessment(snapshot(SIGN_IN, previous, loss)), None, NOW).status.sign_in
    assert status is not None
    assert (status.account, status.tenant_id, status.url) == ("a@b.c", "t", "new")
    assert status.token_expires_at is None
    back = signed_in("{signed_in: true, account: b@b.c, tenant_id: u, url: new}")
    status = report(Assessment(snapshot(SIGN_IN, previous, back)), None, NOW).status.sign_in
    assert status is not None
    assert (status.account, status.tenant_id) == ("b@b.c", "u")


def test_removing_the_sign_in_removes_its_conditions_and_status() -> None:
    assert report(Assessment(snapshot("status: {signIn: {account: a@b.c}}")), None, NOW).status.sign_in is None


# --- suspend


@pytest.mark.parametrize("previous", ["True", "False"])
def test_suspend_keeps_the_status_of_ready_with_its_own_reason(previous: str) -> None:
    conditions = f"{{type: Ready, status: '{previous}', reason: X, lastTransitionTime: '2026-02-01T00:00:00Z'}}"
    world = snapshot(
        "spec: {suspend: true}",
        f"status: {{conditions: [{conditions}, {{type: Stalled, status: 'True', reason: X}}]}}",
        "metadata: {generation: 3}",
    )
    result = report(Assessment(world), None, NOW)
    ready = find_condition(result.status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == (previous, "Suspended")
    assert "spec.suspend" in ready.message
    assert ready.last_transition_time == datetime(2026, 2, 1, tzinfo=UTC)
    assert not is_true(result.status.conditions, "Stalled")
    assert result.status.observed_generation == 3
    again = report(Assessment(with_status(world, result.status)), None, NOW + timedelta(hours=9))
    assert again.status == result.status


def test_ready_is_unknown_for_a_connector_that_was_created_suspended() -> None:
    ready = find_condition(
        report(Assessment(snapshot(FRESH, "spec: {suspend: true}")), None, NOW).status.conditions, "Ready"
    )
    assert ready is not None
    assert (ready.status, ready.reason) == ("Unknown", "Suspended")
