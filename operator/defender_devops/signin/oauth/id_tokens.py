"""Verification of ID tokens: who signed in. Access tokens for Azure DevOps are opaque and are never decoded."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from pydantic import SecretStr

from defender_devops.signin.oauth.authority import Authority
from defender_devops.signin.oauth.errors import SignInRequired, TokenServiceUnavailable, WrongTenant
from defender_devops.signin.ports import Clock
from defender_devops.text import printable

__all__ = ["IdTokenVerifier", "Identity", "SigningKeys"]

_KEYS_LIFETIME: Final = timedelta(hours=24)
"""Microsoft recommends to fetch the keys again every 24 hours; an unknown key id causes an earlier request.

Source: learn.microsoft.com/entra/identity-platform/signing-key-rollover.
"""

_KEYS_MIN_INTERVAL: Final = timedelta(seconds=30)
"""Minimum time between two requests for an unknown key id, so that invented ids cannot cause a flood of requests."""

_CLOCK_SKEW: Final = timedelta(minutes=5)
"""Tolerated clock difference to Entra ID; the same as in Microsoft's own libraries."""


@dataclass(frozen=True)
class Identity:
    """The person of an id_token.

    Attributes:
        account: user principal name (`preferred_username`).
        tenant_id: tenant that issued it (`tid`).
        object_id: the person's immutable id in that tenant (`oid`).
    """

    account: str
    tenant_id: str
    object_id: str


@dataclass
class SigningKeys:
    """Entra ID's public signing keys by issuer, cached for a day."""

    clock: Clock
    _keys: dict[str, tuple[datetime, dict[str, jwt.PyJWK]]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, authority: Authority, key_id: str) -> jwt.PyJWK | None:
        """Return the key with that id, or None if the tenant has no such key.

        Raises:
            TokenServiceUnavailable: the keys cannot be fetched.
        """
        async with self._lock:
            fetched_at, keys = self._keys.get(authority.issuer, (None, {}))
            now = self.clock()
            max_age = _KEYS_LIFETIME if key_id in keys else _KEYS_MIN_INTERVAL
            if fetched_at is None or now - fetched_at >= max_age:
                keys = _rsa_keys(await authority.signing_keys())
                self._keys[authority.issuer] = (now, keys)
            return keys.get(key_id)


def _rsa_keys(key_set: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    entries = key_set.get("keys")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("kty") != "RSA":
            continue
        try:
            keys[str(entry["kid"])] = jwt.PyJWK(entry, algorithm="RS256")
        except (jwt.PyJWTError, KeyError):
            continue  # one unusable key must not hide the others
    if not keys:
        raise TokenServiceUnavailable("Entra ID publishes no usable signing key. The request is retried.")
    return keys


@dataclass(frozen=True)
class IdTokenVerifier:
    """Verifies signature, issuer, audience, times, nonce and tenant."""

    keys: SigningKeys
    clock: Clock

    async def verify(
        self, token: SecretStr | None, authority: Authority, client_id: str, nonce: str | None
    ) -> Identity:
        """Return the person whose token this is.

        Args:
            token: the id_token as received.
            authority: of the tenant that must have issued it.
            client_id: the app that must be its audience.
            nonce: the nonce of the authorization request; None for flows without a browser redirect.

        Raises:
            SignInRequired: the token is not trustworthy; nothing of the sign-in may be used.
            WrongTenant: it is genuine, but of another tenant.
            TokenServiceUnavailable: the signing keys cannot be fetched.
        """
        claims = await self._verified_claims(token.get_secret_value() if token else "", authority, client_id)
        if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _untrusted("it belongs to another sign-in (nonce)")
        identity = Identity(*(printable(str(claims.get(name) or "")) for name in ("preferred_username", "tid", "oid")))
        if not identity.account or not identity.object_id:
            raise _untrusted("it does not name the account (preferred_username, oid)")
        if identity.tenant_id.lower() != authority.tenant_id.lower():
            raise _wrong_tenant(identity.account, identity.tenant_id, authority)
        return identity

    async def _verified_claims(self, raw: str, authority: Authority, client_id: str) -> dict[str, Any]:
        try:
            key = await self.keys.get(authority, str(jwt.get_unverified_header(raw).get("kid", "")))
            if key is None:
                raise _untrusted("it is signed with an unknown key")
            # Times and issuer are checked below: PyJWT would use the machine's clock, which tests cannot move, and
            # could not name a foreign tenant.
            claims: dict[str, Any] = jwt.decode(
                raw,
                key,
                algorithms=["RS256"],
                audience=client_id,
                options={
                    "require": ["exp", "iat", "iss", "aud"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "verify_iss": False,
                },
            )
        except jwt.PyJWTError as error:
            raise _untrusted(f"it is not valid ({type(error).__name__})") from None
        now = self.clock()
        try:
            expires, issued = (datetime.fromtimestamp(float(claims[name]), UTC) for name in ("exp", "iat"))
        except (TypeError, ValueError, OverflowError, OSError):
            raise _untrusted("its times cannot be read") from None
        if expires + _CLOCK_SKEW <= now:
            raise _untrusted("it has expired; is this machine's clock right?")
        if issued - _CLOCK_SKEW > now:
            raise _untrusted("it was issued in the future; is this machine's clock right?")
        issuer, tenant = str(claims["iss"]).lower(), str(claims.get("tid", ""))
        if issuer != authority.issuer.lower():
            if tenant and issuer == f"{authority.host}/{tenant}/v2.0".lower():
                raise _wrong_tenant(str(claims.get("preferred_username", "The account")), tenant, authority)
            raise _untrusted("another service issued it (iss)")
        return claims


def _wrong_tenant(account: str, tenant_id: str, authority: Authority) -> WrongTenant:
    return WrongTenant(
        f"{account} belongs to tenant {tenant_id}, the connector to {authority.tenant_id}. "
        "Sign in with an account of the connector's tenant."
    )


def _untrusted(problem: str) -> SignInRequired:
    return SignInRequired(f"The id_token of the sign-in is rejected: {problem}. Sign in again.")
