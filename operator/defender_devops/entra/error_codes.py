"""Error codes of Entra ID (AADSTS numbers): what each means, and how to fix it. One table for all that use Entra ID.

The OAuth `error` and the HTTP status decide about the class of a failure; the number refines it, and chooses the
message (https://learn.microsoft.com/entra/identity-platform/reference-error-codes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeGuard

__all__ = [
    "ENTRA_ERROR_CODES",
    "LOOP_DETECTED",
    "EntraErrorCode",
    "EntraFailure",
    "aadsts_numbers",
    "entra_error_codes",
    "is_oauth_error",
]

_AADSTS: Final = re.compile(r"AADSTS(\d{5,8})")


class EntraFailure(Enum):
    """What an error code is about."""

    TRANSIENT = auto()
    """Entra ID itself fails, or throttles; the same request can succeed later."""

    SIGN_IN = auto()
    """The sign-in of a person is required again."""

    CODE = auto()
    """The authorization code or device code cannot be used."""

    CONSENT = auto()
    """A consent is missing."""

    ACCOUNT = auto()
    """The account is blocked until an administrator permits it."""

    APPLICATION = auto()
    """The application, its credential or its tenant is wrong."""


@dataclass(frozen=True, slots=True)
class EntraErrorCode:
    """One error code.

    Attributes:
        failure: what it is about.
        message: the cause, as a sentence.
        fix: how to fix it for an application's own credential, as a sentence with the fields `client`, `tenant` and
            `subject`. Empty where only sign-ins of people have this error.
    """

    failure: EntraFailure
    message: str
    fix: str = ""


LOOP_DETECTED: Final = 50196

_FEDERATION = EntraErrorCode(
    EntraFailure.APPLICATION,
    "No federated credential of the application matches.",
    "Add one with subject {subject}, audience api://AzureADTokenExchange and the issuer of this cluster's service "
    "account tokens.",
)
_ASSERTION_TIME = EntraErrorCode(
    EntraFailure.APPLICATION,
    "The token of the credential has expired or is not valid yet.",
    "Check the clocks of the cluster's nodes.",
)
_UNKNOWN_APPLICATION = EntraErrorCode(
    EntraFailure.APPLICATION,
    "The application does not exist in the tenant.",
    "Check clientId and tenantId {tenant}, and that the application has a service principal there "
    "(az ad sp create --id {client}).",
)
_UNKNOWN_TENANT = EntraErrorCode(EntraFailure.APPLICATION, "The tenant does not exist.", "Check tenantId {tenant}.")
_CONDITIONAL_ACCESS_FIX = "An administrator of tenant {tenant} must exempt the workload identity."
_MFA_REQUIRED = EntraErrorCode(EntraFailure.SIGN_IN, "Multifactor authentication is required.")
_MFA_REGISTRATION = EntraErrorCode(EntraFailure.SIGN_IN, "The account must register for multifactor authentication.")
_NO_ACCOUNT = EntraErrorCode(EntraFailure.ACCOUNT, "The account does not exist in the tenant.")
_OUTAGE = EntraErrorCode(EntraFailure.TRANSIENT, "Entra ID has a temporary failure.")

ENTRA_ERROR_CODES: Final[Mapping[int, EntraErrorCode]] = {
    # Entra ID itself
    50033: _OUTAGE,
    50087: _OUTAGE,
    90006: _OUTAGE,
    90024: _OUTAGE,
    90033: _OUTAGE,
    90055: EntraErrorCode(EntraFailure.TRANSIENT, "Entra ID is throttling the requests of the tenant."),
    LOOP_DETECTED: EntraErrorCode(EntraFailure.TRANSIENT, "Entra ID is throttling identical requests."),
    # The sign-in of a person
    50173: EntraErrorCode(EntraFailure.SIGN_IN, "The sessions of the account were revoked."),
    70008: EntraErrorCode(EntraFailure.SIGN_IN, "The sign-in has expired."),
    700082: EntraErrorCode(EntraFailure.SIGN_IN, "The sign-in has expired: it was not used for 90 days."),
    70043: EntraErrorCode(
        EntraFailure.SIGN_IN, "The sign-in has reached the age at which a policy of the tenant requires a new one."
    ),
    700084: EntraErrorCode(EntraFailure.SIGN_IN, "The sign-in has reached its maximum age."),
    50089: EntraErrorCode(EntraFailure.SIGN_IN, "The sign-in has expired."),
    50132: EntraErrorCode(
        EntraFailure.SIGN_IN, "The session is no longer valid: the password changed or the session was revoked."
    ),
    50133: EntraErrorCode(EntraFailure.SIGN_IN, "The session is no longer valid: the password changed."),
    50055: EntraErrorCode(EntraFailure.SIGN_IN, "The password of the account has expired."),
    50144: EntraErrorCode(EntraFailure.SIGN_IN, "The Active Directory password of the account has expired."),
    50072: _MFA_REGISTRATION,
    50074: _MFA_REQUIRED,
    50076: _MFA_REQUIRED,
    50079: _MFA_REGISTRATION,
    50158: EntraErrorCode(EntraFailure.SIGN_IN, "A policy requires one more step at sign-in."),
    53000: EntraErrorCode(EntraFailure.SIGN_IN, "A policy requires a compliant device."),
    53001: EntraErrorCode(EntraFailure.SIGN_IN, "A policy requires a device that is joined to the domain."),
    # Authorization codes and device codes
    54005: EntraErrorCode(EntraFailure.CODE, "The code was used already."),
    501481: EntraErrorCode(EntraFailure.CODE, "The code belongs to another sign-in (PKCE)."),
    700005: EntraErrorCode(EntraFailure.CODE, "The code belongs to another tenant."),
    # Consent
    65001: EntraErrorCode(EntraFailure.CONSENT, "Nobody has consented to the permissions of the app."),
    65004: EntraErrorCode(EntraFailure.CONSENT, "The consent was declined."),
    90094: EntraErrorCode(EntraFailure.CONSENT, "An administrator must consent."),
    90095: EntraErrorCode(EntraFailure.CONSENT, "An administrator must approve the request for consent."),
    650052: EntraErrorCode(
        EntraFailure.CONSENT, "The tenant has no Azure DevOps service principal yet: an administrator must consent."
    ),
    # The account
    50057: EntraErrorCode(EntraFailure.ACCOUNT, "The account is disabled."),
    50053: EntraErrorCode(EntraFailure.ACCOUNT, "The account is locked, or signs in from a blocked address."),
    50105: EntraErrorCode(EntraFailure.ACCOUNT, "The account is not assigned to the app."),
    50034: _NO_ACCOUNT,
    50020: EntraErrorCode(EntraFailure.ACCOUNT, "The account is not a member of the tenant."),
    51004: _NO_ACCOUNT,
    53003: EntraErrorCode(EntraFailure.ACCOUNT, "Conditional Access denied access.", _CONDITIONAL_ACCESS_FIX),
    530032: EntraErrorCode(EntraFailure.ACCOUNT, "Conditional Access denied access (security policy of the tenant)."),
    530035: EntraErrorCode(
        EntraFailure.ACCOUNT, "Conditional Access denied access (security defaults).", _CONDITIONAL_ACCESS_FIX
    ),
    53011: EntraErrorCode(EntraFailure.ACCOUNT, "The account is blocked because of its risk."),
    500212: EntraErrorCode(EntraFailure.ACCOUNT, "A policy of the tenant denies access to this service."),
    # The application and its credential
    7000215: EntraErrorCode(
        EntraFailure.APPLICATION,
        "The client secret is wrong (often the secret's id was stored instead of its value).",
        "Store the value of the client secret.",
    ),
    7000222: EntraErrorCode(
        EntraFailure.APPLICATION,
        "The client secret or certificate has expired.",
        "Create a new one (az ad app credential reset --id {client}) and store it.",
    ),
    700016: _UNKNOWN_APPLICATION,
    7000229: _UNKNOWN_APPLICATION,
    700027: EntraErrorCode(
        EntraFailure.APPLICATION,
        "The certificate or federated token does not belong to the application.",
        "Upload the public part of the certificate (az ad app credential reset --id {client} --cert @file), or store "
        "the right one.",
    ),
    7000112: EntraErrorCode(
        EntraFailure.APPLICATION,
        "The application is disabled.",
        "An administrator of tenant {tenant} must enable it.",
    ),
    7000113: EntraErrorCode(
        EntraFailure.APPLICATION,
        "The application is not authorized in the tenant.",
        "An administrator of tenant {tenant} must permit it.",
    ),
    70021: _FEDERATION,
    700211: _FEDERATION,
    700212: _FEDERATION,
    700213: _FEDERATION,
    700024: _ASSERTION_TIME,
    500133: _ASSERTION_TIME,
    50011: EntraErrorCode(EntraFailure.APPLICATION, "The reply address is not registered with the app."),
    500011: EntraErrorCode(EntraFailure.APPLICATION, "Azure DevOps is not known in the tenant."),
    90002: _UNKNOWN_TENANT,
    900021: _UNKNOWN_TENANT,
}
"""By AADSTS number."""


def is_oauth_error(value: object) -> TypeGuard[str]:
    """Whether a value has the form of an OAuth `error` (RFC 6749, section 5.2), which only Entra ID itself sends."""
    return isinstance(value, str) and re.fullmatch(r"[a-z][a-z_]{2,60}", value) is not None


def entra_error_codes(*failures: EntraFailure) -> frozenset[int]:
    """Return the numbers of some kinds of failures."""
    return frozenset(number for number, code in ENTRA_ERROR_CODES.items() if code.failure in failures)


def aadsts_numbers(description: str) -> tuple[int, ...]:
    """Return the AADSTS numbers in an error description, in their order."""
    return tuple(int(number) for number in _AADSTS.findall(description))
