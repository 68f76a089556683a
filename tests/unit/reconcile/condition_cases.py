"""What the tables of conditions are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from defender_devops.api.conditions import Condition, find_condition
from defender_devops.api.reasons import REASONS, ConditionType
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot

SIGN_IN = """
spec:
  signIn: {method: DeviceCode, account: mdc@contoso.com, client: {id: 55555555-5555-5555-5555-555555555555}}
"""
WHO = "spec: {authorization: {account: mdc@contoso.com}}"
UNREAD = "status: {conditions: []}"
HELD = "{azure: {others: {tailspin: Held}}, resources: {tailspin: {onboarding: Inherit}}}"
HELD_BY_NAME = "{azure: {others: {tailspin: Held}}, resources: {tailspin: {onboarding: Onboarded}}}"
TYPO = "{spec: {organizations: {mode: Selected, names: [contoso, fabrikam, typo]}}, resources: {typo: {}}}"
EXCHANGE_FAILED = (
    "azure: {configuration: {state: Failed, message: 'AzureDevOps token exchange failed: InvalidOAuthCode.'},"
    " organizations: null, available: none}"
)
REVOKED = "azure: {probe: {reason: TokenExchangeFailed, message: It was revoked., terminal: true}}"
WEIRD = "azure: {probe: {reason: InvalidSpec, message: 'Azure rejected the request: Weird.', terminal: true}}"
"""A refusal that may or may not concern Defender's authorization."""
FORBIDDEN = "azure: {probe: {reason: Forbidden, message: Grant listAvailable., terminal: true}}"
PENDING = "azure: {configuration: {state: Pending}, organizations: null, available: unknown}"
AUTHORIZED = "status: {conditions: [{type: Authorized, status: 'True', reason: Authorized}]}"
NEVER_AUTHORIZED = "status: {authorization: null}"
PROVISIONED = "status: {conditions: [{type: Provisioned, status: 'True', reason: Provisioned, observedGeneration: 1}]}"


def unreadable(reason: str, *, terminal: bool) -> str:
    return f"unreadable: {{reason: {reason}, message: Do this about it., terminal: {str(terminal).lower()}}}"


def signed_in(text: str) -> str:
    return f"signIn: {text}"


@dataclass(frozen=True)
class ConditionCase:
    """What one condition says.

    Attributes:
        why: the case, as a sentence.
        world: fragments for `builder.snapshot`.
        condition: its type.
        status: and its status.
        reason: and its reason; None where the condition is absent.
        words: parts of its message.
        failure: of a step.
    """

    title: str
    world: tuple[str, ...]
    condition: str
    status: str = ""
    reason: str | None = None
    phrases: tuple[str, ...] = field(default=())
    failure: Failure | None = None

    def __str__(self) -> str:
        return f"{self.condition}: {self.title}"


def reported_condition(kind: str, *world: str, failure: Failure | None = None) -> Condition | None:
    """What is reported of a world."""
    return find_condition(report(Assessment(snapshot(*world)), failure, NOW).status.conditions, kind)


def assert_condition(case: ConditionCase) -> None:
    """Assert that the case's condition has its status, reason, phrases and generation."""
    actual = reported_condition(case.condition, *case.world, failure=case.failure)
    if case.reason is None:
        assert actual is None
        return
    assert actual is not None
    assert (actual.status, actual.reason) == (case.status, case.reason)
    for phrase in case.phrases:
        assert phrase in actual.message
    assert actual.observed_generation == snapshot(*case.world).connector.metadata.generation


def assert_reasons_are_documented(case: ConditionCase) -> None:
    """Assert that every reported reason is listed for its condition type."""
    result = report(Assessment(snapshot(*case.world)), case.failure, NOW)
    for conditions in (result.status.conditions, *(status.conditions for _, status in result.organizations)):
        for condition in conditions:
            assert condition.reason in REASONS[ConditionType(condition.type)], condition
