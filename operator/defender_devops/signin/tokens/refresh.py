"""Getting an access token for one connector, by its method, without ever losing or doubly using a refresh token.

The order of things is the whole point. A claim is written into the Secret before a refresh token is used, so that a
second replica waits instead of using it too. The new refresh token is in the Secret before anybody gets the new access
token. Until that write is in, the old one stays; Entra ID does not revoke it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import datetime, timedelta
from typing import Final

import httpx
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.errors import KubernetesError
from defender_devops.signin.oauth import flows
from defender_devops.signin.oauth.authority import REQUEST_TIMEOUT, Authority, TokenResponse
from defender_devops.signin.oauth.client_authentication import Client
from defender_devops.signin.oauth.errors import (
    AccountBlocked,
    ConsentRequired,
    SignInRequired,
    TokenServiceUnavailable,
    WrongAccount,
    WrongTenant,
)
from defender_devops.signin.oauth.id_tokens import Identity, IdTokenVerifier
from defender_devops.signin.ports import Clock
from defender_devops.signin.tokens.credentials import Credentials
from defender_devops.signin.tokens.record import Claim, TokenRecord, fingerprint
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["Renewal", "check_account", "check_usable", "granted"]

CLAIM_LIFETIME: Final = timedelta(seconds=2 * REQUEST_TIMEOUT + 30)
"""Longer than a holder can take: one call of Entra ID and one for its keys, each cut off by its own limit."""

_CLAIM_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class _Attempt:
    """One use of a connector's refresh token by this replica."""

    connector: AzureDevOpsConnector
    sign_in: SignIn
    holder: str
    handed_in: SecretStr | None
    began: datetime

    def claim(self, record: TokenRecord, now: datetime) -> TokenRecord | None:
        """The record with our claim; None where another's stands, or has brought tokens since we began.

        Raises:
            SignInError: the record holds nothing that could be used.
        """
        if record.claim and record.claim.until > now:
            return None
        if record.claim is None and record.access_issued_at and record.access_issued_at > self.began:
            return None
        if self.handed_in and record.handed_in != fingerprint(self.handed_in):
            record = _taken_over(record, self.handed_in)
        check_usable(record, self.connector, self.sign_in)
        return changed(record, claim=Claim(self.holder, now + CLAIM_LIFETIME))


@dataclass(frozen=True)
class Renewal:
    """Renews tokens.

    Args:
        http: shared HTTP client.
        authority_host: Entra ID's address.
        store: token Secrets.
        credentials: the apps' proofs.
        verifier: of id_tokens.
        clock: the present.
        sleep: waits for another replica's claim to end.
    """

    http: httpx.AsyncClient
    authority_host: str
    store: TokenStore
    credentials: Credentials
    verifier: IdTokenVerifier
    clock: Clock
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _unsaved: dict[str, tuple[str, TokenRecord]] = field(default_factory=dict)

    def authority(self, connector: AzureDevOpsConnector) -> Authority:
        """Entra ID for a connector's tenant."""
        return Authority(self.http, self.authority_host, connector.spec.azure.tenant_id)

    async def renew(self, connector: AzureDevOpsConnector, sign_in: SignIn, claims: str | None = None) -> TokenRecord:
        """Use the connector's credential once, and give the record with the new tokens, already stored.

        Args:
            connector: the connector.
            sign_in: its spec.signIn.
            claims: a claims challenge of Azure DevOps to answer.

        Raises:
            SignInError: Entra ID refuses, or nobody has signed in.
            CredentialsMissing: a Secret that the spec names is not there.
            KubernetesError: a Secret cannot be read or written.
        """
        if sign_in.method == SignInMethod.SERVICE_PRINCIPAL:
            return await self._app_token(connector, sign_in)
        await self._save_what_is_unsaved(connector)
        handed_in = None
        if sign_in.method == SignInMethod.REFRESH_TOKEN and sign_in.refresh_token_secret_ref:
            handed_in = await self.credentials.handed_in_token(connector, sign_in.refresh_token_secret_ref)
        client = await self.credentials.client(connector, sign_in)
        attempt = _Attempt(connector, sign_in, secrets.token_hex(16), handed_in, began=self.clock())
        try:
            record = await self._claim(attempt)
            if record.claim is None:
                return record
            after = await self._exchange(attempt, record, claims, client)
        except BaseException as error:
            await self._release(attempt, refused=isinstance(error, SignInRequired | AccountBlocked | ConsentRequired))
            raise
        return await self._save(attempt, after)

    async def _app_token(self, connector: AzureDevOpsConnector, sign_in: SignIn) -> TokenRecord:
        client = await self.credentials.client(connector, sign_in)
        tokens = await flows.request_app_token(self.authority(connector), client)
        return changed(
            granted(TokenRecord(), tokens, self.clock()),
            tenant_id=connector.spec.azure.tenant_id,
            client_id=client.client_id,
        )

    async def _claim(self, attempt: _Attempt) -> TokenRecord:
        """Write our claim and give the record with it.

        Where another holds a claim, wait for it to end; if that one brought new tokens, give its record without a claim
        of ours, since they serve us as well.
        """
        while True:
            record = await self.store.change(attempt.connector, lambda before: attempt.claim(before, self.clock()))
            if record.claim is None or record.claim.holder == attempt.holder:
                return record
            await self.sleep(_CLAIM_POLL_SECONDS)

    async def _exchange(
        self, attempt: _Attempt, record: TokenRecord, claims: str | None, client: Client
    ) -> TokenRecord:
        token = record.refresh_token
        if token is None:
            raise SignInRequired(_nobody(attempt.sign_in))
        authority = self.authority(attempt.connector)
        tokens = await flows.refresh(authority, client, token, claims)
        after = granted(record, tokens, self.clock())
        if tokens.id_token is None:
            return changed(after, client_id=client.client_id)
        try:
            identity = await self.verifier.verify(tokens.id_token, authority, client.client_id, nonce=None)
        except TokenServiceUnavailable:
            if record.object_id is None:
                raise
            # Whose token it is we know from the sign-in; the successor must not be lost for want of a public key.
            return changed(after, client_id=client.client_id)
        check_account(identity, attempt.sign_in)
        if record.object_id and record.object_id != identity.object_id:
            raise WrongAccount(
                f"{identity.account} is no longer the account that signed in: another one has taken its name. "
                "Sign in again on the connector's page."
            )
        return _of(after, identity, client.client_id)

    async def _save(self, attempt: _Attempt, after: TokenRecord) -> TokenRecord:
        try:
            return await self.store.change(attempt.connector, lambda before: _merged(before, attempt.holder, after))
        except KubernetesError:
            # Kept in memory until the write succeeds. The old token in the Secret works meanwhile, so a crash now
            # loses nothing either.
            self._unsaved[attempt.connector.metadata.uid] = (attempt.holder, after)
            raise

    async def _save_what_is_unsaved(self, connector: AzureDevOpsConnector) -> None:
        unsaved = self._unsaved.get(connector.metadata.uid)
        if unsaved:
            holder, after = unsaved
            await self.store.change(connector, lambda before: _merged(before, holder, after))
            del self._unsaved[connector.metadata.uid]

    async def _release(self, attempt: _Attempt, *, refused: bool) -> None:
        """Give the claim back after a failure. Where that fails too, it ends by itself.

        Where Entra ID refused the person, the access token goes too: nobody shall take it for a proof. The refresh
        token stays, since what an administrator undoes may make it work again.
        """

        def without_ours(record: TokenRecord) -> TokenRecord | None:
            if record.claim is None or record.claim.holder != attempt.holder:
                return None
            return changed(record, claim=None, access_token=None if refused else record.access_token)

        with contextlib.suppress(KubernetesError):
            await self.store.change(attempt.connector, without_ours)

    def forget(self, uid: str) -> None:
        """Drop what is kept in memory for a connector that is gone."""
        self._unsaved.pop(uid, None)


def granted(record: TokenRecord, tokens: TokenResponse, now: datetime) -> TokenRecord:
    """The record with new tokens; a refresh token that did not come along is the old one."""
    return changed(
        record,
        access_token=tokens.access_token,
        access_issued_at=now,
        access_expires_at=now + timedelta(seconds=tokens.expires_in),
        refresh_token=tokens.refresh_token or record.refresh_token,
        refreshed_at=now if tokens.refresh_token else record.refreshed_at,
    )


def _of(record: TokenRecord, identity: Identity, client_id: str) -> TokenRecord:
    return changed(
        record,
        client_id=client_id,
        account=identity.account,
        tenant_id=identity.tenant_id,
        object_id=identity.object_id,
    )


def check_account(identity: Identity, sign_in: SignIn) -> None:
    """Whether the person is the one whom the manifest names.

    Raises:
        WrongAccount: another one; both are named.
    """
    if sign_in.account and identity.account.lower() != sign_in.account.lower():
        raise WrongAccount(
            f"{identity.account} signed in, but spec.signIn.account is {sign_in.account}. That sign-in was not kept: "
            f"sign in as {sign_in.account}, or correct the manifest."
        )


def check_usable(record: TokenRecord, connector: AzureDevOpsConnector, sign_in: SignIn) -> None:
    """What can be told without Entra ID: the stored sign-in is of the account, tenant and app that the spec names.

    Raises:
        SignInError: it is not, or there is none.
    """
    if record.refresh_token is None:
        raise SignInRequired(_nobody(sign_in))
    if record.account and record.tenant_id and record.object_id:
        check_account(Identity(record.account, record.tenant_id, record.object_id), sign_in)
    if record.tenant_id and record.tenant_id.lower() != connector.spec.azure.tenant_id.lower():
        raise WrongTenant(
            f"The stored sign-in is of tenant {record.tenant_id}, the connector of {connector.spec.azure.tenant_id}. "
            "Sign in again with an account of the connector's tenant."
        )
    if record.client_id and sign_in.client and record.client_id.lower() != sign_in.client.id.lower():
        raise SignInRequired("spec.signIn.client names another app than the one that was signed in to. Sign in again.")


def _nobody(sign_in: SignIn) -> str:
    who = f" as {sign_in.account}" if sign_in.account else ""
    return f"Nobody has signed in yet: open the connector's page and sign in{who}."


def _taken_over(record: TokenRecord, handed_in: SecretStr) -> TokenRecord:
    """A record that starts from a refresh token that a person handed in: of unknown account until its first use."""
    return TokenRecord(
        refresh_token=handed_in,
        handed_in=fingerprint(handed_in),
        claim=record.claim,
        spent_states=record.spent_states,
        defender_code=record.defender_code,
    )


def _merged(before: TokenRecord, holder: str, after: TokenRecord) -> TokenRecord | None:
    """The newly granted tokens over what is stored, unless somebody signed in anew or took over meanwhile."""
    if before.claim is None or before.claim.holder != holder:
        return None
    return changed(after, claim=None, spent_states=before.spent_states, defender_code=before.defender_code)
