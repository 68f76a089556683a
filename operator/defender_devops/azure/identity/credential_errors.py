"""Converts exceptions of azure-identity into CredentialsErrors, whose messages say what to do and name the AADSTS code.

The OAuth error and the HTTP status decide about the class; the AADSTS code refines it and chooses the message
(`entra.error_codes`). A response without an OAuth error is not Entra ID's own (a gateway, a proxy, a truncated body):
it is an outage, whatever its status.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from defender_devops.azure.arm.error_body import clean_error_text
from defender_devops.azure.arm.error_mapping import HttpResponse, arm_retry_after_seconds
from defender_devops.entra.error_codes import ENTRA_ERROR_CODES, EntraFailure, is_oauth_error
from defender_devops.errors import WILL_RETRY, CredentialsError, CredentialsRejected, CredentialsUnavailable

__all__ = ["IdentityContext", "credentials_error", "invalid_token_response"]


@dataclass(frozen=True, slots=True)
class IdentityContext:
    """The identity that a token was requested for, for the message of an error.

    Attributes:
        name: kind of identity, such as `the client secret of client 1111…`.
        client_id: application id, or None for a system-assigned identity.
        tenant_id: its tenant.
        subject: subject of the federated credential, such as `system:serviceaccount:security:contoso-azure`.
    """

    name: str
    client_id: str | None
    tenant_id: str
    subject: str | None = None


_TRANSIENT_ERRORS: Final = frozenset({"temporarily_unavailable", "server_error"})
_TRANSIENT_STATUSES: Final = frozenset({408, 429})
_OAUTH_ERROR: Final = re.compile(
    r"(?:Microsoft Entra ID|Azure Active Directory) error '(?:\((\w+)\)|\{'error': '(\w+)')"
)
"""azure-identity's form of an OAuth error, with and without a description."""


def credentials_error(error: Exception, context: IdentityContext) -> CredentialsError:
    """Return the CredentialsError of an exception of azure-identity."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError  # noqa: PLC0415 - see credentials.py
    from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - see credentials.py

    if isinstance(error, CredentialUnavailableError):
        return _managed_identity_error(error, context)
    if isinstance(error, ClientAuthenticationError | HttpResponseError):
        failure = _entra_error(str(error.message or ""), error.status_code, context)
        if error.response is not None and error.status_code is not None:
            headers = {name.lower(): value for name, value in (getattr(error.response, "headers", None) or {}).items()}
            failure.retry_after = arm_retry_after_seconds(HttpResponse(error.status_code, headers), time.time())
        return failure
    return CredentialsUnavailable(
        f"No token for {context.name}: Entra ID cannot be reached ({type(error).__name__}). {WILL_RETRY} If the "
        "problem persists, check DNS, proxies and network policies."
    )


def invalid_token_response(context: IdentityContext) -> CredentialsUnavailable:
    """Return the error of a response that Entra ID itself did not send."""
    return CredentialsUnavailable(
        f"No token for {context.name}: the response to the token request is not from Entra ID. {WILL_RETRY} If the "
        "problem persists, check the proxies and firewalls between the operator and Entra ID."
    )


def _managed_identity_error(error: Exception, context: IdentityContext) -> CredentialsError:
    """A managed identity: the metadata service rejected the request, or did not respond."""
    if "has been assigned" in str(error) or "has not been assigned" in str(error):
        return CredentialsRejected(
            f"No token for {context.name}: it is not assigned to the node (or the pod's host) that the operator runs "
            "on. Assign it there, or use another type of identity."
        )
    return CredentialsUnavailable(
        f"No token for {context.name}: the metadata service of the node does not respond. {WILL_RETRY} Managed "
        "identities work on Azure only, and network policies must allow 169.254.169.254."
    )


def _entra_error(message: str, status: int | None, context: IdentityContext) -> CredentialsError:
    match = _OAUTH_ERROR.search(message)
    oauth_error = (match[1] or match[2]) if match else None
    aadsts = re.search(r"AADSTS(\d{3,9})", message)
    if message.startswith("Unexpected response") or not (is_oauth_error(oauth_error) or aadsts):
        return invalid_token_response(context)
    number = int(aadsts[1]) if aadsts else 0
    code = ENTRA_ERROR_CODES.get(number)
    label = f" (AADSTS{number})" if number else f" ({oauth_error})"
    server_error = status is not None and (status in _TRANSIENT_STATUSES or status >= 500)  # noqa: PLR2004 - HTTP's
    if (
        server_error
        or oauth_error in _TRANSIENT_ERRORS
        or (code is not None and code.failure is EntraFailure.TRANSIENT)
    ):
        return CredentialsUnavailable(
            f"No token for {context.name}: Entra ID has a temporary failure{label}. {WILL_RETRY}"
        )
    if code is not None and code.fix:
        fields = {
            "client": context.client_id or "CLIENT_ID",
            "tenant": context.tenant_id,
            "subject": context.subject or "(see the token)",
        }
        reason = f"{code.message} {code.fix.format(**fields)}"
    elif code is not None:
        reason = code.message
    else:
        # Entra ID's own sentence, without the ids and the time of the request.
        sentence = re.search(r"AADSTS\d+:\s*(.*?)(?:\s*Trace ID:|$)", message, re.DOTALL)
        text = clean_error_text(sentence[1]).rstrip(" .'") if sentence else ""
        reason = f"{text or 'Check clientId, tenantId and the credential'}."
    return CredentialsRejected(f"Entra ID rejected {context.name}{label}. {reason}")
