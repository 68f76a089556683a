"""What Entra remembers between requests, apart from the directory."""

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
    """Keys, registered issuers and everything that was handed out."""

    signing_key: SigningKey = field(default_factory=SigningKey)
    federation: Federation = field(default_factory=Federation)
    access_tokens: AccessTokens = field(default_factory=AccessTokens)
    sessions: Sessions = field(default_factory=Sessions)
    arm_resources: set[str] = field(default_factory=set)
    problems: dict[str, EntraError] = field(default_factory=dict)
    """Why an interaction is stuck, by its id: what the application is told if the person goes back."""

    def issued_secrets(self) -> list[str]:
        """Every secret that somebody out there may hold: access tokens, refresh tokens, codes and device codes."""
        sessions = self.sessions
        return [*self.access_tokens, *sessions.refresh_tokens, *sessions.codes, *sessions.device_codes]

    def reset(self) -> None:
        """Forget what was handed out; keys and issuers stay, because others hold on to them."""
        self.access_tokens = AccessTokens()
        self.sessions = Sessions()
        self.problems = {}
