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
from datetime import timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.errors import OperatorError
from defender_devops.signin.oauth.errors import SignInError, SignInRequired
from defender_devops.signin.oauth.id_tokens import Identity
from defender_devops.signin.ports import Clock, OnChange, OnSignIn
from defender_devops.signin.sessions.session import USED_UP, Entry, basis
from defender_devops.signin.sessions.state import SignInState
from defender_devops.signin.tokens.credentials import secret_names
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import Renewal, check_usable

__all__ = ["SignIns"]

_CONCURRENCY: Final = 8
"""Renewals in the background at once. Each waits for the network nearly all of its time."""

_PATIENCE: Final = 10.0
"""Seconds that a reconcile waits for a look at a sign-in; then it goes on with what was known before."""

_LOG: Final = structlog.stdlib.get_logger(__name__)


@dataclass
class SignIns:
    """Keeps every connector's sign-in alive and tells how it stands.

    Args:
        renewal: gets tokens.
        clock: the present.
        check_interval: the longest time between two proofs of a sign-in.
        page_url: gives the address of a connector's page by uid, or None where there are no pages.
        on_change: called when a state changes.
        on_sign_in: called when a person has signed in, whether or not that changes the state.
        random_share: between 0 and 1; spreads the looks.
    """

    renewal: Renewal
    clock: Clock
    check_interval: timedelta
    page_url: Callable[[str], str | None]
    on_change: OnChange
    on_sign_in: OnSignIn = lambda _: None
    random_share: Callable[[], float] = random.random
    _entries: dict[str, Entry] = field(default_factory=dict)
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
            entry.must_renew = False
            self._found(entry, entry.success(self.clock(), self.page_url(entry.uid)))
        self.on_sign_in(connector)
        return entry.state

    def look_anew(self, connector: AzureDevOpsConnector) -> None:
        """Somebody asks for a look now: the next one proves the sign-in, however young the last proof is."""
        self._remember(connector).rests_on_something_new()
        self._woken.set()

    def refuse(self, connector: AzureDevOpsConnector, error: SignInError) -> None:
        """A person's sign-in was not kept. While nobody else is signed in, the state says why.

        Unless that would hide that a sign-in which worked is lost: that stands until somebody has signed in.
        """
        entry = self._remember(connector)
        if entry.state.signed_in or not error.terminal or isinstance(error, SignInRequired):
            return
        if entry.state.is_lost and not error.reauthorize:
            return
        entry.refused = error
        self._found(entry, entry.failure(error))

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
                entry.rests_on_something_new()
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

    def _remember(self, connector: AzureDevOpsConnector) -> Entry:
        uid = connector.metadata.uid
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = Entry(connector, SignInState(url=self.page_url(uid)))
            self._woken.set()
        elif basis(connector) != basis(entry.connector):
            entry.rests_on_something_new()
            entry.record, entry.refused = TokenRecord(), None
            if connector.spec.sign_in_method == SignInMethod.NONE:
                entry.state, entry.error = SignInState(url=self.page_url(uid)), None
        entry.connector = connector
        return entry

    def _is_due(self, entry: Entry) -> bool:
        return entry.has_sign_in and (entry.due is None or entry.due <= self.clock())

    def _wants_look(self, entry: Entry) -> bool:
        return self._is_due(entry) or (entry.has_sign_in and entry.must_read)

    def _start_look(self, entry: Entry) -> asyncio.Task[None]:
        """The look that is under way, or a new one."""
        if entry.looking is None:
            entry.looking = asyncio.create_task(self._look(entry), name=f"sign-in of {entry.connector.metadata.name}")
            entry.looking.add_done_callback(lambda look: self._end_look(entry, look))
        return entry.looking

    def _end_look(self, entry: Entry, look: asyncio.Task[None]) -> None:
        entry.looking = None
        if not look.cancelled() and (error := look.exception()):
            _LOG.error("a look at a sign-in failed", connector=entry.connector.metadata.name, exc_info=error)
            entry.due = self.clock() + self.check_interval
        self._woken.set()

    async def _look(self, entry: Entry) -> None:
        """Prove the sign-in, unless somebody just did: a page or a check here, or another replica."""
        async with entry.lock:
            sign_in = entry.connector.spec.sign_in
            if sign_in is None or not self._wants_look(entry):
                return
            entry.must_read = False
            stored = await self._stored(entry)
            if not entry.must_renew and self._is_proof(entry, sign_in, stored):
                entry.record = stored
                self._found(entry, entry.success(self.clock(), self.page_url(entry.uid)))
            elif self._is_due(entry) or stored.refresh_token != entry.record.refresh_token:
                with contextlib.suppress(OperatorError):
                    await self._renew(entry, sign_in)

    def _is_proof(self, entry: Entry, sign_in: SignIn, stored: TokenRecord) -> bool:
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

    async def _renew(self, entry: Entry, sign_in: SignIn, claims: str | None = None) -> TokenRecord:
        """Use the credential and note what came of it; what failed is raised again."""
        changes = entry.changes
        try:
            entry.record = await self.renewal.renew(entry.connector, sign_in, claims)
        except OperatorError as error:
            entry.record = await self._stored(entry)
            self._found(entry, entry.failure(error))
            raise
        else:
            entry.must_renew = False
            self._found(entry, entry.success(self.clock(), self.page_url(entry.uid)))
            return entry.record
        finally:
            if entry.changes != changes:  # what was just tried is not what stands there by now
                entry.due, entry.must_renew = None, True

    async def _stored(self, entry: Entry) -> TokenRecord:
        """The record as the Secret has it; an app has none, and where it cannot be read the last one stands."""
        if entry.connector.spec.sign_in_method == SignInMethod.SERVICE_PRINCIPAL:
            return entry.record
        try:
            return await self.renewal.store.read(entry.connector)
        except OperatorError:
            return entry.record

    def _found(self, entry: Entry, state: SignInState) -> None:
        before, entry.state = entry.state, state
        entry.due = self.clock() + entry.pause(self.check_interval, self.random_share())
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


def _rests_on(connector: AzureDevOpsConnector, namespace: str, name: str) -> bool:
    names = secret_names(connector) | {connector.token_secret_name}
    return connector.metadata.namespace == namespace and name in names
