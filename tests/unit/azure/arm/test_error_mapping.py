from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.azure.arm.error_mapping import (
    HttpResponse,
    RequestContext,
    arm_error_for_response,
    arm_retry_after_seconds,
)
from defender_devops.errors import (
    AuthorizationCheckDenied,
    AzureError,
    AzureNotFound,
    AzureUnavailable,
    DeletionInProgress,
    Forbidden,
    InvalidRequest,
    PolicyDenied,
    ProviderNotRegistered,
    RegionNotSupported,
    ScopeNotFound,
    Throttled,
    TokenExchangeFailed,
    WrongTenant,
)
from tests.unit.azure.fakes import NOW, SUBSCRIPTION

T1, T2 = "11111111-1111-1111-1111-111111111111", "99999999-9999-9999-9999-999999999999"
OBJECT = "44444444-4444-4444-4444-444444444444"
GROUP_SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-devops-security"
SCOPE = f"{GROUP_SCOPE}/providers/Microsoft.Security/securityConnectors/contoso"
CONTEXT = RequestContext("create connector", "client c", SUBSCRIPTION)

POLICY = {
    "type": "PolicyViolation",
    "info": {
        "policyDefinitionDisplayName": "Allowed locations",
        "policyAssignmentName": "only-sweden",
        "policyAssignmentScope": f"/subscriptions/{SUBSCRIPTION}",
    },
}


def arm(code: str, message: str = "", **more: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}}).encode()


def error_of(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> AzureError:
    return arm_error_for_response(HttpResponse(status, headers or {}, body), CONTEXT, NOW)


SUPPORT = (
    "Please provide below info when asking for support: timestamp = 2026-11-30T16:00:00Z, correlationId = "
    "11111111-1111-1111-1111-111111111111."
)

CASES = {
    "no rights": (
        403,
        arm(
            "AuthorizationFailed",
            f"The client 'C' with object id '{OBJECT}' does not have authorization to perform action "
            f"'Microsoft.Security/securityConnectors/write' over scope '{SCOPE}' or the scope is invalid. "
            "If access was recently granted, please refresh your credentials.",
        ),
        Forbidden,
        [
            "client C",
            OBJECT,
            "Microsoft.Security/securityConnectors/write",
            f"over {SCOPE}",
            f"az role assignment create --assignee-object-id {OBJECT}",
            "--role 'Security Admin'",
            f"--scope {GROUP_SCOPE} ",
        ],
    ),
    "no right to read": (
        403,
        arm(
            "AuthorizationFailed",
            f"… to perform action 'Microsoft.Security/securityConnectors/read' over scope '{SCOPE}'",
        ),
        Forbidden,
        ["client c", "--role 'Security Reader'"],
    ),
    "no right to assign roles": (
        403,
        arm(
            "AuthorizationFailed",
            f"… to perform action 'Microsoft.Authorization/roleAssignments/write' over scope '{SCOPE}'",
        ),
        Forbidden,
        ["--role 'Role Based Access Control Administrator'"],
    ),
    "no right on a linked scope": (
        403,
        arm(
            "LinkedAuthorizationFailed",
            f"The client 'C' with object id '{OBJECT}' has permission to perform action 'A/write' on scope '{SCOPE}'; "
            "however, it does not have permission to perform action(s) 'B/join/action' on the linked scope(s) "
            f"'/subscriptions/{T2}' or the linked scope(s) are invalid.",
        ),
        Forbidden,
        ["the action B/join/action", f"over /subscriptions/{T2}"],
    ),
    "policy in additionalInfo": (
        403,
        arm("RequestDisallowedByPolicy", "Resource 'contoso' was disallowed by policy.", additionalInfo=[POLICY]),
        PolicyDenied,
        ["'Allowed locations'", "only-sweden", f"/subscriptions/{SUBSCRIPTION}", "exemption"],
    ),
    "policy in the additionalInfo of a detail": (
        403,
        arm(
            "InvalidTemplateDeployment",
            "It failed.",
            details=[{"code": "RequestDisallowedByPolicy", "message": "No.", "additionalInfo": [POLICY]}],
        ),
        PolicyDenied,
        ["'Allowed locations'", "only-sweden"],
    ),
    "policy of a detail, code at the top": (
        403,
        arm("RequestDisallowedByPolicy", "No.", details=[{"code": "X", "additionalInfo": [POLICY]}]),
        PolicyDenied,
        ["'Allowed locations'", "only-sweden"],
    ),
    "policy named in the message only": (
        403,
        arm(
            "RequestDisallowedByPolicy",
            'Resource \'contoso\' was disallowed by policy. Policy identifiers: \'[{"policyAssignment":{"name":'
            '"Only Sweden","id":"/subscriptions/x/y"},"policyDefinition":{"name":"Allowed locations","id":"/z"}}]\'.',
        ),
        PolicyDenied,
        ["'Allowed locations'", "Only Sweden"],
    ),
    "subscription unknown": (
        404,
        arm("SubscriptionNotFound", f"The subscription '{SUBSCRIPTION}' could not be found."),
        ScopeNotFound,
        [SUBSCRIPTION, "spec.azure.subscriptionId"],
    ),
    "resource group unknown": (
        404,
        arm("ResourceGroupNotFound", "Resource group 'rg-x' could not be found."),
        ScopeNotFound,
        ["az group create --name rg-x", f"--subscription {SUBSCRIPTION}"],
    ),
    "provider not registered": (
        409,
        arm(
            "MissingSubscriptionRegistration",
            "The subscription is not registered to use namespace 'Microsoft.Security'. See https://aka.ms/rps-not-found.",
            details=[{"code": "MissingSubscriptionRegistration", "target": "Microsoft.Security", "message": "…"}],
        ),
        ProviderNotRegistered,
        [f"az provider register --namespace Microsoft.Security --subscription {SUBSCRIPTION}"],
    ),
    "another provider not registered": (
        409,
        arm("MissingSubscriptionRegistration", "… to use namespace 'Microsoft.PolicyInsights'."),
        ProviderNotRegistered,
        ["--namespace Microsoft.PolicyInsights"],
    ),
    "version not offered": (
        400,
        arm(
            "NoRegisteredProviderFound",
            "No registered resource provider found for location 'westeurope' and API version '2024-08-01-preview' for "
            "type 'securityConnectors'. The supported api-versions are '2023-10-01-preview'.",
        ),
        InvalidRequest,
        ["2023-10-01-preview", "upgrade the operator"],
    ),
    "version parameter": (
        400,
        arm("InvalidApiVersionParameter", "The api-version is invalid."),
        InvalidRequest,
        ["upgrade"],
    ),
    "region": (
        400,
        arm(
            "LocationNotAvailableForResourceType",
            "The provided location 'brazilsouth' is not available for resource type 'Microsoft.Security/"
            "securityConnectors'. List of available regions for the resource type is 'westeurope,northeurope'.",
        ),
        RegionNotSupported,
        ["brazilsouth", "westeurope,northeurope"],
    ),
    "wrong tenant": (
        401,
        arm(
            "InvalidAuthenticationTokenTenant",
            f"The access token is from the wrong issuer 'https://sts.windows.net/{T1}/'. It must match the tenant "
            f"'https://sts.windows.net/{T2}/' associated with this subscription.",
        ),
        WrongTenant,
        [f"of tenant {T1}", f"belongs to tenant {T2}", SUBSCRIPTION],
    ),
    "token refused": (401, arm("InvalidAuthenticationToken", "The token is invalid."), Forbidden, ["client c"]),
    "token of the past": (
        401,
        arm("ExpiredAuthenticationToken", "The access token expiry UTC time 'x' is earlier than current UTC time 'y'."),
        AzureUnavailable,
        ["clock"],
    ),
    "throttled": (429, arm("SubscriptionRequestsThrottled", "Number of requests…"), Throttled, ["create connector"]),
    "throttled without a word": (429, b"", Throttled, []),
    "throttled by a page": (429, b"<html>slow down</html>", Throttled, []),
    "gateway without a body": (502, b"", AzureUnavailable, ["create connector"]),
    "service fails": (500, arm("InternalServerError", "Oops"), AzureUnavailable, ["Oops"]),
    "time-out": (408, b"", AzureUnavailable, []),
    "page of a proxy": (403, b"<!DOCTYPE html><html>blocked</html>", AzureUnavailable, ["proxies"]),
    "redirect": (302, b"", AzureUnavailable, ["302"]),
    "connector's own shape": (
        400,
        json.dumps(
            {"statusCode": 400, "errorMessage": "hierarchyIdentifier must be a GUID", "errorCorrelation": OBJECT}
        ).encode(),
        InvalidRequest,
        ["hierarchyIdentifier must be a GUID"],
    ),
    "connector's own shape, failing": (
        500,
        json.dumps({"statusCode": 500, "errorMessage": "Something went wrong", "errorCorrelation": OBJECT}).encode(),
        AzureUnavailable,
        ["Something went wrong"],
    ),
    "not found": (404, arm("ResourceNotFound", "The Resource 'contoso' was not found."), AzureNotFound, []),
    "not found without a body": (404, b"", AzureUnavailable, ["without an error of Azure", "proxies"]),
    "not found of a gateway": (404, b'{"message": "no Route matched"}', AzureUnavailable, ["proxies"]),
    "connector's own shape, not found": (
        404,
        json.dumps({"statusCode": 404, "errorMessage": "No connector", "errorCorrelation": OBJECT}).encode(),
        AzureNotFound,
        [],
    ),
    "spent code": (
        400,
        arm("TokenExchangeFailed", "AzureDevOps token exchange failed"),
        TokenExchangeFailed,
        ["new one"],
    ),
    "spent code by its words": (
        400,
        arm("BadRequest", "AzureDevOps token exchange failed: InvalidOAuthCode, unauthorized_client"),
        TokenExchangeFailed,
        ["unauthorized_client"],
    ),
    "conflict": (409, arm("AnotherOperationInProgress", "Another operation is in progress."), AzureUnavailable, []),
    "other conflict": (409, arm("Conflict", "Busy."), AzureUnavailable, ["Busy"]),
    "lock": (409, arm("ScopeLocked", "The scope is locked by 'nodelete'."), Forbidden, ["lock"]),
    "other location": (409, arm("InvalidResourceLocation", "It exists in 'eastus'."), InvalidRequest, ["eastus"]),
    "disabled subscription": (409, arm("ReadOnlyDisabledSubscription", "It is disabled."), Forbidden, ["Enable it"]),
    "region that Azure does not permit to the subscription": (
        403,
        arm(
            "RequestDisallowedByAzure",
            "Resource 'contoso' was disallowed by Azure: This policy maintains a set of best available regions where "
            "your subscription can deploy resources.",
        ),
        RegionNotSupported,
        ["best available regions", "another spec.azure.location", "Azure support"],
    ),
    "no subscription that the identity may query": (
        400,
        arm(
            "BadRequest",
            SUPPORT,
            details=[{"code": "NoValidSubscriptionsInQueryRequest", "message": "There must be at least one."}],
        ),
        ScopeNotFound,
        ["client c", "at least one"],
    ),
    "type that this cloud does not have": (
        404,
        arm("InvalidResourceType", "The resource type could not be found in the namespace."),
        InvalidRequest,
        ["commercial cloud", "upgrade the operator"],
    ),
    "anything else": (400, arm("BadRequest", "The organization 'x' is no organization."), InvalidRequest, ["'x'"]),
    "no error at all": (400, b"", AzureUnavailable, ["create connector"]),
}


@pytest.mark.parametrize(("status", "body", "kind", "phrases"), CASES.values(), ids=CASES.keys())
def test_a_response_becomes_its_error_with_a_message_that_says_what_to_do(
    status: int, body: bytes, kind: type[AzureError], phrases: list[str]
) -> None:
    error = error_of(status, body)
    assert type(error) is kind
    assert error.status == status
    assert len(error.message) <= 1024
    for word in phrases:
        assert word in error.message


QUERY = RequestContext("query Resource Graph", "client c", from_manifest=False)


@pytest.mark.parametrize(
    ("details", "cause"),
    [
        (
            [
                {"code": "InvalidQuery", "message": "Query is invalid. Please refer to the documentation for Azure."},
                {"code": "SemanticError", "message": "'nonsense' could not be resolved."},
            ],
            "SemanticError: 'nonsense' could not be resolved",
        ),
        (
            [
                {"code": "InvalidQuery", "message": "Query is invalid. Please refer to the documentation for Azure."},
                {"code": "ParserFailure", "message": "ParserFailure", "line": 3, "token": "|"},
            ],
            "ParserFailure at line 3, near |",
        ),
        (
            [
                {
                    "code": "A",
                    "message": "A",
                    "details": [{"code": "B", "details": [{"code": "C", "message": "It is."}]}],
                }
            ],
            "C: It is",
        ),
        ([{"code": "Inner", "message": ""}], ": Inner."),
        ([], "BadRequest"),
    ],
)
def test_a_rejected_query_names_its_innermost_cause_and_blames_no_manifest(
    details: list[dict[str, object]], cause: str
) -> None:
    response = HttpResponse(400, {}, arm("BadRequest", SUPPORT, details=details))
    message = arm_error_for_response(response, QUERY, NOW).message
    assert cause in message
    assert "anifest's: upgrade the operator" in message
    assert "Correct the manifest" not in message
    assert "2026-11-30" not in message


def test_every_class_of_azure_errors_is_reached() -> None:
    reached = {case[2] for case in CASES.values()}
    # Only the check of the authorization is denied so, and a deletion in two steps is no response.
    assert reached | {AuthorizationCheckDenied, DeletionInProgress} == set(AzureError.__subclasses__())


CHECK = RequestContext("list available organizations", "client c", from_manifest=False, checks_authorization=True)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "Unauthorized", AuthorizationCheckDenied),
        (403, "Forbidden", AuthorizationCheckDenied),
        (401, "InvalidAuthenticationToken", Forbidden),
        (403, "AuthorizationFailed", Forbidden),
        (409, "ScopeLocked", Forbidden),
        (400, "TokenExchangeFailed", TokenExchangeFailed),
        (500, "Forbidden", AzureUnavailable),
    ],
)
def test_a_denied_check_is_the_operator_s_lack_of_rights_only_by_resource_manager_s_own_codes(
    status: int, code: str, error: type[AzureError]
) -> None:
    response = HttpResponse(status, {}, json.dumps({"error": {"code": code, "message": "No."}}).encode())
    assert type(arm_error_for_response(response, CHECK, 0.0)) is error


def test_the_error_has_the_code_of_the_service() -> None:
    assert error_of(409, arm("RoleAssignmentExists", "It exists.")).code == "RoleAssignmentExists"
    assert error_of(502).code is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            "The request failed. Activity ID: 11111111-1111-1111-1111-111111111111",
            "The request failed. Activity ID: 22222222-2222-2222-2222-222222222222",
        ),
        (
            "Oops (correlationId = '11111111-1111-1111-1111-111111111111')",
            "Oops (correlationId = '22222222-2222-2222-2222-222222222222')",
        ),
        (
            "Oops, tracking id '11111111-1111-1111-1111-111111111111'.",
            "Oops, tracking id '22222222-2222-2222-2222-222222222222'.",
        ),
    ],
)
def test_the_same_failure_has_the_same_message_each_time(first: str, second: str) -> None:
    assert error_of(400, arm("BadRequest", first)).message == error_of(400, arm("BadRequest", second)).message


def test_no_token_or_signature_reaches_a_message() -> None:
    token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJlLXZhbHVl"
    message = error_of(
        400, arm("BadRequest", f"Bad {token} at https://x.example/?t=1&s=c2lnbmF0dXJlMTIzNDU2Nzg5")
    ).message
    assert "eyJ" not in message
    assert "c2lnbmF0dXJl" not in message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "999999"}, 3600),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-ms-user-quota-resets-after": "00:00:05"}, 5),
        ({"x-ms-user-quota-resets-after": "00:01:05"}, 65),
        ({"x-ms-user-quota-resets-after": "whenever"}, None),
        ({"retry-after": "3", "x-ms-user-quota-resets-after": "00:00:05"}, 3),
    ],
)
def test_retry_after_is_read_from_all_its_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert arm_retry_after_seconds(HttpResponse(429, headers), NOW) == seconds
    assert error_of(429, headers=headers).retry_after == seconds


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "message", "details", "additionalInfo", "info", "type", "target"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(status=st.integers(300, 599), content=_JSON)
def test_any_json_becomes_an_error(status: int, content: object) -> None:
    assert isinstance(error_of(status, json.dumps(content).encode()), AzureError)


@given(status=st.integers(300, 599), body=st.binary(max_size=200), header=st.text(max_size=20))
def test_any_bytes_become_an_error(status: int, body: bytes, header: str) -> None:
    error = error_of(status, body, {"retry-after": header})
    assert len(error.message) <= 1024
    assert error.retry_after is None or 0 <= error.retry_after <= 3600


def test_a_deeply_nested_body_is_parsed_to_a_limited_depth() -> None:
    body = b'{"error":' + b'{"code":"X","details":[' * 2000 + b"{}" + b"]}" * 2000 + b"}"
    assert isinstance(error_of(400, body), AzureUnavailable), "no service sends that"
