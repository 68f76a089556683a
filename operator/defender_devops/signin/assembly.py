"""Assembles the parts of this package. `app` calls it once at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.settings import Settings
from defender_devops.signin.oauth.id_tokens import IdTokenVerifier, SigningKeys
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.browser_flow import BrowserSignIns
from defender_devops.signin.pages.callback import CallbackPages
from defender_devops.signin.pages.code_session import CodeSessions
from defender_devops.signin.pages.connector_pages import ConnectorPages
from defender_devops.signin.pages.device_flow import DeviceSignIns
from defender_devops.signin.pages.device_pages import DevicePages
from defender_devops.signin.pages.page_context import PageContext
from defender_devops.signin.pages.rejections import Rejections
from defender_devops.signin.pages.result_pages import ResultPages
from defender_devops.signin.pages.sealing import Sealer, load_sealer
from defender_devops.signin.pages.server import Pages, SignInServer
from defender_devops.signin.ports import (
    AzureDevOpsReader,
    Clock,
    ConnectorOrganizations,
    FederatedTokens,
    OnChange,
    SecretStore,
)
from defender_devops.signin.sessions.sign_ins import SignIns
from defender_devops.signin.tokens.credentials import Credentials
from defender_devops.signin.tokens.refresh import TokenRefresher
from defender_devops.signin.tokens.token_store import TokenStore
from defender_devops.supervision import OnFailure

__all__ = ["SignInPackage", "open_sign_in"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class SignInPackage:
    """The parts that `app` uses.

    Attributes:
        sign_ins: the facade; its `run()` must run beside the reconciles.
        codes: Defender's codes that people pasted on the page.
        sealer: the key of the pages.
        addresses: of the pages; None if the operator has no public address.
    """

    sign_ins: SignIns
    codes: PastedCodes
    sealer: Sealer
    addresses: PageAddresses | None

    def server(
        self,
        settings: Settings,
        reader: AzureDevOpsReader,
        organizations: ConnectorOrganizations,
        on_rejected: Callable[[str], None] = lambda _: None,
        on_failure: OnFailure = lambda _: None,
    ) -> SignInServer | None:
        """Return the pages' web server, not started yet; None if the operator has no public address.

        Args:
            settings: host and port.
            reader: organizations and prerequisites for the page after the sign-in.
            organizations: decides which organizations that page checks, and has their reported results.
            on_rejected: counts a rejected request by its reason.
            on_failure: counts an unexpected exception of a page.
        """
        if self.addresses is None:
            return None
        refresher, sign_ins = self.sign_ins.refresher, self.sign_ins
        browser = BrowserSignIns(sign_ins, refresher, self.sealer, self.addresses)
        context = PageContext(sign_ins, self.addresses)
        code_sessions = CodeSessions(self.sealer, self.addresses)
        pages = Pages(
            ConnectorPages(context, browser, self.codes, code_sessions, sign_ins.on_change),
            DevicePages(context, DeviceSignIns(sign_ins, refresher, refresher.sleep)),
            ResultPages(context, reader, organizations),
            CallbackPages(browser, code_sessions),
        )
        rejections = Rejections(on_rejected)
        return SignInServer(pages, settings.signin_host, settings.signin_port, rejections, on_failure)


async def open_sign_in(
    settings: Settings,
    http: httpx.AsyncClient,
    secrets: SecretStore,
    federated_tokens: FederatedTokens | None,
    on_change: OnChange,
    *,
    clock: Clock = _now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> SignInPackage:
    """Assemble the facade, with the pages' key from its Secret.

    Args:
        settings: addresses and intervals.
        http: shared HTTP client (`http_client`).
        secrets: the cluster's Secrets.
        federated_tokens: the operator's own federated tokens, behind the grants; None if it has none.
        on_change: enqueues a connector.
        clock: returns the current time.
        sleep: waits.

    Raises:
        KubernetesError: the key's Secret cannot be read or created.
    """
    sealer = await load_sealer(secrets, settings.namespace, clock)
    addresses = PageAddresses(sealer, str(settings.signin_url).rstrip("/")) if settings.signin_url else None
    store = TokenStore(secrets)
    refresher = TokenRefresher(
        http=http,
        authority_host=settings.authority_host,
        store=store,
        credentials=Credentials(secrets, federated_tokens, clock),
        verifier=IdTokenVerifier(SigningKeys(clock), clock),
        clock=clock,
        sleep=sleep,
    )
    sign_ins = SignIns(
        refresher=refresher,
        clock=clock,
        check_interval=timedelta(seconds=settings.check_interval),
        page_url=addresses.page if addresses else lambda _: None,
        on_change=on_change,
    )
    return SignInPackage(sign_ins, PastedCodes(store), sealer, addresses)
