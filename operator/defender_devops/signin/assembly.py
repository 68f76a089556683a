"""Puts the parts of this package together. Main calls it once; nothing else is made by anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from defender_devops.settings import Settings
from defender_devops.signin.authorization_code import DefenderCodes
from defender_devops.signin.oauth.id_tokens import IdTokenVerifier, SigningKeys
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.browser_flow import BrowserSignIns
from defender_devops.signin.pages.callback import CallbackPages
from defender_devops.signin.pages.connector_pages import ConnectorPages
from defender_devops.signin.pages.device_flow import DeviceSignIns
from defender_devops.signin.pages.device_pages import DevicePages
from defender_devops.signin.pages.page_context import Desk
from defender_devops.signin.pages.result_pages import ResultPages
from defender_devops.signin.pages.sealing import Sealer, load_sealer
from defender_devops.signin.pages.server import Pages, SignInServer
from defender_devops.signin.ports import Clock, FederatedAssertions, Findings, OnChange, SecretStore
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.credentials import Credentials
from defender_devops.signin.tokens.refresh import Renewal
from defender_devops.signin.tokens.token_store import TokenStore

__all__ = ["SignInPackage", "open_sign_in"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class SignInPackage:
    """What main takes from here.

    Attributes:
        sign_ins: the facade; run its `run()` beside the reconciles.
        codes: Defender's codes that people pasted on the page.
        sealer: the key of the pages.
        addresses: of the pages; None where the operator has no public address.
    """

    sign_ins: SignIns
    codes: DefenderCodes
    sealer: Sealer
    addresses: PageAddresses | None

    def server(self, settings: Settings, findings: Findings) -> SignInServer | None:
        """The pages' web server, not started yet; None where the operator has no public address.

        Args:
            settings: host and port.
            findings: organizations and prerequisites for the page after the sign-in.
        """
        if self.addresses is None:
            return None
        renewal, sign_ins = self.sign_ins.renewal, self.sign_ins
        browser = BrowserSignIns(sign_ins, renewal, self.sealer, self.addresses)
        desk = Desk(sign_ins, self.addresses)
        pages = Pages(
            ConnectorPages(desk, browser, self.codes, sign_ins.on_change),
            DevicePages(desk, DeviceSignIns(sign_ins, renewal, renewal.sleep)),
            ResultPages(desk, findings),
            CallbackPages(browser),
        )
        return SignInServer(pages, settings.signin_host, settings.signin_port)


async def open_sign_in(
    settings: Settings,
    http: httpx.AsyncClient,
    secrets: SecretStore,
    assertions: FederatedAssertions | None,
    on_change: OnChange,
    *,
    clock: Clock = _now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> SignInPackage:
    """Make the facade, with the operator's key from its Secret.

    Args:
        settings: addresses and intervals.
        http: from `connections.open_connections`.
        secrets: the cluster's Secrets.
        assertions: the operator's own federated tokens, behind the grants; None where it has none.
        on_change: wakes a connector.
        clock: the present.
        sleep: waits.

    Raises:
        KubernetesError: the key's Secret cannot be read or made.
    """
    sealer = await load_sealer(secrets, settings.namespace, clock)
    addresses = PageAddresses(sealer, str(settings.signin_url).rstrip("/")) if settings.signin_url else None
    store = TokenStore(secrets)
    renewal = Renewal(
        http=http,
        authority_host=settings.authority_host,
        store=store,
        credentials=Credentials(secrets, assertions, clock),
        verifier=IdTokenVerifier(SigningKeys(clock), clock),
        clock=clock,
        sleep=sleep,
    )
    sign_ins = SignIns(
        renewal=renewal,
        clock=clock,
        check_interval=timedelta(seconds=settings.check_interval),
        page_url=addresses.page if addresses else lambda _: None,
        on_change=on_change,
    )
    return SignInPackage(sign_ins, DefenderCodes(store), sealer, addresses)
