"""The meaning of Azure DevOps' responses. No other module reads its statuses, headers and error numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

import httpx

from defender_devops.errors import (
    WILL_RETRY,
    AzureDevOpsDenied,
    AzureDevOpsError,
    AzureDevOpsNotFound,
    AzureDevOpsUnavailable,
    SignInExpired,
)
from defender_devops.telemetry.redaction import without_tokens

__all__ = ["BY_NUMBER", "ClaimsRequired", "raise_azure_devops_error"]

_SUCCESS: Final = frozenset({200, 201, 202, 204})
_ABSENT: Final = frozenset({404, 410})
_SIGN_IN_PAGE: Final = 203
_CLAIMS: Final = re.compile(r'claims="([^"]+)"')
_NUMBER: Final = re.compile(r"\b(TF\d{6}|VS\d{6,7})\b")
_MESSAGE_MAX: Final = 200  # characters of the service's own message

BY_NUMBER: Final[Mapping[str, tuple[type[AzureDevOpsError], str]]] = {
    "TF400813": (AzureDevOpsDenied, "The signed-in account is not a member of the organization. Add it there."),
    "TF401444": (AzureDevOpsDenied, "The account must sign in to the organization once in a browser to get access."),
    "TF400733": (
        AzureDevOpsUnavailable,
        (
            "Azure DevOps has blocked the account temporarily, because it exceeded its usage limits. This also stops "
            f"Defender's work under the same account: use a dedicated account. {WILL_RETRY}"
        ),
    ),
}
"""Class and message of the error numbers that mean more than their HTTP status."""


class ClaimsRequired(SignInExpired):
    """Azure DevOps requires a token with other claims (continuous access evaluation).

    Args:
        message: what happened.
        claims: the claims to request from Entra ID, as in the challenge.
    """

    def __init__(self, message: str, claims: str) -> None:
        super().__init__(message)
        self.claims = claims


def raise_azure_devops_error(response: httpx.Response, retry_after: float | None) -> None:
    """Raise the error of a response; return where it is a success.

    Azure DevOps responds to an outdated token with its sign-in page: with 203, a redirect, or even 200.

    Raises:
        SignInExpired: the sign-in page, or 401 without another reason.
        ClaimsRequired: the same, with the claims that a new token must have.
        AzureDevOpsDenied: the account lacks the right.
        AzureDevOpsNotFound: no such organization or resource.
        AzureDevOpsUnavailable: 429, 5xx.
        AzureDevOpsError: any other refusal.
    """
    status = response.status_code
    is_html = str(response.headers.get("Content-Type", "")).lower().startswith("text/html")
    if status == _SIGN_IN_PAGE or response.is_redirect or (status in _SUCCESS and is_html):
        raise SignInExpired("Azure DevOps responded with its sign-in page: the token is no longer accepted.")
    if status in _SUCCESS:
        return
    message, number = _message(response)
    # Before the status: the service sends these numbers with different ones.
    if number is not None and number in BY_NUMBER:
        error, text = BY_NUMBER[number]
        raise error(text, retry_after=retry_after if issubclass(error, AzureDevOpsUnavailable) else None)
    if status == httpx.codes.UNAUTHORIZED:
        raise _unauthorized(response)
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise AzureDevOpsUnavailable(f"Azure DevOps failed with HTTP {status}. {WILL_RETRY}", retry_after=retry_after)
    if status in _ABSENT and not message and not _has_own_header(response):
        # Of a gateway or a proxy: that something does not exist does not follow from it.
        raise AzureDevOpsUnavailable(
            f"The response to a request to Azure DevOps is not its own (HTTP {status}). {WILL_RETRY} If the problem "
            "persists, check the proxies between the operator and Azure DevOps.",
            retry_after=retry_after,
        )
    if status == httpx.codes.FORBIDDEN:
        raise AzureDevOpsDenied(f"The signed-in account may not read this. {message}".strip())
    if status in _ABSENT:
        raise AzureDevOpsNotFound(f"Azure DevOps has no such organization or resource. {message}".strip())
    raise AzureDevOpsError(f"Azure DevOps rejected a request with HTTP {status}. {message}".strip())


def _has_own_header(response: httpx.Response) -> bool:
    """Whether a response has a header of Azure DevOps, as its pages for organizations that do not exist have."""
    return any(name.startswith(("x-vss-", "x-tfs-")) for name in response.headers)


def _unauthorized(response: httpx.Response) -> SignInExpired:
    challenge = response.headers.get("WWW-Authenticate", "")
    claims = _CLAIMS.search(challenge)
    if "insufficient_claims" in challenge and claims:
        return ClaimsRequired("Azure DevOps requires a new token with other claims.", claims.group(1))
    return SignInExpired("Azure DevOps no longer accepts the token (HTTP 401).")


def _message(response: httpx.Response) -> tuple[str, str | None]:
    """The service's message in one short line, and the error number in it."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(body, dict):
        return "", None
    message, type_key = str(body.get("message") or ""), str(body.get("typeKey") or "")
    if not type_key and "errorCode" not in body and not _NUMBER.search(message):
        return "", None  # of a gateway
    number = _NUMBER.search(f"{message} {type_key}")
    text = without_tokens(" ".join(message.split()))[:_MESSAGE_MAX]
    label = without_tokens(type_key)[:64]
    return " ".join(part for part in (text, f"({label})" if label else "") if part), number and number.group(1)
