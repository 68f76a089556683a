"""What every known error of Azure means for Defender's authorization, if the check of the authorization ends in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops import errors
from defender_devops.api.conditions import Conditions, find_condition
from defender_devops.azure.arm.error_body import ErrorDetail
from defender_devops.azure.arm.error_codes import BY_CODE, BY_STATUS, ErrorRule, RequestContext, rule_for_http_status
from defender_devops.errors import (
    AuthorizationCheckDenied,
    AzureUnavailable,
    ErrorCategory,
    InvalidRequest,
    OperatorError,
)
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.authorization import REFUSALS_BEFORE_SUSPICION
from defender_devops.reconcile.facts.failure import failure_of_error
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.condition_cases import AUTHORIZED

RULES: dict[str, ErrorRule] = {**BY_CODE, **{f"HTTP {status}": rule for status, rule in BY_STATUS.items()}}
CONTEXT = RequestContext("list the available organizations", from_manifest=False)
CHECK = replace(CONTEXT, checks_authorization=True)


ERRORS = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, OperatorError)]
"""The whole tree of errors.py; the errors of the sign-in flows never come from Azure."""


def conditions_of(error: OperatorError, refusals: int, status: str = AUTHORIZED) -> Conditions:
    """The conditions after a check that ended in an error for the `refusals`-th time in a row."""
    world = snapshot(status)
    world = replace(world, cloud=replace(world.cloud, probe_failure=failure_of_error(error), probe_failures=refusals))
    return report(Assessment(world), None, NOW).status.conditions


def messages(error: OperatorError, refusals: int) -> dict[str, str]:
    """The messages of the conditions by type."""
    return {condition.type: condition.message for condition in conditions_of(error, refusals)}


def authorized(error: OperatorError, refusals: int = 1, status: str = AUTHORIZED) -> tuple[str, str, str]:
    """Status and reason of Authorized, and the status of ReauthRequired, for a connector that was authorized."""
    conditions = conditions_of(error, refusals, status)
    condition, reauth = (find_condition(conditions, kind) for kind in ("Authorized", "ReauthRequired"))
    assert condition is not None
    assert reauth is not None
    return condition.status, condition.reason, reauth.status


def expected(error: OperatorError, refusals: int = 1) -> tuple[str, str, str]:
    is_repeated = refusals >= REFUSALS_BEFORE_SUSPICION
    is_denied_repeatedly = error.category is ErrorCategory.DENIAL and is_repeated
    if error.category is ErrorCategory.AUTHORIZATION or is_denied_repeatedly:
        return "False", "AuthorizationLost", "True"
    is_explained = error.category in {ErrorCategory.ACCESS, ErrorCategory.TRANSIENT} or not error.terminal
    if is_explained and not (is_repeated and error.reason == "AzureUnavailable"):
        return "True", "Authorized", "False"
    return "Unknown", "CheckUnavailable", "Unknown" if is_repeated else "False"


@pytest.mark.parametrize("refusals", [1, REFUSALS_BEFORE_SUSPICION])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_only_errors_of_defender_s_authorization_are_a_loss(rule: ErrorRule, refusals: int) -> None:
    detail = ErrorDetail(code="Code", message="Message.")
    error = rule.build(detail, detail, CONTEXT, 400)
    assert authorized(error, refusals) == expected(error, refusals)


@pytest.mark.parametrize("refusals", [1, REFUSALS_BEFORE_SUSPICION])
@pytest.mark.parametrize("status", [401, 403])
def test_a_denial_of_another_code_is_a_loss_once_it_is_repeated(status: int, refusals: int) -> None:
    detail = ErrorDetail(code="Code", message="Message.")
    error = rule_for_http_status(status, detail, CHECK).build(detail, detail, CHECK, status)
    assert error.category is ErrorCategory.DENIAL
    assert authorized(error, refusals) == expected(error, refusals)
    text = messages(error, refusals)["Authorized"]
    for part in ("Code: Message", f"HTTP {status}", "listAvailableAzureDevOpsOrgs/action", "operator's identity"):
        assert part in text


@pytest.mark.parametrize(("status", "reason"), [("'False'", "AuthorizationLost"), ("Unknown", "CheckUnavailable")])
def test_a_denial_after_a_restart_keeps_what_was_known(status: str, reason: str) -> None:
    failure = AuthorizationCheckDenied("Message.")
    previous = f"status: {{conditions: [{{type: Authorized, status: {status}, reason: {reason}}}]}}"
    assert authorized(failure, 1, previous)[1] == reason


def test_a_suspected_loss_stays_suspected_after_a_restart() -> None:
    previous = (
        "status: {conditions: [{type: Authorized, status: Unknown, reason: CheckUnavailable},"
        " {type: ReauthRequired, status: Unknown, reason: CheckUnavailable}]}"
    )
    for failure in (InvalidRequest("Message."), AzureUnavailable("Message.")):
        assert authorized(failure, 1, previous) == ("Unknown", "CheckUnavailable", "Unknown")


def test_a_denial_of_a_connector_that_was_never_authorized_is_no_loss() -> None:
    never = "status: {authorization: null, conditions: [{type: Authorized, status: 'False', reason: NotChecked}]}"
    result = authorized(AuthorizationCheckDenied("Message."), REFUSALS_BEFORE_SUSPICION, never)
    assert result[:2] == ("Unknown", "CheckUnavailable")
    assert result[2] != "True"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_class_of_error_is_a_loss_only_by_its_category(error: type[OperatorError]) -> None:
    failure = error("Message.")
    assert authorized(failure) == expected(failure)


def test_the_table_has_losses_and_refusals_of_the_operator_s_access() -> None:
    """Otherwise the tests above would show nothing."""
    categories = {rule.error.category for rule in RULES.values()}
    assert {ErrorCategory.AUTHORIZATION, ErrorCategory.ACCESS, ErrorCategory.TRANSIENT} <= categories
    for code in ("SubscriptionNotFound", "ResourceGroupNotFound", "InvalidAuthenticationTokenTenant"):
        assert BY_CODE[code].error.category is ErrorCategory.ACCESS
