"""The session of one connector: what is known of its sign-in, and the state after a success or a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.api.reasons import Reason
from defender_devops.errors import KubernetesError, OperatorError
from defender_devops.signin.oauth.errors import SignInError, SignInRequired, TokenServiceUnavailable
from defender_devops.signin.sessions.state import SignInState
from defender_devops.signin.tokens.record import TokenRecord

__all__ = ["REFRESH_THRESHOLD", "Session", "sign_in_fingerprint"]

REFRESH_THRESHOLD: Final = 0.8
"""Share of an access token's lifetime after which it is refreshed."""

_FIRST_RETRY_SECONDS: Final = 10.0
"""Delay before the first retry after a transient failure; doubled each time, up to the check interval."""

_DOUBLINGS_MAX: Final = 16


@dataclass
class Session:
    """The sign-in of one connector.

    Attributes:
        connector: its latest body.
        state: result of the last check.
        record: tokens as they were last stored; those of an app are kept here only.
        error: why the last check failed; None after a success.
        rejection: why the last sign-in on the page was not stored; reported while nobody is signed in.
        next_check: when the sign-in is due for a check; None means now.
        must_refresh: whether only a new token proves the sign-in, because its manifest or Secrets have changed.
        must_reload: whether another client has written the token Secret.
        revision: counts the changes that must_refresh was set for, so that none is missed during a check.
        failures: transient failures in a row.
        lock: held during a refresh.
        check: the check in the background, while it runs.
        unexpected_error: exception of the last check that nothing foresaw; None after any other result.
    """

    connector: AzureDevOpsConnector
    state: SignInState
    record: TokenRecord = field(default_factory=TokenRecord)
    error: OperatorError | None = None
    rejection: SignInError | None = None
    next_check: datetime | None = None
    must_refresh: bool = False
    must_reload: bool = False
    revision: int = 0
    failures: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    check: asyncio.Task[None] | None = None
    unexpected_error: Exception | None = None

    @property
    def uid(self) -> str:
        """Uid of the connector."""
        return self.connector.metadata.uid

    @property
    def has_sign_in(self) -> bool:
        """Whether the connector has a sign-in that can be checked."""
        return self.connector.spec.sign_in_method != SignInMethod.NONE

    def invalidate(self) -> None:
        """Require a new token now: the manifest or a Secret that it names has changed."""
        self.next_check, self.must_refresh = None, True
        self.unexpected_error = None
        self.revision += 1

    def success(self, now: datetime, url: str | None) -> SignInState:
        """Return the state after a token was issued."""
        self.failures, self.error, self.rejection = 0, None, None
        record = self.record
        return SignInState(
            signed_in=True,
            reason=Reason.SIGNED_IN,
            cause=f"Signed in as {record.account or f'the app {record.client_id}'}.",
            account=record.account,
            tenant_id=record.tenant_id,
            refresh_token_expires_at=_start_of_day(record.refresh_token_expires_at),
            url=url,
            worked_before=True,
            last_worked_at=now,
        )

    def failure(self, error: OperatorError) -> SignInState:
        """Return the state after no token was issued."""
        is_transient = isinstance(error, TokenServiceUnavailable | KubernetesError)
        self.failures = self.failures + 1 if is_transient else 0
        previous, record = self.state, self.record
        if self.rejection and isinstance(error, SignInRequired):
            error = self.rejection
        if is_transient and previous.signed_in is False:
            return previous  # what a person must do does not change because Entra ID is unavailable
        self.error = error
        status = self.connector.status.sign_in
        # An app stores no tokens: that it worked before this process started is recorded in the status alone.
        worked_before = previous.worked_before or record.object_id is not None or bool(status and status.tenant_id)
        return replace(
            previous,
            signed_in=None if is_transient else False,
            reason=str(error.reason),
            cause=error.message,
            account=record.account or previous.account,
            tenant_id=record.tenant_id or previous.tenant_id,
            refresh_token_expires_at=_start_of_day(record.refresh_token_expires_at),
            worked_before=worked_before,
        )

    def check_delay(self, check_interval: timedelta, random_share: float) -> timedelta:
        """Return the time until the next check: at most the check interval, spread over its last fifth."""
        seconds = check_interval.total_seconds()
        if self.failures:
            seconds = min(seconds, _FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, _DOUBLINGS_MAX))
        elif self.state.signed_in and self.record.access_expires_at and self.record.access_issued_at:
            lifetime = (self.record.access_expires_at - self.record.access_issued_at).total_seconds()
            seconds = min(seconds, max(lifetime * REFRESH_THRESHOLD, 1.0))
        return timedelta(seconds=seconds * (1.0 - 0.2 * random_share))


def sign_in_fingerprint(connector: AzureDevOpsConnector) -> tuple[object, ...]:
    """Return everything in the manifest that a sign-in depends on."""
    return connector.spec.sign_in, connector.spec.azure.tenant_id, connector.metadata.name


def _start_of_day(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) if moment else None
