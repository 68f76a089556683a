"""Sign-ins by device code: requested on demand, shown to the person, and polled for in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from defender_devops.api.connector import AzureDevOpsConnector, SignIn, SignInMethod
from defender_devops.errors import OperatorError
from defender_devops.signin.oauth import flows
from defender_devops.signin.oauth.authority import DeviceCode, TokenResponse
from defender_devops.signin.oauth.client_authentication import Client
from defender_devops.signin.oauth.errors import (
    CodeRejected,
    ConsentRequired,
    DevicePending,
    OAuthAppMisconfigured,
    TokenServiceUnavailable,
)
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.account_checks import check_signed_in_account
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import TokenRefresher

__all__ = ["DevicePrompt", "DeviceSignIns"]

_MIN_POLL_INTERVAL: Final = 1.0  # seconds


@dataclass
class DevicePrompt:
    """A device sign-in of one connector.

    Attributes:
        user_code: the code that the person enters.
        verification_uri: the address at which it is entered.
        expires_at: when the code expires.
        failure: why it ended without a sign-in.
        finished: set when it has ended, either way.
    """

    user_code: str
    verification_uri: str
    expires_at: datetime
    failure: OperatorError | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_pending(self) -> bool:
        """Whether the person can still finish the sign-in."""
        return not self.finished.is_set()


@dataclass
class DeviceSignIns:
    """Device sign-ins in progress: at most one for each connector.

    Attributes:
        sign_ins: accepts a finished sign-in.
        refresher: Entra ID, credentials and token Secrets.
        sleep: waits between two requests.
    """

    sign_ins: SignIns
    refresher: TokenRefresher
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _prompts: dict[str, DevicePrompt] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _start_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, connector: AzureDevOpsConnector) -> DevicePrompt:
        """Return the device code in progress, or request a new one from Entra ID.

        Raises:
            OAuthAppMisconfigured: the connector has another method.
            OperatorError: Entra ID rejects the request, or a Secret cannot be read.
        """
        sign_in = connector.spec.sign_in
        if sign_in is None or sign_in.method != SignInMethod.DEVICE_CODE:
            raise OAuthAppMisconfigured("This connector does not sign in with a device code (spec.signIn.method).")
        uid = connector.metadata.uid
        async with self._start_lock:
            current = self._prompts.get(uid)
            if current and current.is_pending:
                return current
            client = await self.refresher.credentials.client(connector, sign_in)
            code = await self.refresher.authority(connector).device_code(client.client_id)
            expires_at = self.refresher.clock() + timedelta(seconds=code.expires_in)
            prompt = self._prompts[uid] = DevicePrompt(code.user_code, code.verification_uri, expires_at)
            self._tasks[uid] = asyncio.create_task(self._run(connector, sign_in, client, code, prompt))
            return prompt

    def prompt(self, uid: str) -> DevicePrompt | None:
        """Return the latest device sign-in of a connector, finished or not."""
        return self._prompts.get(uid)

    async def close(self) -> None:
        """Cancel all device sign-ins."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, connector: AzureDevOpsConnector, sign_in: SignIn, client: Client, code: DeviceCode, prompt: DevicePrompt
    ) -> None:
        authority = self.refresher.authority(connector)
        try:
            tokens = await self._wait_for_tokens(connector, client, code, prompt)
            identity = await self.refresher.verifier.verify(tokens.id_token, authority, client.client_id, nonce=None)
            check_signed_in_account(identity, sign_in)
            if tokens.refresh_token is None:
                raise ConsentRequired("Entra ID issued no refresh token: the app lacks the permission offline_access.")
            record = TokenRecord(client_id=client.client_id).with_tokens(tokens, self.refresher.clock())
            await self.sign_ins.accept(connector, record, identity)
        except OperatorError as error:
            prompt.failure = error
        finally:
            prompt.finished.set()
            self._tasks.pop(connector.metadata.uid, None)

    async def _wait_for_tokens(
        self, connector: AzureDevOpsConnector, client: Client, code: DeviceCode, prompt: DevicePrompt
    ) -> TokenResponse:
        """Poll until the person has finished.

        `slow_down` lengthens the interval for good (RFC 8628, section 3.5); an outage of Entra ID does not end it.
        """
        interval = max(code.interval, _MIN_POLL_INTERVAL)
        while self.refresher.clock() < prompt.expires_at:
            await self.sleep(interval)
            with contextlib.suppress(TokenServiceUnavailable):
                try:
                    return await flows.poll_device_code(self.refresher.authority(connector), client, code)
                except DevicePending as pending:
                    interval += pending.retry_after or 0.0
        raise CodeRejected("The device code has expired before anybody signed in. Get a new one.")
