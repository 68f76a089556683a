"""What the token Secret of a connector holds, as a value, and how it is written into the Secret's data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import SecretBytes, SecretStr

__all__ = ["Claim", "TokenRecord", "fingerprint"]

REFRESH_TOKEN_LIFETIME: Final = timedelta(days=90)
"""Of a refresh token of an app that is not a single-page app; each use gives a new one with a new life."""


@dataclass(frozen=True)
class Claim:
    """The right to use the refresh token once, until it ends.

    Attributes:
        holder: random id of one attempt of one replica.
        until: after that the holder is taken for dead.
    """

    holder: str
    until: datetime


@dataclass(frozen=True)
class TokenRecord:
    """The operator's sign-in for one connector.

    Attributes:
        refresh_token: to get the next access token with; replaced at each use.
        refreshed_at: when that refresh token was issued.
        access_token: for Azure DevOps; kept so that after a restart, or in a second replica, the refresh token need not
            be used at once.
        access_expires_at: end of the access token.
        access_issued_at: its beginning.
        account: user principal name that signed in.
        tenant_id: its tenant.
        object_id: its immutable id there.
        client_id: the app that the tokens were issued to; another app cannot use them.
        handed_in: hash of the refresh token that a person handed in, so that each is taken over once.
        claim: who is using the refresh token at this moment.
        spent_states: hashes of `state` values that were used, with their ends, so that none is used twice.
        defender_code: Defender's one-time code that a person pasted on the page, until the operator has taken it.
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
    handed_in: str | None = None
    claim: Claim | None = None
    spent_states: Mapping[str, datetime] = field(default_factory=dict)
    defender_code: SecretStr | None = None

    @property
    def refresh_token_expires_at(self) -> datetime | None:
        """When the refresh token ends if nobody uses it; Entra ID does not tell, so by its documented life."""
        return self.refreshed_at + REFRESH_TOKEN_LIFETIME if self.refresh_token and self.refreshed_at else None

    def usable_access_token(self, now: datetime, used_up: float = 1.0) -> SecretStr | None:
        """The access token while less than `used_up` of its life is gone."""
        if not (self.access_token and self.access_expires_at and self.access_issued_at):
            return None
        end = self.access_issued_at + (self.access_expires_at - self.access_issued_at) * used_up
        return self.access_token if now < end else None

    def encode(self) -> dict[str, SecretBytes]:
        """The Secret's data: a key for each attribute that has a value."""
        values = {item.name: _written(getattr(self, item.name)) for item in fields(self)}
        return {_key(name): SecretBytes(value.encode()) for name, value in values.items() if value}

    @classmethod
    def decode(cls, data: Mapping[str, SecretBytes]) -> TokenRecord:
        """Read a Secret's data; what cannot be read counts as absent, so that a person can sign in anew over it."""

        def text(name: str) -> str:
            raw = data.get(_key(name))
            return raw.get_secret_value().decode(errors="replace").strip() if raw else ""

        return cls(
            refresh_token=_secret(text("refresh_token")),
            refreshed_at=_moment(text("refreshed_at")),
            access_token=_secret(text("access_token")),
            access_expires_at=_moment(text("access_expires_at")),
            access_issued_at=_moment(text("access_issued_at")),
            account=text("account") or None,
            tenant_id=text("tenant_id") or None,
            object_id=text("object_id") or None,
            client_id=text("client_id") or None,
            handed_in=text("handed_in") or None,
            claim=_claim(text("claim")),
            spent_states=_states(text("spent_states")),
            defender_code=_secret(text("defender_code")),
        )


def fingerprint(secret: SecretStr) -> str:
    """SHA-256 of a secret, in hex: tells whether two are the same without keeping either."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()


def _secret(text: str) -> SecretStr | None:
    return SecretStr(text) if text else None


def _key(name: str) -> str:
    return name.replace("_", "-")


def _written(value: object) -> str:
    match value:
        case SecretStr():
            return value.get_secret_value()
        case datetime():
            return value.isoformat()
        case Claim():
            return json.dumps({"holder": value.holder, "until": value.until.isoformat()})
        case Mapping():
            return json.dumps({key: moment.isoformat() for key, moment in value.items()}) if value else ""
        case str():
            return value
        case _:
            return ""


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _claim(text: str) -> Claim | None:
    value = _object(text)
    until = _moment(str(value.get("until", "")))
    return Claim(str(value.get("holder", "")), until) if until else None


def _states(text: str) -> dict[str, datetime]:
    read = {key: _moment(str(value)) for key, value in _object(text).items()}
    return {key: moment for key, moment in read.items() if moment}
