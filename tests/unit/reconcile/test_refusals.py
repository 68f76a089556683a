"""What every known error of Azure means for Defender's authorization, if the check of the authorization ends in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from defender_devops import errors
from defender_devops.api.conditions import find_condition
from defender_devops.azure.arm.error_body import ErrorDetail
from defender_devops.azure.arm.error_codes import BY_CODE, BY_STATUS, ErrorRule, RequestContext
from defender_devops.errors import ErrorCategory, OperatorError
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.authorization import REFUSALS_BEFORE_SUSPICION
from defender_devops.reconcile.facts.failure import failure_of_error
from defender_devops.reconcile.report.report import report
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.condition_cases import AUTHORIZED

RULES: dict[str, ErrorRule] = {**BY_CODE, **{f"HTTP {status}": rule for status, rule in BY_STATUS.items()}}
CONTEXT = RequestContext("list the available organizations", from_manifest=False)


ERRORS = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, OperatorError)]
"""The whole tree of errors.py; the errors of the sign-in flows never come from Azure."""


def authorized(error: OperatorError, refusals: int = 1) -> tuple[str, str, str]:
    """Status and reason of Authorized, and the status of ReauthRequired, for a connector that was authorized."""
    world = snapshot(AUTHORIZED)
    world = replace(world, cloud=replace(world.cloud, probe_failure=failure_of_error(error), probe_failures=refusals))
    conditions = report(Assessment(world), None, NOW).status.conditions
    condition, reauth = (find_condition(conditions, kind) for kind in ("Authorized", "ReauthRequired"))
    assert condition is not None
    assert reauth is not None
    return condition.status, condition.reason, reauth.status


def expected(error: OperatorError) -> tuple[str, str, str]:
    if error.category is ErrorCategory.AUTHORIZATION:
        return "False", "AuthorizationLost", "True"
    is_explained = error.category in {ErrorCategory.ACCESS, ErrorCategory.TRANSIENT}
    if is_explained or not error.terminal:
        return "True", "Authorized", "False"
    return "Unknown", "CheckUnavailable", "False"


@pytest.mark.parametrize("refusals", [1, REFUSALS_BEFORE_SUSPICION])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_only_errors_of_defender_s_authorization_are_a_loss(rule: ErrorRule, refusals: int) -> None:
    detail = ErrorDetail(code="Code", message="Message.")
    error = rule.build(detail, detail, CONTEXT, 400)
    assert authorized(error, refusals) == expected(error)


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
