"""State of sign-ins: authorization codes, refresh tokens, device codes, browser sessions.

All times are wall times.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

__all__ = [
    "CODE_LIFETIME",
    "DEVICE_CODE_LIFETIME",
    "DEVICE_POLL_SECONDS",
    "REFRESH_TOKEN_LIFETIME",
    "AuthorizationCode",
    "DeviceCode",
    "Interaction",
    "RefreshToken",
    "Sessions",
    "SignIn",
]

CODE_LIFETIME = 600.0
REFRESH_TOKEN_LIFETIME = 90 * 86400.0
DEVICE_CODE_LIFETIME = 900.0
DEVICE_POLL_SECONDS = 5
_INTERACTION_LIFETIME = 1800.0
_MOST_CODES = 256
_SWEEP_EVERY = 1024
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class SignIn:
    """A completed sign-in of a person.

    Attributes:
        mfa: whether a second factor was used.
        at: wall time of the last authentication.
    """

    account_id: str
    mfa: bool
    at: float


@dataclass(frozen=True, slots=True)
class Interaction:
    """An interactive request in a browser: of the authorize endpoint, or with a device code.

    Attributes:
        tenant_name: as in the request, possibly `common`.
        user_code: the device code that it approves; empty for the authorize endpoint.
        sign_in: None until the person has signed in.
    """

    id: str
    tenant_name: str
    client_id: str
    scope: str
    began_at: float
    redirect_uri: str = ""
    response_mode: str = "query"
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    login_hint: str = ""
    prompt: str = ""
    user_code: str = ""
    sign_in: SignIn | None = None


@dataclass(slots=True)
class AuthorizationCode:
    """A code for the token endpoint, valid for one redemption."""

    sign_in: SignIn
    client_id: str
    tenant_id: str
    scope: str
    redirect_uri: str
    issued_at: float
    nonce: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str = "plain"
    redeemed: bool = False


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token.

    Attributes:
        confidential: whether the client was authenticated: a password change does not revoke such a token.
    """

    sign_in: SignIn
    client_id: str
    tenant_id: str
    scope: str
    issued_at: float
    confidential: bool

    def expires_at(self) -> float:
        """Wall time at which it expires."""
        return self.issued_at + REFRESH_TOKEN_LIFETIME


@dataclass(slots=True)
class DeviceCode:
    """A device code and its state.

    Attributes:
        polled_at: wall time of the last poll by the device.
        outcome: `pending`, `approved`, `declined`, `redeemed`.
    """

    user_code: str
    client_id: str
    tenant_name: str
    scope: str
    issued_at: float
    polled_at: float | None = None
    outcome: str = "pending"
    sign_in: SignIn | None = None


@dataclass(slots=True)
class Sessions:
    """All codes, tokens and browser sessions."""

    interactions: dict[str, Interaction] = field(default_factory=dict)
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    device_codes: dict[str, DeviceCode] = field(default_factory=dict)
    browsers: dict[str, dict[str, SignIn]] = field(default_factory=dict)

    def begin(self, interaction: Interaction) -> Interaction:
        """Store an interaction, and drop those that were never finished."""
        oldest = interaction.began_at - _INTERACTION_LIFETIME
        self.interactions = {key: pending for key, pending in self.interactions.items() if pending.began_at > oldest}
        self.interactions[interaction.id] = interaction
        return interaction

    def issue_code(self, code: AuthorizationCode) -> str:
        """Issue an authorization code. Entra's begin with `0.A` or `1.A`."""
        value = f"1.A{secrets.token_urlsafe(120)}"
        if len(self.codes) >= _MOST_CODES:
            oldest = code.issued_at - 2 * CODE_LIFETIME
            self.codes = {issued: state for issued, state in self.codes.items() if state.issued_at > oldest}
        self.codes[value] = code
        return value

    def issue_refresh_token(self, token: RefreshToken) -> str:
        """Issue a refresh token."""
        value = f"1.A{secrets.token_urlsafe(180)}"
        if len(self.refresh_tokens) % _SWEEP_EVERY == _SWEEP_EVERY - 1:
            alive = self.refresh_tokens.items()
            self.refresh_tokens = {issued: state for issued, state in alive if state.expires_at() > token.issued_at}
        self.refresh_tokens[value] = token
        return value

    def issue_device_code(self, code: DeviceCode) -> str:
        """Issue a device code."""
        value = secrets.token_urlsafe(96)
        self.device_codes[value] = code
        return value

    def device_code_of(self, user_code: str) -> DeviceCode | None:
        """Return the device code that a person entered."""
        normalized = user_code.strip().replace("-", "").upper()
        return next((code for code in self.device_codes.values() if code.user_code == normalized), None)

    def browser(self, cookie: str | None) -> dict[str, SignIn]:
        """Return the sign-ins of a browser session, by object id."""
        return self.browsers.get(cookie or "", {})

    @staticmethod
    def user_code() -> str:
        """Return a new code that is easy to type."""
        return "".join(secrets.choice(_USER_CODE_LETTERS) for _ in range(9))
