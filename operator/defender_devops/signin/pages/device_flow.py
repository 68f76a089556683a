"""Signing in with a device code: asked for on demand, shown to the person, and polled for in the background."""

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
    CodeSpent,
    ConsentRequired,
    DevicePending,
    OAuthAppMisconfigured,
    TokenServiceUnavailable,
)
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.record import TokenRecord
from defender_devops.signin.tokens.refresh import Renewal, check_account, granted

__all__ = ["DevicePrompt", "DeviceSignIns"]

_SHORTEST_INTERVAL: Final = 1.0


@dataclass
class DevicePrompt:
    """A device sign-in of one connector.

    Attributes:
        user_code: what the person types.
        verification_uri: where.
        expires_at: after that the code is worth nothing.
        failure: why it ended without a sign-in.
        done: set when it has ended, either way.
    """

    user_code: str
    verification_uri: str
    expires_at: datetime
    failure: OperatorError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_pending(self) -> bool:
        """Whether the person can still finish it."""
        return not self.done.is_set()


@dataclass
class DeviceSignIns:
    """Device sign-ins that are under way: at most one for each connector.

    Args:
        sign_ins: where a sign-in is taken into use.
        renewal: Entra ID, apps and token Secrets.
        sleep: waits between two polls.
    """

    sign_ins: SignIns
    renewal: Renewal
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _prompts: dict[str, DevicePrompt] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, connector: AzureDevOpsConnector) -> DevicePrompt:
        """Give the code that is under way, or ask Entra ID for one.

        Raises:
            OAuthAppMisconfigured: the connector has another method.
            OperatorError: Entra ID refuses, or a Secret cannot be read.
        """
        sign_in = connector.spec.sign_in
        if sign_in is None or sign_in.method != SignInMethod.DEVICE_CODE:
            raise OAuthAppMisconfigured("This connector does not sign in with a device code (spec.signIn.method).")
        uid = connector.metadata.uid
        async with self._starting:
            running = self._prompts.get(uid)
            if running and running.is_pending:
                return running
            client = await self.renewal.credentials.client(connector, sign_in)
            code = await self.renewal.authority(connector).device_code(client.client_id)
            expires = self.renewal.clock() + timedelta(seconds=code.expires_in)
            prompt = self._prompts[uid] = DevicePrompt(code.user_code, code.verification_uri, expires)
            self._tasks[uid] = asyncio.create_task(self._poll(connector, sign_in, client, code, prompt))
            return prompt

    def prompt(self, uid: str) -> DevicePrompt | None:
        """The latest device sign-in of a connector, ended or not."""
        return self._prompts.get(uid)

    async def close(self) -> None:
        """End all polls."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(
        self, connector: AzureDevOpsConnector, sign_in: SignIn, client: Client, code: DeviceCode, prompt: DevicePrompt
    ) -> None:
        try:
            tokens = await self._wait_for_tokens(connector, client, code, prompt)
            await self._take(connector, sign_in, client, tokens)
        except OperatorError as error:
            prompt.failure = error
        finally:
            prompt.done.set()
            self._tasks.pop(connector.metadata.uid, None)

    async def _wait_for_tokens(
        self, connector: AzureDevOpsConnector, client: Client, code: DeviceCode, prompt: DevicePrompt
    ) -> TokenResponse:
        """Poll in Entra ID's own rhythm, which `slow_down` makes slower for good; its silences do not end it."""
        interval = max(code.interval, _SHORTEST_INTERVAL)
        while self.renewal.clock() < prompt.expires_at:
            await self.sleep(interval)
            with contextlib.suppress(TokenServiceUnavailable):
                try:
                    return await flows.poll_device_code(self.renewal.authority(connector), client, code)
                except DevicePending as pending:
                    interval += pending.retry_after or 0.0
        raise CodeSpent("The device code has expired before anybody signed in. Get a new one.")

    async def _take(
        self, connector: AzureDevOpsConnector, sign_in: SignIn, client: Client, tokens: TokenResponse
    ) -> None:
        authority = self.renewal.authority(connector)
        identity = await self.renewal.verifier.verify(tokens.id_token, authority, client.client_id, nonce=None)
        check_account(identity, sign_in)
        if tokens.refresh_token is None:
            raise ConsentRequired("Entra ID issued no refresh token: the app lacks the consent offline_access.")
        record = granted(TokenRecord(client_id=client.client_id), tokens, self.renewal.clock())
        await self.sign_ins.accept(connector, record, identity)
