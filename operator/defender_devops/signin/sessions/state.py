"""The state of a sign-in, as the rest of the operator sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from defender_devops.api.reasons import Reason

__all__ = ["SignInState"]


@dataclass(frozen=True)
class SignInState:
    """The operator's own sign-in for one connector, at its last check.

    Attributes:
        signed_in: True: a token was issued for the expected account. False: it was not, and a person must act. None:
            unknown (Entra ID or Kubernetes is unavailable, or the sign-in was not checked yet).
        reason: reason of the condition SignedIn.
        cause: what is wrong and what to do.
        account: user principal name that is, or was last, signed in; None for an app.
        tenant_id: tenant of that account.
        refresh_token_expires_at: when the refresh token expires if it is not used, rounded down to the day so that it
            does not change with every use.
        url: address of the connector's page; None if the operator has no public address.
        worked_before: whether somebody had signed in before, so that False is a loss rather than a first time.
        last_worked_at: when a token was last issued.
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
        """What is wrong, with which account and since when, and where to correct it.

        Never the address of the page itself: messages and events are copied to places (chats, alerts, logs) whose
        readers should not be able to open it.
        """
        if not self.is_lost:
            return self.cause
        account = f" The account is {self.account}." if self.account and self.account not in self.cause else ""
        since = f" It worked last at {self.last_worked_at:%Y-%m-%d %H:%M} UTC." if self.last_worked_at else ""
        page = " The address of the page is in status.signIn.url." if self.url else ""
        return f"{self.cause}{account}{since}{page}"

    @property
    def is_lost(self) -> bool:
        """Whether a sign-in that worked has stopped and a person must act: ReauthRequired."""
        return self.signed_in is False and self.worked_before

    def differs_from(self, other: SignInState) -> bool:
        """Whether the status would change. The time of the last success alone is only reported after a loss."""
        if self.message != other.message:
            return True
        return replace(self, cause="", last_worked_at=None) != replace(other, cause="", last_worked_at=None)
