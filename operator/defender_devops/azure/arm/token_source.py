"""Access tokens of one identity: kept, refreshed in good time, one request to Entra ID at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import SecretStr

from defender_devops.clock import Clock
from defender_devops.errors import OperatorError

__all__ = ["Credential", "Token", "TokenSource"]

_REFRESH_BEFORE_EXPIRY: Final = 300.0
"""Seconds before its end at which a token counts as old (azure-identity's own offset)."""

_RETRY_REFRESH: Final = 30.0
"""Seconds between two tries to replace a token that is old but still good."""

_REMEMBER_FAILURE: Final = 5.0
"""Seconds for which a failure answers all who ask: a hundred connectors of an identity ask Entra ID once."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token for Azure Resource Manager.

    Attributes:
        value: the token; opaque.
        expires_at: its end, seconds since the epoch.
        refresh_at: when the issuer wants it replaced, or None.
    """

    value: SecretStr
    expires_at: float
    refresh_at: float | None = None


class Credential(Protocol):
    """Where tokens come from."""

    async def token(self, *, claims: str | None, renew: bool) -> Token:
        """A token for Azure Resource Manager.

        Args:
            claims: what a claims challenge asks for, as JSON, or None.
            renew: an earlier token was refused, so the answer must not come out of a cache.

        Raises:
            CredentialsError: there is none; the message says why and what to do.
            KubernetesError: what it is made of could not be read.
        """
        ...

    async def close(self) -> None:
        """Give up the connections."""
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
        self._retry_at = 0.0
        self._failure: tuple[float, OperatorError] | None = None

    async def current(self) -> SecretStr:
        """A token that is good for some minutes more.

        Raises:
            CredentialsError: there is none.
        """
        if (token := self._token) is not None and not self._is_due(token):
            return token.value
        async with self._lock:
            if (token := self._token) is not None and not self._is_due(token):
                return token.value
            return (await self._refreshed(token)).value

    async def replace(self, refused: SecretStr, claims: str | None = None) -> SecretStr:
        """Another token than the one that Azure refused; asked for only if nobody has done so yet.

        Raises:
            CredentialsError: there is none.
        """
        async with self._lock:
            token = self._token
            if token is not None and token.value != refused:
                return token.value
            self._token = await self._credential.token(claims=claims, renew=True)
            return self._token.value

    async def close(self) -> None:
        """Give up the credential's connections."""
        await self._credential.close()

    def _is_due(self, token: Token) -> bool:
        now = self._clock.wall()
        due_at = token.expires_at - _REFRESH_BEFORE_EXPIRY
        if token.refresh_at is not None:
            due_at = min(due_at, token.refresh_at)
        return now >= max(due_at, self._retry_at) or now >= token.expires_at

    async def _refreshed(self, old: Token | None) -> Token:
        self._raise_remembered()
        try:
            # Past its refresh time, azure-identity asks Entra ID by itself; it hides a failure while the old one lasts.
            token = await self._credential.token(claims=None, renew=False)
        except OperatorError as error:
            now = self._clock.wall()
            if old is None or now >= old.expires_at:
                self._failure = (now + _REMEMBER_FAILURE, error)
                raise
            token = old
        self._failure = None
        self._token = token
        self._retry_at = self._clock.wall() + _RETRY_REFRESH
        return token

    def _raise_remembered(self) -> None:
        if self._failure is not None and self._clock.wall() < self._failure[0]:
            error = self._failure[1]
            # A new one: the same instance would collect the traceback of everybody who is told.
            raise type(error)(error.message, retry_after=error.retry_after)
