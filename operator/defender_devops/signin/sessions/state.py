"""What the rest of the operator learns of a sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.reasons import Reason

__all__ = ["SignInState"]


@dataclass(frozen=True)
class SignInState:
    """The operator's own sign-in for one connector, as it was found last.

    Attributes:
        signed_in: True: a token was issued for the expected account. False: it was not, and a person must act. None:
            not known (Entra ID or Kubernetes does not answer, or it was not looked at yet).
        reason: reason of the condition SignedIn.
        cause: what is the matter and what to do.
        account: user principal name that is, or was last, signed in; None for an app.
        tenant_id: its tenant.
        refresh_token_expires_at: end of the refresh token if nobody used it, rounded down to the day so that it does
            not move with every use.
        url: the connector's page; None where the operator has no public address.
        worked_before: somebody had signed in already, so that False means a loss rather than a first time.
        last_worked_at: when a token was issued last.
    """

    signed_in: bool | None = None
    reason: str = Reason.NOT_CHECKED
    cause: str = ""
    account: str | None = None
    tenant_id: str | None = None
    refresh_token_expires_at: datetime | None = None
    url: str | None = None
    worked_before: bool = False
    last_worked_at: datetime | None = None

    @property
    def message(self) -> str:
        """What is the matter, who it is about, since when, and where to mend it; safe to show."""
        if not self.is_lost:
            return self.cause
        whose = f" This is about {self.account}." if self.account and self.account not in self.cause else ""
        since = f" It worked last at {self.last_worked_at:%Y-%m-%d %H:%M} UTC." if self.last_worked_at else ""
        return f"{self.cause}{whose}{since}{f' Page: {self.url}' if self.url else ''}"

    @property
    def is_lost(self) -> bool:
        """Whether something that worked has stopped and a person must act: ReauthRequired."""
        return self.signed_in is False and self.worked_before

    def differs_from(self, other: SignInState) -> bool:
        """Whether anything that a status shows has changed; the time of the last success is not shown."""
        return _shown(self) != _shown(other)


def _shown(state: SignInState) -> tuple[object, ...]:
    return (
        state.signed_in,
        state.reason,
        state.message,
        state.account,
        state.tenant_id,
        state.refresh_token_expires_at,
        state.url,
        state.worked_before,
    )
