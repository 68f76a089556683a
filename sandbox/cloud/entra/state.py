"""State of Entra between requests, apart from the directory."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.keys import SigningKey
from sandbox.cloud.entra.sessions import Sessions
from sandbox.cloud.entra.token_endpoint.federation import Federation
from sandbox.cloud.entra.tokens import AccessTokens

__all__ = ["EntraState"]


@dataclass(slots=True)
class EntraState:
    """Keys, registered issuers, issued tokens and codes."""

    signing_key: SigningKey = field(default_factory=SigningKey)
    federation: Federation = field(default_factory=Federation)
    access_tokens: AccessTokens = field(default_factory=AccessTokens)
    sessions: Sessions = field(default_factory=Sessions)
    arm_resources: set[str] = field(default_factory=set)
    """URLs under which Resource Manager is served here, as resource identifiers of tokens."""
    authority: str = "https://login.microsoftonline.com"
    """Base URL of Entra itself, as other services publish it."""
    problems: dict[str, EntraError] = field(default_factory=dict)
    """Errors of interactions, by id: sent to the application if the person returns to it."""

    def issued_secrets(self) -> list[str]:
        """Return every issued secret: access tokens, refresh tokens, codes and device codes."""
        sessions = self.sessions
        return [*self.access_tokens, *sessions.refresh_tokens, *sessions.codes, *sessions.device_codes]

    def reset(self) -> None:
        """Drop all issued tokens and codes; keys and issuers are kept, because clients outside have cached them."""
        self.access_tokens = AccessTokens()
        self.sessions = Sessions()
        self.problems = {}
