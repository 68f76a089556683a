"""One connector's sign-in under watch: what is known of it, and what follows from a success or a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.api.reasons import Reason
from defender_devops.errors import KubernetesError, OperatorError
from defender_devops.signin.oauth.errors import SignInError, SignInRequired, TokenServiceUnavailable
from defender_devops.signin.sessions.state import SignInState
from defender_devops.signin.tokens.record import TokenRecord

__all__ = ["USED_UP", "Entry", "basis"]

USED_UP: Final = 0.8
"""Share of an access token's life after which it is renewed."""

_RETRY_FIRST: Final = 10.0
"""Seconds to the first repeat after a passing failure; doubled each time, up to the check interval."""

_DOUBLINGS_MAX: Final = 16


@dataclass
class Entry:
    """One connector under watch.

    Attributes:
        connector: its newest body.
        state: what was found last.
        record: tokens as they were stored last; of an app they live here only.
        error: why the last look failed; None where it did not.
        refused: why the last sign-in on the page was not kept; told while nobody is signed in.
        due: when to look again, by the clock; None means now.
        must_renew: only a new token proves the sign-in: what it rests on has changed.
        must_read: somebody else wrote the token Secret.
        changes: counts what must_renew was set for, so that none is missed during a look.
        failures: passing failures in a row.
        lock: one renewal at a time.
        looking: the look in the background, while there is one.
    """

    connector: AzureDevOpsConnector
    state: SignInState
    record: TokenRecord = field(default_factory=TokenRecord)
    error: OperatorError | None = None
    refused: SignInError | None = None
    due: datetime | None = None
    must_renew: bool = False
    must_read: bool = False
    changes: int = 0
    failures: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    looking: asyncio.Task[None] | None = None

    @property
    def uid(self) -> str:
        """Of the connector."""
        return self.connector.metadata.uid

    @property
    def has_sign_in(self) -> bool:
        """Whether there is anything to look at."""
        return self.connector.spec.sign_in_method != SignInMethod.NONE

    def rests_on_something_new(self) -> None:
        """The manifest or a Secret that it names has changed: prove the sign-in anew, now."""
        self.due, self.must_renew = None, True
        self.changes += 1

    def success(self, now: datetime, url: str | None) -> SignInState:
        """The state after a token was issued."""
        self.failures, self.error, self.refused = 0, None, None
        record = self.record
        return SignInState(
            signed_in=True,
            reason=Reason.SIGNED_IN,
            cause=f"Signed in as {record.account or f'the app {record.client_id}'}.",
            account=record.account,
            tenant_id=record.tenant_id,
            refresh_token_expires_at=_day(record.refresh_token_expires_at),
            url=url,
            worked_before=True,
            last_worked_at=now,
        )

    def failure(self, error: OperatorError) -> SignInState:
        """The state after none was."""
        passing = isinstance(error, TokenServiceUnavailable | KubernetesError)
        self.failures = self.failures + 1 if passing else 0
        before, stored = self.state, self.record
        if self.refused and isinstance(error, SignInRequired):
            error = self.refused
        if passing and before.signed_in is False:
            return before  # what a person must do does not go away because Entra ID is silent
        self.error = error
        return changed(
            before,
            signed_in=None if passing else False,
            reason=str(error.reason),
            cause=error.message,
            account=stored.account or before.account,
            tenant_id=stored.tenant_id or before.tenant_id,
            refresh_token_expires_at=_day(stored.refresh_token_expires_at),
            worked_before=before.worked_before or stored.object_id is not None or _is_known_to_status(self.connector),
        )

    def pause(self, check_interval: timedelta, random_share: float) -> timedelta:
        """To the next look: never longer than the check interval, and spread over its last fifth."""
        longest = check_interval.total_seconds()
        if self.failures:
            longest = min(longest, _RETRY_FIRST * 2 ** min(self.failures - 1, _DOUBLINGS_MAX))
        elif self.state.signed_in and self.record.access_expires_at and self.record.access_issued_at:
            life = (self.record.access_expires_at - self.record.access_issued_at).total_seconds()
            longest = min(longest, max(life * USED_UP, 1.0))
        return timedelta(seconds=longest * (1.0 - 0.2 * random_share))


def basis(connector: AzureDevOpsConnector) -> tuple[object, ...]:
    """All of the manifest that a sign-in rests on."""
    return connector.spec.sign_in, connector.spec.azure.tenant_id, connector.metadata.name


def _is_known_to_status(connector: AzureDevOpsConnector) -> bool:
    """An app stores nothing; that it worked before this process started is in the status alone."""
    return connector.status.sign_in is not None and connector.status.sign_in.tenant_id is not None


def _day(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) if moment else None
