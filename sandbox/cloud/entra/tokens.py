"""Access tokens: opaque strings that only this cloud can read."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.cloud.world.directory import Principal

__all__ = ["ARM_RESOURCES", "DEVOPS_RESOURCE", "AccessToken", "AccessTokens"]

ARM_RESOURCES = ("https://management.azure.com", "https://management.core.windows.net")
DEVOPS_RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"

_SWEEP_EVERY = 1024


@dataclass(slots=True)
class AccessToken:
    """Principal, resource and lifetime of a token.

    Attributes:
        resource: `arm` or `devops`.
        issued_at, expires_at: wall times.
        scopes: delegated permissions; empty for an application's own token.
    """

    principal: Principal
    resource: str
    issued_at: float
    expires_at: float
    scopes: frozenset[str] = frozenset()


class AccessTokens:
    """All issued access tokens."""

    def __init__(self) -> None:
        self._tokens: dict[str, AccessToken] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def issue(self, token: AccessToken) -> str:
        """Issue a token."""
        if len(self._tokens) % _SWEEP_EVERY == _SWEEP_EVERY - 1:
            # Until an hour after its expiry a token is answered with "expired", after that with "invalid".
            alive = self._tokens.items()
            self._tokens = {key: stored for key, stored in alive if stored.expires_at > token.issued_at - 3600}
        value = "eyJ0" + secrets.token_urlsafe(96)
        self._tokens[value] = token
        return value

    def find(self, value: str) -> AccessToken | None:
        """Return a token by its value, expired or not; None if it was never issued."""
        return self._tokens.get(value)

    def expire(self, wall: float, principal: str | None = None) -> int:
        """Expire tokens now, all or those of a principal by name; return how many."""
        matches = [token for token in self._tokens.values() if principal in (None, token.principal.name)]
        for token in matches:
            token.expires_at = min(token.expires_at, wall)
        return len(matches)

    def bearer(self, header: str | None) -> AccessToken | None:
        """Return the token of an Authorization header."""
        scheme, _, value = (header or "").partition(" ")
        return self._tokens.get(value.strip()) if scheme.lower() == "bearer" else None
