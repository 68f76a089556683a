"""Signing in with a browser: redirecting it to Entra ID, and verifying the authorization response it comes back with.

The secrets of a sign-in (state, nonce, PKCE verifier) and its connector are sealed into a cookie of the browser that
began it. So no other browser can finish it, any replica can, and nothing is stored for people who never come back.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.entra.error_codes import aadsts_numbers
from defender_devops.hashes import sha256_hex
from defender_devops.signin.oauth import flows
from defender_devops.signin.oauth.errors import InvalidAuthorizationResponse, SignInError, classify_oauth_error
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.sealing import Sealer
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.account_checks import check_signed_in_account
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import TokenRefresher

__all__ = ["LIFETIME", "AuthorizationRedirect", "AuthorizationResponse", "BrowserSignIns"]

LIFETIME: Final = timedelta(minutes=10)
"""Of a sign-in in a browser; Entra ID's authorization codes are valid for as long."""

_PURPOSE: Final = "sign-in in a browser"
_USED_STATES_MAX: Final = 100
_BAD_REQUEST: Final = 400
_CONSENT_DECLINED: Final = 65004  # AADSTS number


@dataclass(frozen=True)
class AuthorizationRedirect:
    """Where to redirect a browser, with the cookie that it must bring back.

    Attributes:
        address: of Entra ID's authorization endpoint, with the request.
        cookie_name: name of the cookie.
        cookie: its sealed value.
    """

    address: str
    cookie_name: str
    cookie: str


@dataclass(frozen=True)
class AuthorizationResponse:
    """The authorization response (RFC 6749, section 4.1.2) that a browser brings back from Entra ID.

    Attributes:
        state: binds it to an authorization request.
        code: authorization code, or None for an error response.
        error: OAuth error.
        description: its text, of which only the AADSTS numbers are used.
        issuer: `iss` (RFC 9207), if the authority sends one.
    """

    state: SecretStr
    code: SecretStr | None = None
    error: str | None = None
    description: str = ""
    issuer: str | None = None

    @property
    def cookie_name(self) -> str:
        """Name of the cookie that belongs to it."""
        return _cookie_name(self.state)


class SignInCancelled(SignInError):
    """The person pressed Cancel or declined the consent."""


@dataclass(frozen=True)
class BrowserSignIns:
    """Begins and finishes sign-ins.

    Attributes:
        sign_ins: accepts a finished sign-in.
        refresher: Entra ID, credentials and token Secrets.
        sealer: seals the cookie.
        addresses: of the pages.
    """

    sign_ins: SignIns
    refresher: TokenRefresher
    sealer: Sealer
    addresses: PageAddresses

    def begin(self, connector: AzureDevOpsConnector) -> AuthorizationRedirect:
        """Return the redirect for a connector with method AuthorizationCode.

        Raises:
            InvalidAuthorizationResponse: the connector has another method.
        """
        sign_in = _browser_sign_in(connector)
        request = flows.AuthorizationRequest.create()
        client_id = _client_id(sign_in)
        payload = {
            "uid": connector.metadata.uid,
            "client": client_id,
            "state": request.state.get_secret_value(),
            "nonce": request.nonce.get_secret_value(),
            "verifier": request.verifier.get_secret_value(),
        }
        return AuthorizationRedirect(
            flows.authorization_url(
                self.refresher.authority(connector), client_id, self.addresses.callback, request, sign_in.account
            ),
            _cookie_name(request.state),
            self.sealer.seal(_PURPOSE, payload, LIFETIME),
        )

    def connector_of(
        self, response: AuthorizationResponse, cookie: str | None
    ) -> tuple[AzureDevOpsConnector, dict[str, str]]:
        """Return the connector that a response belongs to, and the content of the cookie.

        Raises:
            InvalidAuthorizationResponse: this browser began no such sign-in, or it has expired, or the connector was
                deleted.
        """
        pending = self.sealer.open(_PURPOSE, cookie) if cookie else None
        if pending is None:
            raise InvalidAuthorizationResponse(
                "This response does not belong to a sign-in that this browser began within the last ten minutes. Open "
                "the connector's page and sign in there, from beginning to end in the same browser."
            )
        if not hmac.compare_digest(pending["state"].encode(), response.state.get_secret_value().encode()):
            raise InvalidAuthorizationResponse(
                "This response belongs to another sign-in. Open the connector's page and sign in again."
            )
        connector = self.sign_ins.connector(pending["uid"])
        if connector is None:
            raise InvalidAuthorizationResponse("The connector that this sign-in was for no longer exists.")
        return connector, pending

    async def finish(
        self, response: AuthorizationResponse, connector: AzureDevOpsConnector, pending: Mapping[str, str]
    ) -> None:
        """Redeem the code of a response and store the sign-in, if it is of the expected account.

        Raises:
            InvalidAuthorizationResponse: the state was used before, or the manifest changed meanwhile.
            SignInCancelled: the person cancelled.
            SignInError: Entra ID rejects the request, or it is another account or tenant.
            OperatorError: a Secret cannot be read or written.
        """
        sign_in = _browser_sign_in(connector)
        authority = self.refresher.authority(connector)
        if response.issuer is not None and response.issuer != authority.issuer:
            raise InvalidAuthorizationResponse("This response was issued by another service than Entra ID (iss).")
        if pending["client"].lower() != _client_id(sign_in).lower():
            raise InvalidAuthorizationResponse("spec.signIn.client was changed during this sign-in. Sign in again.")
        await self._mark_state_used(connector, response.state)
        if response.code is None:
            numbers = aadsts_numbers(response.description)
            if response.error == "access_denied" and (not numbers or _CONSENT_DECLINED in numbers):
                raise SignInCancelled(
                    "The sign-in was cancelled. Nothing was changed; start it again when you are ready."
                )
            raise classify_oauth_error(_BAD_REQUEST, response.error or "invalid_request", numbers)
        client = await self.refresher.credentials.client(connector, sign_in)
        tokens = await flows.redeem_code(
            authority, client, response.code, self.addresses.callback, SecretStr(pending["verifier"])
        )
        identity = await self.refresher.verifier.verify(
            tokens.id_token, authority, client.client_id, nonce=pending["nonce"]
        )
        check_signed_in_account(identity, sign_in)
        if tokens.refresh_token is None:
            raise classify_oauth_error(_BAD_REQUEST, "consent_required")
        record = TokenRecord(client_id=client.client_id).with_tokens(tokens, self.refresher.clock())
        await self.sign_ins.accept(connector, record, identity)

    async def _mark_state_used(self, connector: AzureDevOpsConnector, state: SecretStr) -> None:
        """Record in the token Secret that a state was used, before anything else: every replica reads it there.

        Raises:
            InvalidAuthorizationResponse: it was used before.
        """
        digest, now = sha256_hex(state), self.refresher.clock()
        is_replay = False

        def mark(record: TokenRecord) -> TokenRecord | None:
            nonlocal is_replay  # set by each call: after a conflicting write, `mark` is called again
            is_replay = digest in record.used_states
            if is_replay:
                return None
            unexpired = [(expiry, state) for state, expiry in record.used_states.items() if expiry > now]
            latest: dict[str, datetime] = {
                state: expiry for expiry, state in sorted(unexpired, reverse=True)[: _USED_STATES_MAX - 1]
            }
            return replace(record, used_states=latest | {digest: now + LIFETIME})

        await self.refresher.store.change(connector, mark)
        if is_replay:
            raise InvalidAuthorizationResponse(
                "This response was used before. Open the connector's page and sign in again."
            )


def _browser_sign_in(connector: AzureDevOpsConnector) -> SignIn:
    sign_in = connector.spec.sign_in
    if sign_in is None or sign_in.method != SignInMethod.AUTHORIZATION_CODE:
        raise InvalidAuthorizationResponse("This connector does not sign in with a browser (spec.signIn.method).")
    return sign_in


def _client_id(sign_in: SignIn) -> str:
    return sign_in.client.id if sign_in.client else ""


def _cookie_name(state: SecretStr) -> str:
    """One cookie for each sign-in, so that two tabs do not disturb each other."""
    return f"sign-in-{sha256_hex(state)[:16]}"
