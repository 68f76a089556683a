"""Signing in with a browser: sending it to Entra ID, and judging what it brings back.

What a sign-in hangs on (state, nonce, PKCE verifier, which connector) is sealed into a cookie of the browser that began
it. So no other browser can finish it, any replica can, and nothing has to be kept for people who never come back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.signin.oauth import flows
from defender_devops.signin.oauth.authority import numbers_in
from defender_devops.signin.oauth.errors import AnswerRefused, SignInError, classify
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.sealing import Sealer
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import Renewal, check_account, granted

__all__ = ["LIFETIME", "Answer", "BrowserSignIns", "Departure"]

LIFETIME: Final = timedelta(minutes=10)
"""Of a sign-in in a browser; Entra ID's codes live as long."""

_PURPOSE: Final = "sign-in in a browser"
_STATES_KEPT: Final = 100
_BAD_REQUEST: Final = 400


@dataclass(frozen=True)
class Departure:
    """A browser is sent to Entra ID.

    Attributes:
        address: where to.
        cookie_name: of the cookie that it must bring back.
        cookie: sealed value.
    """

    address: str
    cookie_name: str
    cookie: str


@dataclass(frozen=True)
class Answer:
    """What Entra ID sent with the browser, already reduced to what is known.

    Attributes:
        state: ties it to a departure.
        code: authorization code, or None for a refusal.
        error: OAuth error of a refusal.
        description: its words, of which only the AADSTS number is used.
        issuer: `iss` (RFC 9207), where the authority gives one.
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


class Cancelled(SignInError):
    """The person pressed Cancel or declined."""


@dataclass(frozen=True)
class BrowserSignIns:
    """Begins and finishes sign-ins.

    Args:
        sign_ins: where a sign-in is taken into use.
        renewal: Entra ID, apps and token Secrets.
        sealer: seals the cookie.
        addresses: of the pages.
    """

    sign_ins: SignIns
    renewal: Renewal
    sealer: Sealer
    addresses: PageAddresses

    def begin(self, connector: AzureDevOpsConnector) -> Departure:
        """Make a departure for a connector with method AuthorizationCode.

        Raises:
            AnswerRefused: the connector has another method.
        """
        sign_in = _by_browser(connector)
        request = flows.AuthorizationRequest.make()
        client_id = _client_id(sign_in)
        payload = {
            "uid": connector.metadata.uid,
            "client": client_id,
            "state": request.state.get_secret_value(),
            "nonce": request.nonce.get_secret_value(),
            "verifier": request.verifier.get_secret_value(),
        }
        return Departure(
            flows.authorization_address(
                self.renewal.authority(connector), client_id, self.addresses.callback, request, sign_in.account
            ),
            _cookie_name(request.state),
            self.sealer.seal(_PURPOSE, payload, LIFETIME),
        )

    def connector_of(self, answer: Answer, cookie: str | None) -> tuple[AzureDevOpsConnector, dict[str, str]]:
        """Whose sign-in an answer belongs to, with what the cookie holds.

        Raises:
            AnswerRefused: this browser began no such sign-in, or too long ago, or the connector is gone.
        """
        pending = self.sealer.open(_PURPOSE, cookie) if cookie else None
        if pending is None:
            raise AnswerRefused(
                "This answer does not belong to a sign-in that this browser began within the last ten minutes. Open "
                "the connector's page and sign in there, from beginning to end in the same browser."
            )
        if not hmac.compare_digest(pending["state"].encode(), answer.state.get_secret_value().encode()):
            raise AnswerRefused("This answer belongs to another sign-in. Open the connector's page and sign in again.")
        connector = self.sign_ins.connector(pending["uid"])
        if connector is None:
            raise AnswerRefused("The connector that this sign-in was for does not exist any more.")
        return connector, pending

    async def finish(self, answer: Answer, connector: AzureDevOpsConnector, pending: Mapping[str, str]) -> None:
        """Turn an answer into a stored sign-in of the expected account.

        Raises:
            AnswerRefused: the state was used before, or the manifest changed meanwhile.
            Cancelled: the person did not want to.
            SignInError: Entra ID refuses, or it is another account or tenant.
            OperatorError: a Secret cannot be read or written.
        """
        sign_in = _by_browser(connector)
        authority = self.renewal.authority(connector)
        if answer.issuer is not None and answer.issuer != authority.issuer:
            raise AnswerRefused("This answer comes from another service than the one that was asked (iss).")
        if pending["client"].lower() != _client_id(sign_in).lower():
            raise AnswerRefused("spec.signIn.client was changed during this sign-in. Sign in again.")
        await self._spend_state(connector, answer.state)
        if answer.code is None:
            raise _refusal(answer)
        client = await self.renewal.credentials.client(connector, sign_in)
        tokens = await flows.redeem_code(
            authority, client, answer.code, self.addresses.callback, SecretStr(pending["verifier"])
        )
        identity = await self.renewal.verifier.verify(
            tokens.id_token, authority, client.client_id, nonce=pending["nonce"]
        )
        check_account(identity, sign_in)
        if tokens.refresh_token is None:
            raise classify(_BAD_REQUEST, "consent_required")
        record = granted(TokenRecord(client_id=client.client_id), tokens, self.renewal.clock())
        await self.sign_ins.accept(connector, record, identity)

    async def _spend_state(self, connector: AzureDevOpsConnector, state: SecretStr) -> None:
        """Write down that a state was used, before anything is done with it. The Secret says so to every replica.

        Raises:
            AnswerRefused: it was used before.
        """
        digest, now = _digest(state), self.renewal.clock()
        written = False

        def spend(record: TokenRecord) -> TokenRecord | None:
            nonlocal written
            written = digest not in record.spent_states
            if not written:
                return None
            return changed(record, spent_states=_recent(record.spent_states, now) | {digest: now + LIFETIME})

        await self.renewal.store.change(connector, spend)
        if not written:
            raise AnswerRefused("This answer was used before. Open the connector's page and sign in again.")


def _recent(states: Mapping[str, datetime], now: datetime) -> dict[str, datetime]:
    living = sorted(((end, state) for state, end in states.items() if end > now), reverse=True)
    return {state: end for end, state in living[: _STATES_KEPT - 1]}


def _refusal(answer: Answer) -> SignInError:
    """What Entra ID said instead of a code."""
    numbers = numbers_in(answer.description)
    if answer.error == "access_denied" and (not numbers or 65004 in numbers):  # noqa: PLR2004 - consent declined
        return Cancelled("The sign-in was cancelled. Nothing was changed; start it again when you are ready.")
    return classify(_BAD_REQUEST, answer.error or "invalid_request", numbers)


def _by_browser(connector: AzureDevOpsConnector) -> SignIn:
    sign_in = connector.spec.sign_in
    if sign_in is None or sign_in.method != SignInMethod.AUTHORIZATION_CODE:
        raise AnswerRefused("This connector does not sign in with a browser (spec.signIn.method).")
    return sign_in


def _client_id(sign_in: SignIn) -> str:
    return sign_in.client.id if sign_in.client else ""


def _digest(state: SecretStr) -> str:
    return hashlib.sha256(state.get_secret_value().encode()).hexdigest()


def _cookie_name(state: SecretStr) -> str:
    """One for each sign-in, so that two tabs do not disturb each other."""
    return f"sign-in-{_digest(state)[:16]}"
