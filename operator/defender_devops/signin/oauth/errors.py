"""Errors of a sign-in, and the one function that interprets Entra ID's error responses.

    OperatorError
    └── SignInError
        ├── SignInRequired              no usable sign-in is stored: a person must sign in (again)
        │   ├── CodeRejected            this authorization or device code cannot be used: start a new sign-in
        │   └── InvalidAuthorizationResponse  the response belongs to no sign-in of this browser
        ├── ConsentRequired             a consent for the app is missing                         (terminal)
        ├── AccountBlocked              disabled, locked or stopped by Conditional Access        (terminal)
        ├── OAuthAppMisconfigured       the app registration, or its use by the manifest, is wrong (terminal)
        ├── WrongAccount                another person signed in                                 (terminal)
        ├── WrongTenant                 an account of another tenant signed in                   (terminal)
        ├── TokenServiceUnavailable     Entra ID is unavailable: stored tokens are kept
        └── DevicePending               the person has not finished on the device page yet

`classify` decides by the OAuth `error` and the HTTP status. AADSTS numbers only refine within what that `error` can
mean: Entra ID uses `invalid_grant` for nearly everything, and only the number distinguishes a blocked account from a
used code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from defender_devops.entra.error_codes import ENTRA_ERROR_CODES, LOOP_DETECTED, EntraFailure, entra_error_codes
from defender_devops.errors import ErrorCategory, OperatorError

__all__ = [
    "AccountBlocked",
    "CodeRejected",
    "ConsentRequired",
    "DevicePending",
    "InvalidAuthorizationResponse",
    "OAuthAppMisconfigured",
    "SignInError",
    "SignInRequired",
    "TokenServiceUnavailable",
    "WrongAccount",
    "WrongTenant",
    "classify_oauth_error",
]


class SignInError(OperatorError):
    """A sign-in failed.

    Args:
        message: what happened and what to do.
        retry_after: seconds to wait before a retry.
        number: the AADSTS number, if Entra ID sent one.
    """

    reason = "SignInRequired"
    category = ErrorCategory.ACCESS
    requires_user: ClassVar[bool] = False
    """Whether a person must sign in, consent or unblock before it works again."""

    def __init__(self, message: str, *, retry_after: float | None = None, number: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.number = number


class SignInRequired(SignInError):
    """There is no sign-in, or the stored one no longer works."""

    reason = "SignInRequired"
    terminal = True
    requires_user = True


class CodeRejected(SignInRequired):
    """An authorization code or device code that was used, has expired, or belongs to another sign-in."""


class InvalidAuthorizationResponse(SignInRequired):
    """An authorization response without the state of this browser, or with a used or expired one."""


class ConsentRequired(SignInError):
    """A user or an administrator must consent to the permissions that the app requests."""

    reason = "ConsentRequired"
    terminal = True
    requires_user = True


class AccountBlocked(SignInError):
    """The account may not sign in; an administrator can change that."""

    reason = "AccountBlocked"
    terminal = True
    requires_user = True


class OAuthAppMisconfigured(SignInError):
    """The app registration, its credential, or what the manifest says of it is wrong."""

    reason = "OAuthAppMisconfigured"
    terminal = True


class WrongAccount(SignInError):
    """Another account signed in than the one that the connector names."""

    reason = "WrongAccount"
    terminal = True
    requires_user = True


class WrongTenant(SignInError):
    """The account belongs to another tenant than the connector."""

    reason = "WrongTenant"
    terminal = True
    requires_user = True


class TokenServiceUnavailable(SignInError):
    """Entra ID is unavailable or throttles requests. Stored tokens are kept and the request is retried."""

    reason = "TokenServiceUnavailable"
    category = ErrorCategory.TRANSIENT


class DevicePending(SignInError):
    """The person has not entered the device code yet; `retry_after` is the increment that `slow_down` requires."""

    category = ErrorCategory.TRANSIENT


_TRANSIENT_STATUSES: Final = frozenset({408, 429})
_SLOW_DOWN_SECONDS: Final = 5.0  # RFC 8628, section 3.5
_LOOP_DELAY_SECONDS: Final = 300.0
"""Delay after AADSTS50196: Entra ID detected repeated identical requests, so retry much more slowly."""

_TRANSIENT: Final = entra_error_codes(EntraFailure.TRANSIENT)
_CONSENT: Final = entra_error_codes(EntraFailure.CONSENT)
_BLOCKED: Final = entra_error_codes(EntraFailure.ACCOUNT)

_ADVICE: Final[dict[type[SignInError], str]] = {
    SignInRequired: "Sign in again on the connector's page.",
    CodeRejected: "Start the sign-in again on the connector's page.",
    ConsentRequired: "Sign in on the connector's page and accept, or have an administrator consent for all users.",
    AccountBlocked: "An administrator of Entra ID must permit the account to sign in again.",
    OAuthAppMisconfigured: "Correct the app registration or spec.signIn.client.",
    TokenServiceUnavailable: "The stored sign-in is kept and the request is retried.",
}
_DEFAULT_CAUSES: Final[dict[type[SignInError], str]] = {
    SignInRequired: "Entra ID no longer accepts the stored sign-in.",
    CodeRejected: "Entra ID does not accept this code.",
    ConsentRequired: "A consent for the app is missing.",
    AccountBlocked: "Entra ID rejects the account.",
    OAuthAppMisconfigured: "Entra ID rejects the app.",
    TokenServiceUnavailable: "Entra ID cannot issue a token at present.",
}
_DEVICE_CAUSES: Final[dict[str, str]] = {
    "authorization_declined": "The sign-in was declined on the device page.",
    "expired_token": "The device code has expired before anybody signed in.",
    "bad_verification_code": "Entra ID does not know the device code.",
}

_APP_ERRORS: Final = frozenset(
    {"invalid_client", "invalid_scope", "invalid_resource", "invalid_request", "unsupported_grant_type"}
)

_Refinements = tuple[tuple[frozenset[int], type[SignInError]], ...]
_BY_ERROR: Final[dict[str, tuple[type[SignInError], _Refinements]]] = {
    "invalid_grant": (
        SignInRequired,
        ((_TRANSIENT, TokenServiceUnavailable), (_CONSENT, ConsentRequired), (_BLOCKED, AccountBlocked)),
    ),
    "interaction_required": (SignInRequired, ()),
    "login_required": (SignInRequired, ()),
    "consent_required": (ConsentRequired, ()),
    "access_denied": (AccountBlocked, ((_CONSENT, ConsentRequired),)),
    "unauthorized_client": (OAuthAppMisconfigured, ((_BLOCKED, AccountBlocked),)),
    "authorization_declined": (CodeRejected, ()),
    "expired_token": (CodeRejected, ()),
    "bad_verification_code": (CodeRejected, ()),
    "temporarily_unavailable": (TokenServiceUnavailable, ()),
    "server_error": (TokenServiceUnavailable, ()),
}
"""The class of each OAuth error, and the AADSTS numbers that refine it. Any other error is about the app."""


def classify_oauth_error(
    status: int,
    error: str | None,
    numbers: Iterable[int] = (),
    *,
    redeeming_code: bool = False,
    retry_after: float | None = None,
) -> SignInError:
    """Return the exception for an error response of Entra ID, with a message that says what to do.

    Args:
        status: HTTP status of the response; 400 for an error that came in a redirect.
        error: the OAuth `error`, or None if the response is not Entra ID's.
        numbers: `error_codes`, or the AADSTS numbers in the description.
        redeeming_code: whether an authorization code was redeemed; `invalid_grant` is then about that code.
        retry_after: seconds from the Retry-After header.
    """
    codes = tuple(numbers)
    if error in {"authorization_pending", "slow_down"}:
        increment = _SLOW_DOWN_SECONDS if error == "slow_down" else None
        return DevicePending("The sign-in on the device page is not finished yet.", retry_after=increment)
    number = codes[0] if codes else None
    if error is None:
        # A proxy or a captive portal answered. That must never end a sign-in.
        message = f"The response to a token request (HTTP {status}) is not Entra ID's; is there a proxy in between?"
        return TokenServiceUnavailable(
            f"{message} {_ADVICE[TokenServiceUnavailable]}", retry_after=retry_after, number=number
        )
    kind, refinements = _BY_ERROR.get(error, (OAuthAppMisconfigured, ()))
    kind = next((refined for numbers, refined in refinements if numbers.intersection(codes)), kind)
    if status >= 500 or status in _TRANSIENT_STATUSES:  # noqa: PLR2004 - HTTP's server errors
        kind = TokenServiceUnavailable
    elif redeeming_code and error == "invalid_grant" and kind is SignInRequired:
        kind = CodeRejected
    if kind is TokenServiceUnavailable and number == LOOP_DETECTED:
        retry_after = max(retry_after or 0.0, _LOOP_DELAY_SECONDS)
    entra_code = ENTRA_ERROR_CODES.get(number or 0)
    cause = (entra_code and entra_code.message) or _DEVICE_CAUSES.get(error) or _DEFAULT_CAUSES[kind]
    # An unknown error is not repeated: it could be any text of whatever answered.
    error_name = error if error in _BY_ERROR or error in _APP_ERRORS else "an unknown error"
    source = f"AADSTS{number}" if number else error_name
    return kind(f"{cause} {_ADVICE[kind]} ({source})", retry_after=retry_after, number=number)
