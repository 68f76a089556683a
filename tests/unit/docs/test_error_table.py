"""Every known error code: what it is about, when it is retried, its condition. The page is generated from the rows."""

from __future__ import annotations

import pytest

from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.errors import ErrorCategory
from docs.error_table import ErrorRow, error_rows

ROWS = list(error_rows())
EXPECTED: dict[str, dict[ErrorCategory, str]] = {
    "Azure Resource Manager and Resource Graph": {
        ErrorCategory.AUTHORIZATION: "TokenExchangeFailed InvalidOAuthCode",
        ErrorCategory.DENIAL: "listAvailableAzureDevOpsOrgs:401 listAvailableAzureDevOpsOrgs:403",
        ErrorCategory.ACCESS: (
            "InvalidAuthenticationToken InvalidAuthenticationTokenAudience AuthenticationFailed "
            "AuthenticationFailedMissingToken InvalidAuthenticationTokenTenant AuthorizationFailed "
            "LinkedAuthorizationFailed ScopeLocked ReadOnlyDisabledSubscription DisabledSubscription "
            "SubscriptionDisabled SubscriptionNotFound InvalidSubscriptionId MissingSubscription "
            "NoValidSubscriptionsInQueryRequest ResourceGroupNotFound ResourceGroupBeingDeleted "
            "MissingSubscriptionRegistration SubscriptionNotRegistered HTTP:401 HTTP:403"
        ),
        ErrorCategory.REQUEST: (
            "InvalidResourceType InvalidResourceNamespace ResourceTypeNotFound RoleDefinitionDoesNotExist "
            "NoRegisteredProviderFound InvalidApiVersionParameter MissingApiVersionParameter "
            "RequestDisallowedByPolicy RequestDisallowedByAzure LocationNotAvailableForResourceType "
            "InvalidResourceLocation ResponsePayloadTooLarge RoleAssignmentUpdateNotPermitted PrincipalNotFound "
            "UnmatchedPrincipalType HTTP:400 HTTP:405 HTTP:413 HTTP:415 HTTP:422"
        ),
        ErrorCategory.ABSENT: "HTTP:404",
    },
    "Entra ID, for the operator's identity in Azure": {
        ErrorCategory.ACCESS: (
            "AADSTS53003 AADSTS530035 AADSTS7000215 AADSTS7000222 AADSTS700016 AADSTS7000229 AADSTS700027 "
            "AADSTS7000112 AADSTS7000113 AADSTS70021 AADSTS700211 AADSTS700212 AADSTS700213 AADSTS700024 AADSTS500133 "
            "AADSTS90002 AADSTS900021 invalid_client"
        ),
    },
    "Azure DevOps": {
        ErrorCategory.ACCESS: "TF400813 TF401444 HTTP:203 HTTP:302 HTTP:401 HTTP:403",
        ErrorCategory.REQUEST: "HTTP:400 HTTP:409",
        ErrorCategory.ABSENT: "HTTP:404 HTTP:410",
    },
    "Kubernetes API server": {
        ErrorCategory.ACCESS: "HTTP:400 HTTP:403 HTTP:413 HTTP:415 HTTP:422",
        ErrorCategory.ABSENT: "HTTP:404",
    },
}
"""The codes of each category by service; every other code is transient."""


def short(row: ErrorRow) -> str:
    """The code alone, without the explanation after it."""
    words = row.code.replace("`", "").split()
    if words[-1] == "listAvailableAzureDevOpsOrgs":
        return f"{words[-1]}:{words[1]}"
    return f"HTTP:{words[1]}" if words[0] == "HTTP" else words[0]


def test_no_code_has_two_rows() -> None:
    keys = [(row.service, row.code) for row in ROWS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("service", EXPECTED)
def test_each_code_has_the_expected_category(service: str) -> None:
    categories = {code: category for category, codes in EXPECTED[service].items() for code in codes.split()}
    rows = {short(row): row.category for row in ROWS if row.service == service}
    assert categories.keys() <= rows.keys()
    assert rows == {code: categories.get(code, ErrorCategory.TRANSIENT) for code in rows}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.service} {row.code}")
def test_each_row_is_consistent(row: ErrorRow) -> None:
    assert row.category is not ErrorCategory.UNKNOWN
    assert row.error.message
    if row.category in (ErrorCategory.TRANSIENT, ErrorCategory.ABSENT):
        assert not row.error.terminal, "what passes by itself is never retried slowly"
    if row.category is ErrorCategory.ABSENT:
        return
    condition, _, reason = row.condition.partition(" (")
    assert Reason(reason.partition(")")[0]) in REASONS[ConditionType(condition)]
    assert ("Stalled" in row.condition) == row.error.terminal == (row.retry == "slow")


def test_only_token_exchanges_are_a_loss_of_defenders_authorization() -> None:
    losses = {short(row) for row in ROWS if row.error.concerns_defender_authorization}
    assert losses == {"TokenExchangeFailed", "InvalidOAuthCode"}
