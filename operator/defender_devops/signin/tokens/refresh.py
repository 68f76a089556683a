"""Getting an access token for one connector, by its method, without losing a refresh token or using one twice.

The order of writes is what makes that safe. A claim is written into the token Secret before the refresh token is used,
so a second replica waits instead of using it too. The new refresh token is written into the Secret before the new
access token is returned to anybody. Until that write succeeds the previous refresh token stays in the Secret: Entra ID
does not revoke it when it issues a successor (learn.microsoft.com/entra/identity-platform/refresh-tokens).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import httpx
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.errors import KubernetesError
from defender_devops.hashes import sha256_hex
from defender_devops.signin.oauth import flows
from defender_devops.signin.oauth.authority import REQUEST_TIMEOUT, Authority
from defender_devops.signin.oauth.client_authentication import Client
from defender_devops.signin.oauth.errors import (
    AccountBlocked,
    ConsentRequired,
    SignInRequired,
    TokenServiceUnavailable,
    WrongAccount,
)
from defender_devops.signin.oauth.id_tokens import IdTokenVerifier
from defender_devops.signin.ports import Clock
from defender_devops.signin.tokens.account_checks import check_signed_in_account, check_token_record, nobody_signed_in
from defender_devops.signin.tokens.credentials import Credentials
from defender_devops.signin.tokens.record import RefreshClaim, TokenRecord
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["TokenRefresher"]

CLAIM_LIFETIME: Final = timedelta(seconds=2 * REQUEST_TIMEOUT + 30)
"""Longer than a holder can need: one request for tokens and one for the signing keys, each with its own time-out."""

_CLAIM_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class _Attempt:
    """One use of a connector's refresh token by this replica."""

    connector: AzureDevOpsConnector
    sign_in: SignIn
    holder: str
    user_supplied: SecretStr | None
    started_at: datetime

    def claim(self, record: TokenRecord, now: datetime) -> TokenRecord | None:
        """Return the record with our claim; None while another claim is valid, or if it has brought tokens meanwhile.

        Raises:
            SignInError: the record holds nothing that could be used.
        """
        if record.refresh_claim and record.refresh_claim.until > now:
            return None
        if record.refresh_claim is None and record.access_issued_at and record.access_issued_at > self.started_at:
            return None
        if self.user_supplied and record.user_supplied_hash != sha256_hex(self.user_supplied):
            # A token that the user supplied replaces the sign-in; its account is unknown until its first use.
            record = TokenRecord(
                refresh_token=self.user_supplied,
                user_supplied_hash=sha256_hex(self.user_supplied),
                refresh_claim=record.refresh_claim,
                used_states=record.used_states,
                defender_code=record.defender_code,
            )
        check_token_record(record, self.connector, self.sign_in)
        return replace(record, refresh_claim=RefreshClaim(self.holder, now + CLAIM_LIFETIME))


@dataclass(frozen=True)
class TokenRefresher:
    """Gets new tokens with the credential of a connector's sign-in.

    Attributes:
        http: shared HTTP client.
        authority_host: Entra ID's address.
        store: token Secrets.
        credentials: of the app registrations.
        verifier: of id_tokens.
        clock: returns the current time.
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
        """Return Entra ID's endpoints for a connector's tenant."""
        return Authority(self.http, self.authority_host, connector.spec.azure.tenant_id)

    async def refresh(self, connector: AzureDevOpsConnector, sign_in: SignIn, claims: str | None = None) -> TokenRecord:
        """Use the connector's credential once and return the record with the new tokens, already stored.

        Args:
            connector: the connector.
            sign_in: its spec.signIn.
            claims: a claims challenge of Azure DevOps to answer.

        Raises:
            SignInError: Entra ID refuses, or nobody has signed in.
            CredentialsMissing: a Secret that the spec names is missing.
            KubernetesError: a Secret cannot be read or written.
        """
        if sign_in.method == SignInMethod.SERVICE_PRINCIPAL:  # an app has no refresh token, so nothing is stored
            client = await self.credentials.client(connector, sign_in)
            tokens = await flows.request_app_token(self.authority(connector), client)
            record = TokenRecord(tenant_id=connector.spec.azure.tenant_id, client_id=client.client_id)
            return record.with_tokens(tokens, self.clock())
        await self._save_unsaved(connector)
        user_supplied = None
        if sign_in.method == SignInMethod.REFRESH_TOKEN and sign_in.refresh_token_secret_ref:
            user_supplied = await self.credentials.user_supplied_token(connector, sign_in.refresh_token_secret_ref)
        client = await self.credentials.client(connector, sign_in)
        attempt = _Attempt(connector, sign_in, secrets.token_hex(16), user_supplied, started_at=self.clock())
        try:
            record = await self._claim(attempt)
            if record.refresh_claim is None:
                return record
            new_record = await self._redeem(attempt, record, claims, client)
        except BaseException as error:
            is_refused = isinstance(error, SignInRequired | AccountBlocked | ConsentRequired)
            await self._release(attempt, is_refused=is_refused)
            raise
        try:
            return await self.store.change(connector, lambda stored: _merge(stored, attempt.holder, new_record))
        except KubernetesError:
            # Kept in memory until the write succeeds. The previous token in the Secret works meanwhile, so a crash now
            # loses nothing either.
            self._unsaved[connector.metadata.uid] = (attempt.holder, new_record)
            raise

    async def _claim(self, attempt: _Attempt) -> TokenRecord:
        """Write our claim and return the record with it.

        While another attempt holds a claim, wait until it ends. If that attempt brought new tokens, return its record
        without a claim of ours: they serve us as well.
        """
        while True:
            record = await self.store.change(attempt.connector, lambda stored: attempt.claim(stored, self.clock()))
            if record.refresh_claim is None or record.refresh_claim.holder == attempt.holder:
                return record
            await self.sleep(_CLAIM_POLL_SECONDS)

    async def _redeem(self, attempt: _Attempt, record: TokenRecord, claims: str | None, client: Client) -> TokenRecord:
        """Redeem the refresh token and verify whose tokens came back."""
        token = record.refresh_token
        if token is None:
            raise SignInRequired(nobody_signed_in(attempt.sign_in))
        authority = self.authority(attempt.connector)
        tokens = await flows.redeem_refresh_token(authority, client, token, claims)
        new_record = replace(record.with_tokens(tokens, self.clock()), client_id=client.client_id)
        if tokens.id_token is None:
            return new_record
        try:
            identity = await self.verifier.verify(tokens.id_token, authority, client.client_id, nonce=None)
        except TokenServiceUnavailable:
            if record.object_id is None:
                raise
            # Whose token it is is known from the sign-in, and the new refresh token must not be lost because the
            # signing keys could not be fetched.
            return new_record
        check_signed_in_account(identity, attempt.sign_in)
        if record.object_id and record.object_id != identity.object_id:
            raise WrongAccount(
                f"{identity.account} is no longer the account that signed in: another one has taken its name. "
                "Sign in again on the connector's page."
            )
        return replace(new_record, account=identity.account, tenant_id=identity.tenant_id, object_id=identity.object_id)

    async def _save_unsaved(self, connector: AzureDevOpsConnector) -> None:
        unsaved = self._unsaved.get(connector.metadata.uid)
        if unsaved:
            holder, record = unsaved
            await self.store.change(connector, lambda stored: _merge(stored, holder, record))
            del self._unsaved[connector.metadata.uid]

    async def _release(self, attempt: _Attempt, *, is_refused: bool) -> None:
        """Remove our claim after a failure. If that fails too, the claim expires by itself.

        If Entra ID refused the person, the access token is removed too: it must not count as a proof of the sign-in.
        The refresh token stays, since it may work again once an administrator has undone the cause.
        """

        def without_claim(record: TokenRecord) -> TokenRecord | None:
            if record.refresh_claim is None or record.refresh_claim.holder != attempt.holder:
                return None
            return replace(record, refresh_claim=None, access_token=None if is_refused else record.access_token)

        with contextlib.suppress(KubernetesError):
            await self.store.change(attempt.connector, without_claim)

    def forget(self, uid: str) -> None:
        """Drop what is kept in memory for a deleted connector."""
        self._unsaved.pop(uid, None)


def _merge(stored: TokenRecord, holder: str, record: TokenRecord) -> TokenRecord | None:
    """Return the new tokens over what is stored, unless somebody signed in or claimed the token meanwhile."""
    if stored.refresh_claim is None or stored.refresh_claim.holder != holder:
        return None
    return replace(record, refresh_claim=None, used_states=stored.used_states, defender_code=stored.defender_code)
