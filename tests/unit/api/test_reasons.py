from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from defender_devops import errors
from defender_devops.api.reasons import REASONS, ConditionType, Reason

PUBLIC_REASONS = {
    ConditionType.PROVISIONED: "ConnectorNotFound AzureUnavailable Throttled Forbidden InvalidSpec RegionNotSupported"
    " PolicyDenied ProviderNotRegistered NotAdopted OwnershipLost DriftDetected CredentialsMissing",
    ConditionType.AUTHORIZED: "AwaitingAuthorization TokenExchangeFailed AuthorizationCodeInvalid AuthorizationLost",
    ConditionType.SIGNED_IN: "SignInRequired WrongAccount WrongTenant ConsentRequired AccountBlocked"
    " OAuthAppMisconfigured TokenServiceUnavailable",
    ConditionType.REAUTH_REQUIRED: "NotRequired",
    ConditionType.ORGANIZATIONS_AVAILABLE: "OrganizationConflict OrganizationNotFound NoOrganizations",
    ConditionType.DISCOVERED: "Discovering DeadlineExceeded",
    ConditionType.POSTURE_AVAILABLE: "NoResultsYet QueryDenied Incomplete Disabled ResultsMissing StaleResults",
    ConditionType.READY: "Suspended Deleting DeletionBlocked",
    ConditionType.ONBOARDED: "Excluded Conflict HeldByOtherConnector ConnectorNotFound OrganizationNotFound",
}
"""The reasons that alerts and health checks of users rely on: this table only grows."""


@pytest.mark.parametrize("condition_type", PUBLIC_REASONS, ids=str)
def test_a_public_reason_still_exists(condition_type: ConditionType) -> None:
    assert set(PUBLIC_REASONS[condition_type].split()) <= {reason.value for reason in REASONS[condition_type]}


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_a_reason_has_one_sentence_of_cause_and_of_cure(reason: Reason) -> None:
    assert re.fullmatch("[A-Z][A-Za-z]+", reason)
    for text in (reason.cause, reason.cure):
        assert re.fullmatch(r"[A-Z`].*\.", text), text
        assert "  " not in text


@pytest.mark.parametrize("condition_type", ConditionType, ids=str)
def test_a_condition_has_a_meaning_and_reasons(condition_type: ConditionType) -> None:
    assert condition_type.meaning.endswith(".")
    assert REASONS[condition_type]


def test_every_reason_belongs_to_a_condition() -> None:
    assert {reason for reasons in REASONS.values() for reason in reasons} == set(Reason)


def subclasses(error: type[errors.OperatorError]) -> Iterator[type[errors.OperatorError]]:
    yield error
    for subclass in error.__subclasses__():
        yield from subclasses(subclass)


@pytest.mark.parametrize(
    "error",
    sorted(set(subclasses(errors.OperatorError)), key=lambda error: error.__name__),
    ids=lambda error: error.__name__,
)
def test_every_error_ends_in_a_reason_that_is_explained(error: type[errors.OperatorError]) -> None:
    assert error.reason in set(Reason)


def test_a_reason_is_a_string_that_compares_and_serializes_as_one() -> None:
    assert str(Reason.READY) == "Ready"
    assert Reason("Ready") is Reason.READY
    assert f"{Reason.READY}" == "Ready"
