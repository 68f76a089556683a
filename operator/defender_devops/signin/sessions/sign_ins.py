"""The sign-ins of all connectors: the facade that reconciles, checks and pages use.

Each sign-in is proved by using it: at the latest every check interval, and when 80 % of the access token's lifetime has
passed, its credential is exchanged for a new token. So a sign-in that stops working is noticed within one check
interval, whatever the cause, and so is one that works again. A check interval is far below a month, so no refresh token
ever comes near its 90 days.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.errors import OperatorError
from defender_devops.signin.oauth.errors import SignInError, SignInRequired
from defender_devops.signin.oauth.id_tokens import Identity
from defender_devops.signin.ports import Clock, OnChange, OnSignIn
from defender_devops.signin.sessions.session import REFRESH_THRESHOLD, Session, sign_in_fingerprint
from defender_devops.signin.sessions.state import SignInState
from defender_devops.signin.tokens.account_checks import check_token_record
from defender_devops.signin.tokens.credentials import sign_in_secret_names
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import TokenRefresher
from defender_devops.supervision import OnFailure

__all__ = ["SignIns"]

_CONCURRENT_CHECKS: Final = 8
"""Checks in the background at the same time. Each waits for the network nearly all of its time."""

_CHECK_TIMEOUT: Final = 10.0
"""Seconds that a reconcile waits for a check; then it continues with the last state."""

_LOG: Final = structlog.stdlib.get_logger(__name__)


@dataclass
class SignIns:
    """Keeps the sign-in of each connector alive and reports its state.

    Attributes:
        refresher: gets tokens.
        clock: returns the current time.
        check_interval: the longest time between two proofs of a sign-in.
        page_url: returns the address of a connector's page by uid, or None if there are no pages.
        on_change: called when a state changes.
        on_sign_in: called when a person has signed in, whether or not that changes the state.
        on_failure: counts an unexpected exception of a check.
        random_share: between 0 and 1; spreads the checks over time.
    """

    refresher: TokenRefresher
    clock: Clock
    check_interval: timedelta
    page_url: Callable[[str], str | None]
    on_change: OnChange
    on_sign_in: OnSignIn = lambda _: None
    on_failure: OnFailure = lambda _: None
    random_share: Callable[[], float] = random.random
    _sessions: dict[str, Session] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def state(self, connector: AzureDevOpsConnector) -> SignInState:
        """Return the state of the sign-in, after a check if one is due or the manifest has changed.

        Never raises for a sign-in that does not work: the state says so. An unexpected exception of the last check is
        raised again, so that the reconcile reports InternalError for this connector.
        """
        session = self._session(connector)
        if self._needs_check(session):
            await asyncio.wait({self._start_check(session)}, timeout=_CHECK_TIMEOUT)
        if session.unexpected_error is not None:
            # It was logged with its traceback when it happened; one instance would collect those of all reconciles.
            raise session.unexpected_error.with_traceback(None)
        return session.state

    def last_state(self, connector: AzureDevOpsConnector) -> SignInState:
        """Return the state at the last check, without another one."""
        return self._session(connector).state

    async def access_token(
        self, connector: AzureDevOpsConnector, *, rejected: SecretStr | None = None, claims: str | None = None
    ) -> SecretStr:
        """Return a token for Azure DevOps.

        Args:
            connector: the connector.
            rejected: a token of ours that Azure DevOps rejected; it is replaced once.
            claims: the claims challenge that came with that rejection.

        Raises:
            SignInError: no token can be issued; the state says the same.
            OperatorError: a Secret is missing or cannot be read.
        """
        session = self._session(connector)
        sign_in = connector.spec.sign_in
        if sign_in is None or sign_in.method == SignInMethod.NONE:
            raise SignInRequired("The connector has no spec.signIn, so the operator cannot query Azure DevOps.")
        async with session.lock:
            token = session.record.usable_access_token(self.clock())
            if token and token != rejected and not claims and session.state.signed_in is not False:
                return token
            if session.error and not self._is_due(session):
                raise session.error.with_traceback(None)
            if token and token == rejected and self._is_fresh(session.record):
                raise SignInRequired(
                    f"Azure DevOps rejects even a new token of {session.record.account or 'the app'}. Does the account "
                    "still exist, and is it a member of the organization?"
                )
            token = (await self._refresh(session, sign_in, claims)).access_token
        if token is None:
            raise SignInRequired("Entra ID issued no access token. Sign in again on the connector's page.")
        return token

    async def accept(self, connector: AzureDevOpsConnector, record: TokenRecord, identity: Identity) -> SignInState:
        """Store the tokens of a person's sign-in and use them from now on.

        Raises:
            KubernetesError: they cannot be stored; the person has to sign in again.
            OAuthAppMisconfigured: the token Secret is not this connector's.
        """
        session = self._session(connector)
        async with session.lock:
            session.record = await self.refresher.store.change(
                connector,
                lambda stored: replace(
                    record,
                    account=identity.account,
                    tenant_id=identity.tenant_id,
                    object_id=identity.object_id,
                    used_states=stored.used_states,
                    defender_code=stored.defender_code,
                    user_supplied_hash=stored.user_supplied_hash,
                ),
            )
            session.must_refresh = False
            self._set_state(session, session.success(self.clock(), self.page_url(session.uid)))
        self.on_sign_in(connector)
        return session.state

    def request_check(self, connector: AzureDevOpsConnector) -> None:
        """Make the next check prove the sign-in with a new token, however recent the last proof is."""
        self._session(connector).invalidate()
        self._changed.set()

    def record_rejection(self, connector: AzureDevOpsConnector, error: SignInError) -> None:
        """Note that a person's sign-in was not stored. While nobody else is signed in, the state says why.

        Unless that would hide that a working sign-in was lost: that is reported until somebody has signed in.
        """
        session = self._session(connector)
        if session.state.signed_in or not error.terminal or isinstance(error, SignInRequired):
            return
        if session.state.is_lost and not error.requires_user:
            return
        session.rejection = error
        self._set_state(session, session.failure(error))

    def secret_changed(self, namespace: str, name: str, resource_version: str) -> tuple[AzureDevOpsConnector, ...]:
        """Check the sign-ins that depend on a Secret which was written or deleted.

        Args:
            namespace: of the Secret.
            name: of the Secret.
            resource_version: the present one, by which our own writes of token Secrets are recognized.

        Returns:
            The connectors that should be reconciled.
        """
        if self.refresher.store.is_own_write(namespace, name, resource_version):
            return ()
        affected = []
        for session in self._sessions.values():
            connector = session.connector
            names = sign_in_secret_names(connector) | {connector.token_secret_name}
            if connector.metadata.namespace != namespace or name not in names:
                continue
            affected.append(connector)
            if name == connector.token_secret_name:
                session.must_reload = True
            else:
                session.invalidate()
        self._changed.set()
        return tuple(affected)

    def connector(self, uid: str) -> AzureDevOpsConnector | None:
        """Return the latest body of a connector that has a session."""
        session = self._sessions.get(uid)
        return session.connector if session else None

    def forget(self, uid: str) -> None:
        """Drop the session of a deleted connector."""
        self._sessions.pop(uid, None)
        self.refresher.forget(uid)

    async def run(self) -> None:
        """Check every sign-in when it is due, until cancelled."""
        slots = asyncio.Semaphore(_CONCURRENT_CHECKS)
        try:
            while True:
                self._changed.clear()
                sessions = list(self._sessions.values())
                for session in [session for session in sessions if self._needs_check(session) and not session.check]:
                    await slots.acquire()
                    self._start_check(session).add_done_callback(lambda _: slots.release())
                await self._wait_until_due()
        finally:
            checks = [session.check for session in self._sessions.values() if session.check]
            for check in checks:
                check.cancel()
            await asyncio.gather(*checks, return_exceptions=True)

    async def _wait_until_due(self) -> None:
        due = [
            session.next_check
            for session in self._sessions.values()
            if session.next_check and not session.check and session.has_sign_in
        ]
        seconds = max(0.05, (min(due) - self.clock()).total_seconds()) if due else None
        # Not wait_for: before Python 3.12 it can swallow a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _session(self, connector: AzureDevOpsConnector) -> Session:
        """Return the connector's session with its latest body; a manifest that changed invalidates the sign-in."""
        uid = connector.metadata.uid
        session = self._sessions.get(uid)
        if session is None:
            session = self._sessions[uid] = Session(connector, SignInState(url=self.page_url(uid)))
            self._changed.set()
        elif sign_in_fingerprint(connector) != sign_in_fingerprint(session.connector):
            session.invalidate()
            session.record, session.rejection = TokenRecord(), None
            if connector.spec.sign_in_method == SignInMethod.NONE:
                session.state, session.error = SignInState(url=self.page_url(uid)), None
        session.connector = connector
        return session

    def _is_due(self, session: Session) -> bool:
        return session.has_sign_in and (session.next_check is None or session.next_check <= self.clock())

    def _needs_check(self, session: Session) -> bool:
        return self._is_due(session) or (session.has_sign_in and session.must_reload)

    def _start_check(self, session: Session) -> asyncio.Task[None]:
        """Return the check that runs already, or a new one."""

        def end_check(check: asyncio.Task[None]) -> None:
            session.check = None
            error = None if check.cancelled() else check.exception()
            if isinstance(error, Exception):
                metadata = session.connector.metadata
                _LOG.error(
                    "sign-in check failed", namespace=metadata.namespace, connector=metadata.name, exc_info=error
                )
                self.on_failure("sign-in")
                session.failures += 1
                session.next_check = self.clock() + session.check_delay(self.check_interval, self.random_share())
                is_first, session.unexpected_error = session.unexpected_error is None, error
                if is_first:
                    self.on_change(metadata.namespace, metadata.name)
            self._changed.set()

        if session.check is None:
            name = f"sign-in of {session.connector.metadata.name}"
            session.check = asyncio.create_task(self._check(session), name=name)
            session.check.add_done_callback(end_check)
        return session.check

    async def _check(self, session: Session) -> None:
        """Prove the sign-in, unless a page, a check of ours or another replica has just done so."""
        async with session.lock:
            sign_in = session.connector.spec.sign_in
            if sign_in is None or not self._needs_check(session):
                return
            session.must_reload = False
            stored = await self._stored_record(session)
            if not session.must_refresh and self._is_proof(session, sign_in, stored):
                session.record = stored
                self._set_state(session, session.success(self.clock(), self.page_url(session.uid)))
            elif self._is_due(session) or stored.refresh_token != session.record.refresh_token:
                with contextlib.suppress(OperatorError):
                    await self._refresh(session, sign_in)

    def _is_proof(self, session: Session, sign_in: SignIn, stored: TokenRecord) -> bool:
        """Whether a token was issued so recently that the sign-in need not be proved again."""
        try:
            check_token_record(stored, session.connector, sign_in)
        except SignInError:
            return False
        return stored.object_id is not None and self._is_fresh(stored)

    def _is_fresh(self, record: TokenRecord) -> bool:
        """Whether the access token was issued in the first fifth of a check interval."""
        issued = record.access_issued_at
        return (
            record.usable_access_token(self.clock(), REFRESH_THRESHOLD) is not None
            and issued is not None
            and self.clock() - issued < self.check_interval * (1 - REFRESH_THRESHOLD)
        )

    async def _refresh(self, session: Session, sign_in: SignIn, claims: str | None = None) -> TokenRecord:
        """Use the credential and set the state by the result; a failure is raised again."""
        revision = session.revision
        try:
            session.record = await self.refresher.refresh(session.connector, sign_in, claims)
        except OperatorError as error:
            session.record = await self._stored_record(session)
            self._set_state(session, session.failure(error))
            raise
        else:
            session.must_refresh = False
            self._set_state(session, session.success(self.clock(), self.page_url(session.uid)))
            return session.record
        finally:
            if session.revision != revision:  # the credential that was used is obsolete by now
                session.next_check, session.must_refresh = None, True

    async def _stored_record(self, session: Session) -> TokenRecord:
        """Return the record of the token Secret; the last one for an app, or if the Secret cannot be read."""
        if session.connector.spec.sign_in_method == SignInMethod.SERVICE_PRINCIPAL:
            return session.record
        try:
            return await self.refresher.store.read(session.connector)
        except OperatorError:
            return session.record

    def _set_state(self, session: Session, state: SignInState) -> None:
        previous, session.state = session.state, state
        session.next_check = self.clock() + session.check_delay(self.check_interval, self.random_share())
        self._changed.set()
        has_recovered, session.unexpected_error = session.unexpected_error is not None, None
        if has_recovered or state.differs_from(previous):
            metadata = session.connector.metadata
            _LOG.info(
                "sign-in state changed",
                namespace=metadata.namespace,
                connector=metadata.name,
                signed_in=state.signed_in,
                reason=str(state.reason),
            )
            self.on_change(metadata.namespace, metadata.name)
