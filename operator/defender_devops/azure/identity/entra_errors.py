"""What azure-identity raises becomes a CredentialsError, with words that say what to do and the AADSTS number kept.

The OAuth error and the HTTP status decide; the number only refines the words
(https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from defender_devops.azure.arm.error_body import clean
from defender_devops.errors import CredentialsError, CredentialsRejected, CredentialsUnavailable

__all__ = ["Whose", "credentials_error"]


@dataclass(frozen=True, slots=True)
class Whose:
    """The identity that a token was asked for, for the words of an error.

    Attributes:
        what: kind of identity, such as `the client secret of client 1111…`.
        client_id: application id, or None for a system-assigned identity.
        tenant_id: its tenant.
        subject: what a federated credential must name, such as `system:serviceaccount:security:contoso-azure`.
    """

    what: str
    client_id: str | None
    tenant_id: str
    subject: str | None = None


_TRANSIENT_ERRORS: Final = frozenset({"temporarily_unavailable", "server_error"})
_TRANSIENT_CODES: Final = frozenset({50033, 50087, 50196, 90006, 90024, 90033, 90055})
_TRANSIENT_STATUSES: Final = frozenset({408, 429})

_FEDERATION: Final = (
    "no federated credential of the application matches: add one with subject {subject}, audience "
    "api://AzureADTokenExchange and the issuer of this cluster's service account tokens"
)
_UNKNOWN_CLIENT: Final = (
    "tenant {tenant} has no such application: check clientId and tenantId, and that the application has a service "
    "principal there (az ad sp create --id {client})"
)

_CURES: Final[Mapping[int, str]] = {
    7000215: "the client secret is wrong: store the secret's value, not its id",
    7000222: "the client secret has expired: make a new one (az ad app credential reset --id {client}) and store it",
    700016: _UNKNOWN_CLIENT,
    7000229: _UNKNOWN_CLIENT,
    90002: "there is no tenant {tenant}: check tenantId",
    900021: "there is no tenant {tenant}: check tenantId",
    70021: _FEDERATION,
    700211: _FEDERATION,
    700212: _FEDERATION,
    700213: _FEDERATION,
    700024: "the token has expired or is not valid yet: check the clocks of the cluster's nodes",
    700027: "the certificate is not one of the application's: upload its public part (az ad app credential reset "
    "--id {client} --cert @file), or store the right one",
    7000112: "the application is disabled: an administrator of tenant {tenant} must enable it",
    7000113: "the application is not authorized in tenant {tenant}: an administrator must allow it",
    53003: "Conditional Access blocks it: an administrator of tenant {tenant} must exempt the workload identity",
    530035: "Conditional Access blocks it: an administrator of tenant {tenant} must exempt the workload identity",
}


def credentials_error(error: Exception, whose: Whose) -> CredentialsError:
    """The error of ours that an exception of azure-identity stands for."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError  # noqa: PLC0415 - see credentials.py
    from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - see credentials.py

    if isinstance(error, CredentialUnavailableError):
        return _without_endpoint(error, whose)
    if isinstance(error, ClientAuthenticationError | HttpResponseError):
        return _refused(str(error.message or ""), error.status_code, whose)
    return CredentialsUnavailable(
        f"No token for {whose.what}: Entra ID cannot be reached ({type(error).__name__}). It is tried again; if this "
        "lasts, check DNS, proxies and network policies."
    )


def _without_endpoint(error: Exception, whose: Whose) -> CredentialsError:
    """A managed identity: the metadata service says no, or does not answer."""
    if "has been assigned" in str(error) or "has not been assigned" in str(error):
        return CredentialsRejected(
            f"No token for {whose.what}: it is not assigned to the node (or the pod's host) that the operator runs on. "
            "Assign it there, or use another type of identity."
        )
    return CredentialsUnavailable(
        f"No token for {whose.what}: the metadata service of the node does not answer. It is tried again; managed "
        "identities work on Azure only, and network policies must allow 169.254.169.254."
    )


def _refused(message: str, status: int | None, whose: Whose) -> CredentialsError:
    oauth = _first(r"\((\w+)\)", message)
    number = int(_first(r"AADSTS(\d{3,9})", message) or 0)
    passing = status is not None and (status in _TRANSIENT_STATUSES or status >= 500)  # noqa: PLR2004 - server errors
    if oauth in _TRANSIENT_ERRORS or number in _TRANSIENT_CODES or passing:
        return CredentialsUnavailable(
            f"No token for {whose.what}: Entra ID fails at the moment{_named(number, oauth)}. It is tried again."
        )
    names = {"client": whose.client_id, "tenant": whose.tenant_id, "subject": whose.subject or "(see the token)"}
    cure = _CURES.get(number)
    said = cure.format(**names) if cure else _words_of(message) or "check clientId, tenantId and the credential"
    return CredentialsRejected(f"Entra ID refuses {whose.what}{_named(number, oauth)}: {said}.")


def _named(number: int, oauth: str) -> str:
    return f" (AADSTS{number})" if number else f" ({oauth})" if oauth else ""


def _words_of(message: str) -> str:
    """Entra's own sentence, without the ids and the time of the one request."""
    sentence = re.search(r"AADSTS\d+:\s*(.*?)(?:\s*Trace ID:|$)", message, re.DOTALL)
    return clean(sentence[1]).rstrip(" .'") if sentence else ""


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""
