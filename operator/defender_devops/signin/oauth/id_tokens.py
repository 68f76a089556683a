"""Who signed in: the id_token, verified. Access tokens for Azure DevOps are opaque and never looked into."""

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

__all__ = ["IdTokenVerifier", "Identity", "SigningKeys"]

_KEYS_LIFETIME: Final = timedelta(hours=24)
"""Microsoft asks to look for new keys once a day; an unknown key id makes us look sooner."""

_KEYS_SOONEST: Final = timedelta(seconds=30)
"""Between two looks for an unknown key id, so that made-up ids cannot make us ask without end."""

_LEEWAY: Final = timedelta(minutes=5)
"""Clock difference to Entra ID that is forgiven; the same as Microsoft's own libraries forgive."""


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
    """Keys with which Entra ID signs, kept for a day, by authority and tenant."""

    clock: Clock
    _keys: dict[str, tuple[datetime, dict[str, jwt.PyJWK]]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self, authority: Authority, key_id: str) -> jwt.PyJWK | None:
        """The key of that id, or None where the tenant has no such key.

        Raises:
            TokenServiceUnavailable: the keys are not to be had.
        """
        async with self._lock:
            fetched_at, keys = self._keys.get(authority.issuer, (None, {}))
            now = self.clock()
            soonest = _KEYS_LIFETIME if key_id in keys else _KEYS_SOONEST
            if fetched_at is None or now - fetched_at >= soonest:
                keys = _rsa_keys(await authority.signing_keys())
                self._keys[authority.issuer] = (now, keys)
            return keys.get(key_id)


def _rsa_keys(key_set: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    keys = key_set.get("keys")
    usable = (
        [key for key in keys if isinstance(key, dict) and key.get("kty") == "RSA"] if isinstance(keys, list) else []
    )
    found: dict[str, jwt.PyJWK] = {}
    for key in usable:
        try:
            found[str(key["kid"])] = jwt.PyJWK(key, algorithm="RS256")
        except (jwt.PyJWTError, KeyError):
            continue  # one key that we cannot use must not hide the others
    if not found:
        raise TokenServiceUnavailable("Entra ID publishes no signing key that can be used. It is tried again.")
    return found


@dataclass(frozen=True)
class IdTokenVerifier:
    """Verifies signature, issuer, audience, times, nonce and tenant."""

    keys: SigningKeys
    clock: Clock

    async def verify(
        self, token: SecretStr | None, authority: Authority, client_id: str, nonce: str | None
    ) -> Identity:
        """Whose token this is.

        Args:
            token: the id_token as it came.
            authority: of the tenant that must have issued it.
            client_id: the app that must be its audience.
            nonce: what the authorization request sent; None for flows without a browser redirect.

        Raises:
            SignInRequired: the token is not to be trusted; nothing of the sign-in is used.
            WrongTenant: it is genuine, but of another tenant.
            TokenServiceUnavailable: the keys are not to be had.
        """
        raw = token.get_secret_value() if token else ""
        claims = await self._verified(raw, authority, client_id)
        if nonce is not None and not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _untrusted("it answers another sign-in (nonce)")
        identity = Identity(*(str(claims.get(name) or "") for name in ("preferred_username", "tid", "oid")))
        if not identity.account or not identity.object_id:
            raise _untrusted("it does not say who signed in (preferred_username, oid)")
        if identity.tenant_id.lower() != authority.tenant_id.lower():
            raise WrongTenant(
                f"{identity.account} belongs to tenant {identity.tenant_id}, the connector to {authority.tenant_id}. "
                "Sign in with an account of the connector's tenant."
            )
        return identity

    async def _verified(self, raw: str, authority: Authority, client_id: str) -> dict[str, Any]:
        try:
            key = await self.keys.get(authority, str(jwt.get_unverified_header(raw).get("kid", "")))
            if key is None:
                raise _untrusted("it is signed with an unknown key")
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
            raise _untrusted(f"it does not verify ({type(error).__name__})") from None
        self._check_times(claims)
        self._check_issuer(claims, authority)
        return claims

    def _check_times(self, claims: dict[str, Any]) -> None:
        """By our own clock, which tests can move; PyJWT would ask the machine's."""
        now = self.clock()
        try:
            expires, issued = (datetime.fromtimestamp(float(claims[name]), UTC) for name in ("exp", "iat"))
        except (TypeError, ValueError, OverflowError, OSError):
            raise _untrusted("its times cannot be read") from None
        if expires + _LEEWAY <= now:
            raise _untrusted("it has expired; is this machine's clock right?")
        if issued - _LEEWAY > now:
            raise _untrusted("it is from the future; is this machine's clock right?")

    @staticmethod
    def _check_issuer(claims: dict[str, Any], authority: Authority) -> None:
        issuer = str(claims["iss"])
        if issuer.lower() == authority.issuer.lower():
            return
        tenant = str(claims.get("tid", ""))
        if tenant and issuer.lower() == f"{authority.host}/{tenant}/v2.0".lower():
            raise WrongTenant(
                f"{claims.get('preferred_username', 'The account')} belongs to tenant {tenant}, the connector to "
                f"{authority.tenant_id}. Sign in with an account of the connector's tenant."
            )
        raise _untrusted("another service issued it (iss)")


def _untrusted(why: str) -> SignInRequired:
    return SignInRequired(f"The id_token that came with the sign-in is refused: {why}. Sign in again.")
