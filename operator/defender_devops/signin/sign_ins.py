"""The sign-ins of all connectors: the facade that reconciles, checks and pages use.

Each connector's sign-in is proved by using it: at the latest every check interval, and when 80 % of the access token's
life is gone, its credential is exchanged for a new token. A sign-in that stopped working is so seen within one check
interval, whatever the cause, and one that works again as well. A check interval is far below a month, so no refresh
token ever comes near its 90 days.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.api.reasons import Reason
from defender_devops.errors import KubernetesError, OperatorError
from defender_devops.signin.credentials import secret_names
from defender_devops.signin.errors import SignInError, SignInRequired, TokenServiceUnavailable
from defender_devops.signin.id_token import Identity
from defender_devops.signin.ports import Clock, OnChange
from defender_devops.signin.record import TokenRecord
from defender_devops.signin.renewal import Renewal, check_usable
from defender_devops.signin.sign_in_state import SignInState

__all__ = ["SignIns"]

USED_UP: Final = 0.8
"""Share of an access token's life after which it is renewed."""

_RETRY_FIRST: Final = 10.0
"""Seconds to the first repeat after a passing failure; doubled each time, up to the check interval."""

_CONCURRENCY: Final = 8
"""Renewals in the background at once. Each waits for the network nearly all of its time."""

_PATIENCE: Final = 10.0
"""Seconds that a reconcile waits for a look at a sign-in; then it goes on with what was known before."""

_LOG: Final = structlog.stdlib.get_logger(__name__)


@dataclass
class _Entry:
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
    failures: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    looking: asyncio.Task[None] | None = None

    @property
    def has_sign_in(self) -> bool:
        """Whether there is anything to look at."""
        return self.connector.spec.sign_in_method != SignInMethod.NONE


@dataclass
class SignIns:
    """Keeps every connector's sign-in alive and tells how it stands.

    Args:
        renewal: gets tokens.
        clock: the present.
        check_interval: the longest time between two proofs of a sign-in.
        page_url: gives the address of a connector's page by uid, or None where there are no pages.
        on_change: called when a state changes.
        random_share: between 0 and 1; spreads the looks.
    """

    renewal: Renewal
    clock: Clock
    check_interval: timedelta
    page_url: Callable[[str], str | None]
    on_change: OnChange
    random_share: Callable[[], float] = random.random
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def state(self, connector: AzureDevOpsConnector) -> SignInState:
        """How the connector's sign-in stands. Looks now if it never did, if it is time, or if the manifest changed.

        Never raises for a sign-in that does not work: that is what the state says.
        """
        entry = self._remember(connector)
        if self._wants_look(entry):
            await asyncio.wait({self._start_look(entry)}, timeout=_PATIENCE)
        return entry.state

    def known_state(self, connector: AzureDevOpsConnector) -> SignInState:
        """How it stood at the last look, without another."""
        return self._remember(connector).state

    async def access_token(
        self, connector: AzureDevOpsConnector, *, rejected: SecretStr | None = None, claims: str | None = None
    ) -> SecretStr:
        """A token for Azure DevOps.

        Args:
            connector: the connector.
            rejected: a token of ours that Azure DevOps did not take; another one is got, once.
            claims: the claims challenge that came with the refusal.

        Raises:
            SignInError: there is none to be had; the state says the same.
            OperatorError: a Secret is missing or cannot be read.
        """
        entry = self._remember(connector)
        sign_in = connector.spec.sign_in
        if sign_in is None or sign_in.method == SignInMethod.NONE:
            raise SignInRequired("The connector has no spec.signIn, so there is nobody to ask Azure DevOps as.")
        async with entry.lock:
            token = entry.record.usable_access_token(self.clock())
            if token and token != rejected and not claims and entry.state.signed_in is not False:
                return token
            if entry.error and not self._is_due(entry):
                raise entry.error.with_traceback(None)
            if token and token == rejected and self._is_fresh(entry.record):
                raise SignInRequired(
                    f"Azure DevOps refuses even a new token of {entry.record.account or 'the app'}. Does the account "
                    "still exist, and is it a member of the organization?"
                )
            token = (await self._renew(entry, sign_in, claims)).access_token
        if token is None:
            raise SignInRequired("Entra ID issued no access token. Sign in again on the connector's page.")
        return token

    async def accept(self, connector: AzureDevOpsConnector, record: TokenRecord, identity: Identity) -> SignInState:
        """Store what a person's sign-in brought, and take it into use.

        Raises:
            KubernetesError: it cannot be stored; the person has to sign in again.
            OAuthAppMisconfigured: the token Secret is not this connector's.
        """
        entry = self._remember(connector)
        async with entry.lock:
            entry.record = await self.renewal.store.change(
                connector,
                lambda before: changed(
                    record,
                    account=identity.account,
                    tenant_id=identity.tenant_id,
                    object_id=identity.object_id,
                    spent_states=before.spent_states,
                    defender_code=before.defender_code,
                    handed_in=before.handed_in,
                ),
            )
            self._found(entry, self._success(entry))
        return entry.state

    def refuse(self, connector: AzureDevOpsConnector, error: SignInError) -> None:
        """A person's sign-in was not kept. While nobody else is signed in, the state says why."""
        entry = self._remember(connector)
        if entry.state.signed_in or not error.terminal or isinstance(error, SignInRequired):
            return
        entry.refused = error
        self._found(entry, self._failure(entry, error))

    def secret_changed(self, namespace: str, name: str, resource_version: str) -> tuple[AzureDevOpsConnector, ...]:
        """A Secret was written or deleted: look anew at the sign-ins that rest on it.

        Args:
            namespace: of the Secret.
            name: of the Secret.
            resource_version: as it is now; our own writes of token Secrets are known by it.

        Returns:
            The connectors that should be reconciled for it.
        """
        if self.renewal.store.is_own_write(namespace, name, resource_version):
            return ()
        touched = [entry for entry in self._entries.values() if _rests_on(entry.connector, namespace, name)]
        for entry in touched:
            if name == entry.connector.token_secret_name:
                entry.must_read = True
            else:
                entry.due, entry.must_renew = None, True
        self._woken.set()
        return tuple(entry.connector for entry in touched)

    def connector(self, uid: str) -> AzureDevOpsConnector | None:
        """The newest body of a connector that is under watch."""
        entry = self._entries.get(uid)
        return entry.connector if entry else None

    def forget(self, uid: str) -> None:
        """The connector is gone."""
        self._entries.pop(uid, None)
        self.renewal.forget(uid)

    async def run(self) -> None:
        """Look at every sign-in when it is due, until cancelled."""
        free = asyncio.Semaphore(_CONCURRENCY)
        try:
            while True:
                self._woken.clear()
                for entry in [
                    entry for entry in self._entries.values() if self._wants_look(entry) and not entry.looking
                ]:
                    await free.acquire()
                    self._start_look(entry).add_done_callback(lambda _: free.release())
                await self._wait_for_next()
        finally:
            running = [entry.looking for entry in self._entries.values() if entry.looking]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _wait_for_next(self) -> None:
        dues = [entry.due for entry in self._entries.values() if entry.due and not entry.looking and entry.has_sign_in]
        seconds = max(0.05, (min(dues) - self.clock()).total_seconds()) if dues else None
        # Not wait_for: before Python 3.12 it can swallow a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    def _remember(self, connector: AzureDevOpsConnector) -> _Entry:
        uid = connector.metadata.uid
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(connector, SignInState(url=self.page_url(uid)))
            self._woken.set()
        elif _basis(connector) != _basis(entry.connector):
            entry.due, entry.must_renew, entry.refused = None, True, None
            entry.record = TokenRecord()
            if connector.spec.sign_in_method == SignInMethod.NONE:
                entry.state, entry.error = SignInState(url=self.page_url(uid)), None
        entry.connector = connector
        return entry

    def _is_due(self, entry: _Entry) -> bool:
        return entry.has_sign_in and (entry.due is None or entry.due <= self.clock())

    def _wants_look(self, entry: _Entry) -> bool:
        return self._is_due(entry) or (entry.has_sign_in and entry.must_read)

    def _start_look(self, entry: _Entry) -> asyncio.Task[None]:
        """The look that is under way, or a new one."""
        if entry.looking is None:
            entry.looking = asyncio.create_task(self._look(entry), name=f"sign-in of {entry.connector.metadata.name}")
            entry.looking.add_done_callback(lambda _: self._end_look(entry))
        return entry.looking

    def _end_look(self, entry: _Entry) -> None:
        entry.looking = None
        self._woken.set()

    async def _look(self, entry: _Entry) -> None:
        """Prove the sign-in, unless somebody just did: a page or a check here, or another replica."""
        async with entry.lock:
            sign_in = entry.connector.spec.sign_in
            if sign_in is None or not self._wants_look(entry):
                return
            stored = await self._stored(entry)
            entry.must_read = False
            if not entry.must_renew and self._is_proof(entry, sign_in, stored):
                entry.record = stored
                self._found(entry, self._success(entry))
            elif self._is_due(entry) or stored.refresh_token != entry.record.refresh_token:
                with contextlib.suppress(OperatorError):
                    await self._renew(entry, sign_in)

    def _is_proof(self, entry: _Entry, sign_in: SignIn, stored: TokenRecord) -> bool:
        """Whether somebody has got a token so lately that the sign-in need not be proved again."""
        try:
            check_usable(stored, entry.connector, sign_in)
        except SignInError:
            return False
        return stored.object_id is not None and self._is_fresh(stored)

    def _is_fresh(self, record: TokenRecord) -> bool:
        """Whether its access token was issued in the first fifth of a check interval."""
        issued = record.access_issued_at
        return (
            record.usable_access_token(self.clock(), USED_UP) is not None
            and issued is not None
            and self.clock() - issued < self.check_interval * (1 - USED_UP)
        )

    async def _renew(self, entry: _Entry, sign_in: SignIn, claims: str | None = None) -> TokenRecord:
        """Use the credential and note what came of it; what failed is raised again."""
        try:
            entry.record = await self.renewal.renew(entry.connector, sign_in, claims)
        except OperatorError as error:
            entry.record = await self._stored(entry)
            self._found(entry, self._failure(entry, error))
            raise
        entry.must_renew = False
        self._found(entry, self._success(entry))
        return entry.record

    async def _stored(self, entry: _Entry) -> TokenRecord:
        """The record as the Secret has it; an app has none, and where it cannot be read the last one stands."""
        if entry.connector.spec.sign_in_method == SignInMethod.SERVICE_PRINCIPAL:
            return entry.record
        try:
            return await self.renewal.store.read(entry.connector)
        except OperatorError:
            return entry.record

    def _found(self, entry: _Entry, state: SignInState) -> None:
        before, entry.state = entry.state, state
        entry.due = self.clock() + self._pause(entry)
        self._woken.set()
        if state.differs_from(before):
            metadata = entry.connector.metadata
            _LOG.info(
                "sign-in looked at",
                namespace=metadata.namespace,
                connector=metadata.name,
                signed_in=state.signed_in,
                reason=str(state.reason),
            )
            self.on_change(metadata.namespace, metadata.name)

    def _success(self, entry: _Entry) -> SignInState:
        entry.failures, entry.error, entry.refused = 0, None, None
        record = entry.record
        who = record.account or f"the app {record.client_id}"
        return SignInState(
            signed_in=True,
            reason=Reason.SIGNED_IN,
            cause=f"Signed in as {who}.",
            account=record.account,
            tenant_id=record.tenant_id,
            refresh_token_expires_at=_day(record.refresh_token_expires_at),
            url=self.page_url(entry.connector.metadata.uid),
            worked_before=True,
            last_worked_at=self.clock(),
        )

    def _failure(self, entry: _Entry, error: OperatorError) -> SignInState:
        passing = isinstance(error, TokenServiceUnavailable | KubernetesError)
        entry.failures = entry.failures + 1 if passing else 0
        before, stored = entry.state, entry.record
        if entry.refused and isinstance(error, SignInRequired):
            error = entry.refused
        if passing and before.signed_in is False:
            return before  # what a person must do does not go away because Entra ID is silent
        entry.error = error
        return changed(
            before,
            signed_in=None if passing else False,
            reason=str(error.reason),
            cause=error.message,
            account=stored.account or before.account,
            tenant_id=stored.tenant_id or before.tenant_id,
            refresh_token_expires_at=_day(stored.refresh_token_expires_at),
            worked_before=before.worked_before or stored.object_id is not None or _is_known_to_status(entry.connector),
        )

    def _pause(self, entry: _Entry) -> timedelta:
        """To the next look: never longer than the check interval, and spread over its last fifth."""
        longest = self.check_interval.total_seconds()
        if entry.failures:
            longest = min(longest, _RETRY_FIRST * 2 ** min(entry.failures - 1, 16))
        elif entry.state.signed_in and entry.record.access_expires_at and entry.record.access_issued_at:
            life = (entry.record.access_expires_at - entry.record.access_issued_at).total_seconds()
            longest = min(longest, max(life * USED_UP, 1.0))
        return timedelta(seconds=longest * (1.0 - 0.2 * self.random_share()))


def _basis(connector: AzureDevOpsConnector) -> tuple[object, ...]:
    return connector.spec.sign_in, connector.spec.azure.tenant_id, connector.metadata.name


def _is_known_to_status(connector: AzureDevOpsConnector) -> bool:
    """An app stores nothing; that it worked before this process started is in the status alone."""
    return connector.status.sign_in is not None and connector.status.sign_in.tenant_id is not None


def _rests_on(connector: AzureDevOpsConnector, namespace: str, name: str) -> bool:
    names = secret_names(connector) | {connector.token_secret_name}
    return connector.metadata.namespace == namespace and name in names


def _day(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) if moment else None
