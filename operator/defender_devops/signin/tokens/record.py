"""The content of a connector's token Secret, and its encoding in the Secret's data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretBytes, SecretStr

from defender_devops.signin.oauth.authority import TokenResponse

__all__ = ["RefreshClaim", "TokenRecord"]

REFRESH_TOKEN_LIFETIME: Final = timedelta(days=90)
"""Lifetime of a refresh token of an app that is not a single-page app; each use issues a new one with a new lifetime.

Source: learn.microsoft.com/entra/identity-platform/refresh-tokens.
"""

# The keys of the Secret's data are part of the API: a Secret written by an older version must still be readable. They
# are the attributes' names with hyphens, apart from these.
_KEYS: Final = {"refresh_claim": "claim", "user_supplied_hash": "handed-in", "used_states": "spent-states"}


@dataclass(frozen=True)
class RefreshClaim:
    """The exclusive right to use the refresh token once, until it expires.

    Attributes:
        holder: random id of one attempt of one replica.
        until: after that the holder is considered dead.
    """

    holder: str
    until: datetime


@dataclass(frozen=True)
class TokenRecord:
    """The operator's sign-in for one connector.

    Attributes:
        refresh_token: redeemed for the next access token; replaced by its successor at each use.
        refreshed_at: when that refresh token was issued.
        access_token: for Azure DevOps; stored so that after a restart, or in a second replica, the refresh token need
            not be used at once.
        access_expires_at: when the access token expires.
        access_issued_at: when the access token was issued.
        account: user principal name that signed in.
        tenant_id: tenant of that account.
        object_id: immutable id of the account in its tenant.
        client_id: the app registration that the tokens were issued to; no other app can use them.
        user_supplied_hash: SHA-256 of the refresh token that a user supplied in a Secret (method RefreshToken), so that
            each supplied token is imported once.
        refresh_claim: which attempt uses the refresh token at present.
        used_states: SHA-256 of the `state` values that were used, with their expiry, so that none is used twice.
        defender_code: Defender's one-time code that a person pasted on the page, until the operator has sent it.
    """

    refresh_token: SecretStr | None = None
    refreshed_at: datetime | None = None
    access_token: SecretStr | None = None
    access_expires_at: datetime | None = None
    access_issued_at: datetime | None = None
    account: str | None = None
    tenant_id: str | None = None
    object_id: str | None = None
    client_id: str | None = None
    user_supplied_hash: str | None = None
    refresh_claim: RefreshClaim | None = None
    used_states: Mapping[str, datetime] = field(default_factory=dict)
    defender_code: SecretStr | None = None

    @property
    def refresh_token_expires_at(self) -> datetime | None:
        """When the refresh token expires if it is not used. Entra ID does not say, so by its documented lifetime."""
        return self.refreshed_at + REFRESH_TOKEN_LIFETIME if self.refresh_token and self.refreshed_at else None

    def usable_access_token(self, now: datetime, lifetime_share: float = 1.0) -> SecretStr | None:
        """Return the access token while less than `lifetime_share` of its lifetime has passed."""
        if not (self.access_token and self.access_expires_at and self.access_issued_at):
            return None
        end = self.access_issued_at + (self.access_expires_at - self.access_issued_at) * lifetime_share
        return self.access_token if now < end else None

    def with_tokens(self, tokens: TokenResponse, now: datetime) -> TokenRecord:
        """Return the record with newly issued tokens; without a new refresh token the present one remains valid."""
        return replace(
            self,
            access_token=tokens.access_token,
            access_issued_at=now,
            access_expires_at=now + timedelta(seconds=tokens.expires_in),
            refresh_token=tokens.refresh_token or self.refresh_token,
            refreshed_at=now if tokens.refresh_token else self.refreshed_at,
        )

    def encode(self) -> dict[str, SecretBytes]:
        """Return the Secret's data: a key for each attribute that has a value."""
        values = {item.name: _encode_value(getattr(self, item.name)) for item in fields(self)}
        return {_key(name): SecretBytes(value.encode()) for name, value in values.items() if value}

    @classmethod
    def decode(cls, data: Mapping[str, SecretBytes]) -> TokenRecord:
        """Decode a Secret's data; an unreadable value counts as absent, so that a new sign-in can replace it."""

        def text(name: str) -> str:
            raw = data.get(_key(name))
            return raw.get_secret_value().decode(errors="replace").strip() if raw else ""

        def secret(name: str) -> SecretStr | None:
            return SecretStr(text(name)) if text(name) else None

        claim = _decode_object(text("refresh_claim"))
        claimed_until = _decode_time(str(claim.get("until", "")))
        states = {key: _decode_time(str(value)) for key, value in _decode_object(text("used_states")).items()}
        return cls(
            refresh_token=secret("refresh_token"),
            refreshed_at=_decode_time(text("refreshed_at")),
            access_token=secret("access_token"),
            access_expires_at=_decode_time(text("access_expires_at")),
            access_issued_at=_decode_time(text("access_issued_at")),
            account=text("account") or None,
            tenant_id=text("tenant_id") or None,
            object_id=text("object_id") or None,
            client_id=text("client_id") or None,
            user_supplied_hash=text("user_supplied_hash") or None,
            refresh_claim=RefreshClaim(str(claim.get("holder", "")), claimed_until) if claimed_until else None,
            used_states={key: expiry for key, expiry in states.items() if expiry},
            defender_code=secret("defender_code"),
        )


def _key(name: str) -> str:
    return _KEYS.get(name, name.replace("_", "-"))


def _encode_value(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case datetime():
            return value.isoformat()
        case RefreshClaim():
            return json.dumps({"holder": value.holder, "until": value.until.isoformat()})
        case Mapping():
            return json.dumps({key: expiry.isoformat() for key, expiry in value.items()}) if value else ""
        case str():
            return value
        case _:
            return ""


_YEARS: Final = range(2000, 9000)
"""Outside of them a time was not written by the operator, and a sum with a lifetime may not exist."""


def _decode_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.year not in _YEARS:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _decode_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
