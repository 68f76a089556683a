"""Every error code that the operator knows, with what it makes of it: rows for docs/reference/errors.md and its test.

The rows are made by the operator's own mappings, so the page cannot differ from the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx
from azure.core.exceptions import ClientAuthenticationError

from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.azure.arm.error_codes import BY_CODE, BY_STATUS
from defender_devops.azure.arm.error_mapping import HttpResponse, RequestContext, arm_error_for_response
from defender_devops.azure.identity.credential_errors import IdentityContext, credentials_error
from defender_devops.azuredevops.errors import BY_NUMBER, raise_azure_devops_error
from defender_devops.cluster.errors import kubernetes_error
from defender_devops.entra.error_codes import ENTRA_ERROR_CODES, EntraFailure
from defender_devops.errors import AzureDevOpsError, ErrorCategory, OperatorError
from defender_devops.signin.oauth.errors import classify_oauth_error

__all__ = ["ErrorRow", "error_rows"]

_ARM: Final = "Azure Resource Manager and Resource Graph"
_IDENTITY: Final = "Entra ID, for the operator's identity in Azure"
_SIGN_IN: Final = "Entra ID, for the sign-in to Azure DevOps"
_AZURE_DEVOPS: Final = "Azure DevOps"
_KUBERNETES: Final = "Kubernetes API server"

_CONDITIONS: Final = {
    _ARM: ConditionType.PROVISIONED,
    _IDENTITY: ConditionType.PROVISIONED,
    _SIGN_IN: ConditionType.SIGNED_IN,
    _AZURE_DEVOPS: ConditionType.PREREQUISITES_MET,
    _KUBERNETES: ConditionType.READY,
}
_OAUTH_ERRORS: Final = (
    *("invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied"),
    *("invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "unsupported_grant_type"),
    *("authorization_pending", "slow_down", "authorization_declined", "expired_token", "bad_verification_code"),
    *("temporarily_unavailable", "server_error"),
)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One code of one service.

    Attributes:
        service: the service.
        code: its code, or the HTTP status where there is none.
        error: the error that the operator makes of it.
    """

    service: str
    code: str
    error: OperatorError

    @property
    def category(self) -> ErrorCategory:
        """What it is about."""
        return self.error.category

    @property
    def condition(self) -> str:
        """The condition that has its reason, and Stalled where only a person can fix it; nothing for an absence."""
        if self.category is ErrorCategory.ABSENT:
            return "none"
        condition = _CONDITIONS[self.service]
        if self.category in {ErrorCategory.AUTHORIZATION, ErrorCategory.DENIAL}:
            condition = ConditionType.AUTHORIZED
        if self.error.reason == Reason.SIGN_IN_REQUIRED:
            condition = ConditionType.SIGNED_IN
        stalled = ", Stalled" if self.error.terminal else ""
        return f"{condition} ({self.error.reason}){stalled}"

    @property
    def retry(self) -> str:
        """When the operator tries again."""
        if self.category is ErrorCategory.ABSENT:
            return "none"
        return "slow" if self.error.terminal else "back-off"


def error_rows() -> Iterator[ErrorRow]:
    """Yield all rows, by service."""
    yield from _arm_rows()
    yield from _identity_rows()
    yield from _sign_in_rows()
    yield from _azure_devops_rows()
    for status in (400, 401, 403, 404, 408, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504):
        yield ErrorRow(_KUBERNETES, f"HTTP {status}", kubernetes_error(status, {"kind": "Status"}, {}))


def _arm_rows() -> Iterator[ErrorRow]:
    context = RequestContext("create connector")
    for code in BY_CODE:
        body = json.dumps({"error": {"code": code, "message": "m"}}).encode()
        yield ErrorRow(_ARM, f"`{code}`", arm_error_for_response(HttpResponse(400, {}, body), context, 0.0))
    for status in sorted({302, 400, 405, 412, 413, 415, 422, 500, 502, 503, 504, *BY_STATUS}):
        error = arm_error_for_response(HttpResponse(status, {}, b'{"error": {"code": "Other"}}'), context, 0.0)
        yield ErrorRow(_ARM, f"HTTP {status} with another code", error)
    check = RequestContext("list available organizations", from_manifest=False, checks_authorization=True)
    for status in (401, 403):
        error = arm_error_for_response(HttpResponse(status, {}), check, 0.0)
        yield ErrorRow(_ARM, f"HTTP {status} with another code, of listAvailableAzureDevOpsOrgs", error)
    yield ErrorRow(_ARM, "an HTML page", arm_error_for_response(HttpResponse(403, {}, b"<html>"), context, 0.0))


def _identity_rows() -> Iterator[ErrorRow]:
    context = IdentityContext("client c", "c", "t")

    def row(code: str, message: str, status: int) -> ErrorRow:
        error = ClientAuthenticationError(message=message)
        error.status_code = status
        return ErrorRow(_IDENTITY, code, credentials_error(error, context))

    for number, code in ENTRA_ERROR_CODES.items():
        if not code.fix and code.failure is not EntraFailure.TRANSIENT:
            continue  # only the sign-ins of people have it
        message = f"Microsoft Entra ID error '(invalid_client) AADSTS{number}: m'"
        yield row(f"AADSTS{number}", message, 400)
    for oauth_error in ("invalid_client", "temporarily_unavailable", "server_error"):
        message = f"Microsoft Entra ID error '({oauth_error}) m'"
        yield row(f"`{oauth_error}` with another number", message, 400)
    for status in (429, 503):
        message = "Microsoft Entra ID error '(invalid_client) m'"
        yield row(f"HTTP {status}", message, status)
    yield row("a response without an OAuth error", "Unexpected response from Microsoft Entra ID: <html>", 403)


def _sign_in_rows() -> Iterator[ErrorRow]:
    for number, code in ENTRA_ERROR_CODES.items():
        oauth_error = "invalid_client" if code.failure is EntraFailure.APPLICATION else "invalid_grant"
        yield ErrorRow(_SIGN_IN, f"AADSTS{number}", classify_oauth_error(400, oauth_error, (number,)))
    for oauth_error in _OAUTH_ERRORS:
        yield ErrorRow(_SIGN_IN, f"`{oauth_error}` with another number", classify_oauth_error(400, oauth_error))
    for status in (408, 429, 500, 503):
        yield ErrorRow(_SIGN_IN, f"HTTP {status}", classify_oauth_error(status, "invalid_grant"))
    yield ErrorRow(_SIGN_IN, "a response without an OAuth error", classify_oauth_error(403, None))


def _azure_devops_rows() -> Iterator[ErrorRow]:
    def row(code: str, status: int, message: str = "", **headers: str) -> ErrorRow:
        text = json.dumps({"message": message or "m", "errorCode": 0})
        response = httpx.Response(status, headers=headers, text=text)
        try:
            raise_azure_devops_error(response, None)
        except AzureDevOpsError as error:
            return ErrorRow(_AZURE_DEVOPS, code, error)
        raise AssertionError(f"{code} is no error")

    for number in BY_NUMBER:
        yield row(number, 403, f"{number}: m")
    for status in (203, 302):
        yield row(f"HTTP {status} (the sign-in page)", status, Location="https://x.example")
    for status in (400, 401, 403, 404, 409, 410, 429, 500, 503):
        yield row(f"HTTP {status} with another number", status)
