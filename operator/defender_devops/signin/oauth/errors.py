"""Failures of a sign-in, and the one place that reads what Entra ID answers.

    OperatorError
    └── SignInError
        ├── SignInRequired              the sign-in is gone: a person must sign in again
        │   ├── CodeRejected            this authorization code cannot be used (again): start a new sign-in
        │   └── InvalidAuthorizationResponse   what came back to the page belongs to no sign-in of this browser
        ├── ConsentRequired             the app lacks a consent                                  (terminal)
        ├── AccountBlocked              disabled, locked or stopped by Conditional Access        (terminal)
        ├── OAuthAppMisconfigured       the app registration or our use of it is wrong           (terminal)
        ├── WrongAccount                another person's sign-in                                 (terminal)
        ├── WrongTenant                 a sign-in of another tenant                              (terminal)
        ├── TokenServiceUnavailable     Entra ID does not answer: nothing stored is given up
        └── DevicePending               the person has not finished on the device page yet

`classify` decides on `error` and the HTTP status. AADSTS numbers only refine within what that `error` can mean:
`invalid_grant` is used by Entra for nearly everything, and the number tells a blocked account from a spent token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from defender_devops.entra_error_codes import ENTRA_ERROR_CODES, LOOP_DETECTED, EntraFailure, codes_of
from defender_devops.errors import OperatorError

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
    "classify",
]


class SignInError(OperatorError):
    """A sign-in failed.

    Args:
        message: what happened and what to do.
        retry_after: seconds to wait before the same is tried again.
        number: the AADSTS number, where Entra gave one.
    """

    reason = "SignInRequired"
    requires_user: ClassVar[bool] = False
    """Whether a person must sign in, consent or unblock before it works again."""

    def __init__(self, message: str, *, retry_after: float | None = None, number: int | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.number = number


class SignInRequired(SignInError):
    """There is no sign-in, or what is stored no longer works."""

    reason = "SignInRequired"
    terminal = True
    requires_user = True


class CodeRejected(SignInRequired):
    """An authorization code or device code that is used up, too old, or of another sign-in."""


class InvalidAuthorizationResponse(SignInRequired):
    """An answer without the state that this browser was given, or with one that is spent or too old."""


class ConsentRequired(SignInError):
    """Somebody must consent to what the app asks for."""

    reason = "ConsentRequired"
    terminal = True
    requires_user = True


class AccountBlocked(SignInError):
    """The account may not sign in; an administrator can mend it."""

    reason = "AccountBlocked"
    terminal = True
    requires_user = True


class OAuthAppMisconfigured(SignInError):
    """The app registration, its secret, or what the manifest says of it is wrong."""

    reason = "OAuthAppMisconfigured"
    terminal = True


class WrongAccount(SignInError):
    """Another account signed in than the one that the connector names."""

    reason = "WrongAccount"
    terminal = True
    requires_user = True


class WrongTenant(SignInError):
    """The account belongs to another tenant than the connector's."""

    reason = "WrongTenant"
    terminal = True
    requires_user = True


class TokenServiceUnavailable(SignInError):
    """Entra ID did not answer, or asks for patience. What is stored stays and is tried again."""

    reason = "TokenServiceUnavailable"


class DevicePending(SignInError):
    """The device code waits for its person; `retry_after` is the added wait that Entra asks for (`slow_down`)."""


_NETWORK_STATUSES: Final = frozenset({408, 429})
_SLOW_DOWN_SECONDS: Final = 5.0  # RFC 8628, section 3.5
_LOOP_SECONDS: Final = 300.0
"""Wait after AADSTS50196: Entra says that we ask in a loop, so ask much more slowly."""

_TRANSIENT: Final = codes_of(EntraFailure.TRANSIENT)
_CONSENT: Final = codes_of(EntraFailure.CONSENT)
_BLOCKED: Final = codes_of(EntraFailure.ACCOUNT)

_SIGN_IN = "Sign in again on the connector's page."
_ADVICE: Final[dict[type[SignInError], str]] = {
    SignInRequired: _SIGN_IN,
    CodeRejected: "Start the sign-in again on the connector's page.",
    ConsentRequired: "Sign in on the connector's page and accept, or have an administrator consent for all.",
    AccountBlocked: "An administrator of Entra ID must let the account sign in again.",
    OAuthAppMisconfigured: "Correct the app registration or spec.signIn.client.",
    TokenServiceUnavailable: "Nothing is lost; it is tried again.",
}
_DEFAULT_WORDS: Final[dict[type[SignInError], str]] = {
    SignInRequired: "Entra ID no longer accepts the stored sign-in.",
    CodeRejected: "Entra ID does not accept this code.",
    ConsentRequired: "The app lacks a consent.",
    AccountBlocked: "Entra ID refuses the account.",
    OAuthAppMisconfigured: "Entra ID refuses the app.",
    TokenServiceUnavailable: "Entra ID cannot issue a token at present.",
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
_DEVICE_WORDS: Final[dict[str, str]] = {
    "authorization_declined": "The sign-in was declined on the device page.",
    "expired_token": "The device code has expired before anybody signed in.",
    "bad_verification_code": "Entra ID does not know the device code.",
}


def classify(
    status: int,
    error: str | None,
    numbers: Iterable[int] = (),
    *,
    redeeming_code: bool = False,
    retry_after: float | None = None,
) -> SignInError:
    """Turn Entra ID's refusal into the error that says what to do.

    Args:
        status: HTTP status of the answer; 400 for an error that came in a redirect.
        error: the OAuth `error`, or None where the answer was not Entra's.
        numbers: `error_codes`, or what stands after AADSTS in the description.
        redeeming_code: whether an authorization code was being redeemed; `invalid_grant` then speaks of that code.
        retry_after: seconds from the header.
    """
    codes = tuple(numbers)
    if error in {"authorization_pending", "slow_down"}:
        return DevicePending(
            "The sign-in waits on the device page.",
            retry_after=_SLOW_DOWN_SECONDS if error == "slow_down" else None,
        )
    kind = _class_of(status, error, codes, redeeming_code=redeeming_code)
    number = codes[0] if codes else None
    if kind is TokenServiceUnavailable and number == LOOP_DETECTED:
        retry_after = max(retry_after or 0.0, _LOOP_SECONDS)
    return kind(_words(kind, status, error, number), retry_after=retry_after, number=number)


def _class_of(status: int, error: str | None, codes: tuple[int, ...], *, redeeming_code: bool) -> type[SignInError]:
    if status >= 500 or status in _NETWORK_STATUSES or error is None:  # noqa: PLR2004 - HTTP's server errors
        return TokenServiceUnavailable
    kind, refinements = _BY_ERROR.get(error, (OAuthAppMisconfigured, ()))
    refined = next((other for numbers, other in refinements if numbers.intersection(codes)), kind)
    if redeeming_code and error == "invalid_grant" and refined is SignInRequired:
        return CodeRejected
    return refined


def _words(kind: type[SignInError], status: int, error: str | None, number: int | None) -> str:
    if error is None:
        return (
            f"The answer to a token request (HTTP {status}) is not from Entra ID; a proxy in between? {_ADVICE[kind]}"
        )
    code = ENTRA_ERROR_CODES.get(number or 0)
    what = (code and code.message) or _DEVICE_WORDS.get(error) or _DEFAULT_WORDS[kind]
    shown = error if error in _BY_ERROR or error in _APP_ERRORS else "an unknown error"
    named = f"AADSTS{number}" if number else shown
    return f"{what} {_ADVICE[kind]} ({named})"
