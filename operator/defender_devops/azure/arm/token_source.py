"""Access tokens of one identity: cached, refreshed in time, one request to Entra ID at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import SecretStr

from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["Credential", "Token", "TokenSource"]

_REFRESH_BEFORE_EXPIRY: Final = 300.0
"""Seconds before its expiry at which a token is refreshed (azure-identity's own offset)."""

_REFRESH_RETRY_DELAY: Final = 30.0
"""Seconds between two attempts to refresh a token that is still valid."""

_FAILURE_CACHE_SECONDS: Final = 5.0
"""Seconds for which a failure without Retry-After is cached: a hundred connectors of an identity send one request."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token for Azure Resource Manager.

    Attributes:
        value: the token; opaque.
        expires_at: its expiry, seconds since the epoch.
        refresh_at: when the issuer recommends to replace it, or None.
    """

    value: SecretStr
    expires_at: float
    refresh_at: float | None = None


class Credential(Protocol):
    """A source of access tokens."""

    async def token(self, *, claims: str | None, force_refresh: bool) -> Token:
        """Return a token for Azure Resource Manager.

        Args:
            claims: the claims of a claims challenge, as JSON, or None.
            force_refresh: an earlier token was rejected, so the new one must not come from a cache.

        Raises:
            CredentialsError: there is none; the message says why and what to do.
            KubernetesError: a Secret or a service account token could not be read.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class TokenSource:
    """The current token of a credential.

    Args:
        credential: where tokens come from.
        clock: time.
    """

    def __init__(self, credential: Credential, clock: Clock | None = None) -> None:
        self._credential = credential
        self._clock = clock or Clock()
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._next_refresh_at = 0.0
        self._failure: tuple[float, OperatorError] | None = None

    async def current(self) -> SecretStr:
        """Return a token that remains valid for some minutes.

        Raises:
            CredentialsError: there is none.
        """
        if (token := self._token) is not None and not self._is_refresh_due(token):
            return token.value
        async with self._lock:
            if (token := self._token) is not None and not self._is_refresh_due(token):
                return token.value
            return (await self._refresh(token)).value

    async def replace(self, rejected: SecretStr, claims: str | None = None) -> SecretStr:
        """Return another token than the one that Azure rejected, which concurrent callers share.

        Raises:
            CredentialsError: there is none.
        """
        async with self._lock:
            token = self._token
            if token is not None and token.value != rejected:
                return token.value
            self._token = await self._credential.token(claims=claims, force_refresh=True)
            return self._token.value

    async def close(self) -> None:
        """Close the credential's connections."""
        await self._credential.close()

    def _is_refresh_due(self, token: Token) -> bool:
        now = self._clock.wall()
        due_at = token.expires_at - _REFRESH_BEFORE_EXPIRY
        if token.refresh_at is not None:
            due_at = min(due_at, token.refresh_at)
        return now >= max(due_at, self._next_refresh_at) or now >= token.expires_at

    async def _refresh(self, previous: Token | None) -> Token:
        if self._failure is not None and (remaining := self._failure[0] - self._clock.wall()) > 0:
            error = self._failure[1]
            # A new instance for each caller: a shared one would collect the tracebacks of all callers.
            raise type(error)(error.message, retry_after=remaining if error.retry_after else None)
        try:
            # After refresh_at, azure-identity itself sends a request to Entra ID, and hides its failure until expiry.
            token = await self._credential.token(claims=None, force_refresh=False)
        except OperatorError as error:
            now = self._clock.wall()
            if previous is None or now >= previous.expires_at:
                self._failure = (now + max(_FAILURE_CACHE_SECONDS, error.retry_after or 0.0), error)
                raise
            token = previous
        self._failure = None
        self._token = token
        self._next_refresh_at = self._clock.wall() + _REFRESH_RETRY_DELAY
        return token
