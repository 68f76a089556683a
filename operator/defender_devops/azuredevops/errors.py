"""What an answer of Azure DevOps means. The only place that looks at its statuses, headers and error numbers."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import httpx

from defender_devops.errors import (
    AzureDevOpsDenied,
    AzureDevOpsError,
    AzureDevOpsNotFound,
    AzureDevOpsUnavailable,
    SignInExpired,
)
from defender_devops.telemetry.redaction import without_tokens

__all__ = ["ClaimsRequired", "json_object", "raise_for_failure"]

_OK: Final = frozenset({200, 201, 202, 204})
_SIGN_IN_PAGE: Final = 203
_UNAUTHORIZED: Final = 401
_CLAIMS: Final = re.compile(r'claims="([^"]+)"')
_NUMBER: Final = re.compile(r"\b(TF\d{6}|VS\d{6,7})\b")
_SHOWN: Final = 200  # characters of the service's own words

_NOT_A_MEMBER: Final = "TF400813"
_NEVER_SIGNED_IN: Final = "TF401444"
_BLOCKED_FOR_USAGE: Final = "TF400733"


class ClaimsRequired(SignInExpired):
    """Azure DevOps wants a token with other claims (continuous access evaluation).

    Args:
        message: what is the matter.
        claims: what to ask Entra ID for, as the challenge had it.
    """

    def __init__(self, message: str, claims: str) -> None:
        super().__init__(message)
        self.claims = claims


def raise_for_failure(response: httpx.Response, retry_after: float | None) -> None:
    """Raise the error that an answer stands for; return where it is a good one.

    Azure DevOps tells an outdated token by its sign-in page, with 203, with a redirect, or even with 200.

    Raises:
        SignInExpired: the sign-in page, or 401 without a reason of its own.
        ClaimsRequired: the same, and it says which claims a new token must have.
        AzureDevOpsDenied: the account may not do that.
        AzureDevOpsNotFound: no such organization or resource.
        AzureDevOpsUnavailable: 429, 5xx.
        AzureDevOpsError: any other refusal.
    """
    status = response.status_code
    if status == _SIGN_IN_PAGE or response.is_redirect or (status in _OK and _is_html(response)):
        raise SignInExpired("Azure DevOps answered with its sign-in page: the token is no longer accepted.")
    if status in _OK:
        return
    words, number = _words(response)
    if number == _NOT_A_MEMBER:
        raise AzureDevOpsDenied("The account that is signed in is not a member of the organization. Add it there.")
    if number == _NEVER_SIGNED_IN:
        raise AzureDevOpsDenied("The account must sign in to the organization once in a browser before it is let in.")
    if status == _UNAUTHORIZED:
        raise _unauthorized(response)
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _unavailable(status, number, retry_after)
    if status == httpx.codes.FORBIDDEN:
        raise AzureDevOpsDenied(f"The account that is signed in may not read this. {words}".strip())
    if status in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
        raise AzureDevOpsNotFound(f"Azure DevOps knows nothing of that name. {words}".strip())
    raise AzureDevOpsError(f"Azure DevOps refused a request (HTTP {status}). {words}".strip())


def json_object(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """The body of a good answer.

    Raises:
        AzureDevOpsUnavailable: it is not JSON.
    """
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise AzureDevOpsUnavailable("Azure DevOps answered with something that is not JSON.") from None


def _unauthorized(response: httpx.Response) -> SignInExpired:
    challenge = response.headers.get("WWW-Authenticate", "")
    claims = _CLAIMS.search(challenge)
    if "insufficient_claims" in challenge and claims:
        return ClaimsRequired("Azure DevOps asks for a new token with other claims.", claims.group(1))
    return SignInExpired("Azure DevOps no longer accepts the token (HTTP 401).")


def _unavailable(status: int, number: str | None, retry_after: float | None) -> AzureDevOpsUnavailable:
    if number == _BLOCKED_FOR_USAGE:
        return AzureDevOpsUnavailable(
            "Azure DevOps has blocked the account for a while, because it used too much. Defender's own work under the "
            "same account stands still too: use a dedicated account.",
            retry_after=retry_after,
        )
    return AzureDevOpsUnavailable(
        f"Azure DevOps does not answer as it should (HTTP {status}).", retry_after=retry_after
    )


def _is_html(response: httpx.Response) -> bool:
    return str(response.headers.get("Content-Type", "")).lower().startswith("text/html")


def _words(response: httpx.Response) -> tuple[str, str | None]:
    """The service's message in one short line, and the number in it."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(body, dict):
        return "", None
    message, key = str(body.get("message") or ""), str(body.get("typeKey") or "")
    number = _NUMBER.search(f"{message} {key}")
    shown, kind = without_tokens(" ".join(message.split()))[:_SHOWN], without_tokens(key)[:64]
    return " ".join(part for part in (shown, f"({kind})" if kind else "") if part), number and number.group(1)
