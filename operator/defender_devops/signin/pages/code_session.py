"""The browser session in which Defender's one-time code may be pasted.

Knowing the address of a connector's page is not enough: everybody who may read the connector knows it, and a code of
another account would give Defender that account's access. A session is only given to a browser that has just signed in
as the account that the manifest declares for Defender's authorization. A device code does not identify the browser that
shows it, so it gives no session; nor does the sign-in of an account that is not to authorize Defender.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.sealing import Sealer

__all__ = ["LIFETIME", "CodeSessions"]

LIFETIME: Final = timedelta(minutes=15)
"""Enough to get a code from Defender's dialog, which itself is valid for a few minutes."""

_PURPOSE: Final = "session for a one-time code"
_COOKIE: Final = "code-session"


@dataclass(frozen=True)
class CodeSessions:
    """Starts and verifies sessions, as a sealed cookie of the connector's page.

    Attributes:
        sealer: seals the cookie.
        addresses: of the pages.
    """

    sealer: Sealer
    addresses: PageAddresses

    def start(self, connector: AzureDevOpsConnector, response: web.StreamResponse) -> None:
        """Give a session to the browser that gets this response; it has just signed in as the expected account."""
        account = _expected_account(connector)
        if account is None:
            return
        payload = {"uid": connector.metadata.uid, "account": account}
        response.set_cookie(
            _COOKIE,
            self.sealer.seal(_PURPOSE, payload, LIFETIME),
            max_age=int(LIFETIME.total_seconds()),
            path=urlsplit(self.addresses.page(connector.metadata.uid)).path,
            secure=self.addresses.is_https,
            httponly=True,
            # Not Strict: after the redirects from Entra ID's page a browser would withhold it from the first page.
            # Requests of other sites that write are rejected by the middleware.
            samesite="Lax",
        )

    def can_start(self, connector: AzureDevOpsConnector) -> bool:
        """Whether a sign-in on the page gives a session."""
        return _expected_account(connector) is not None

    def is_valid(self, request: web.Request, connector: AzureDevOpsConnector) -> bool:
        """Whether the request comes from a browser that has just signed in as the account that is expected now."""
        account, cookie = _expected_account(connector), request.cookies.get(_COOKIE)
        session = self.sealer.open(_PURPOSE, cookie) if cookie and account else None
        return session == {"uid": connector.metadata.uid, "account": account}


def _expected_account(connector: AzureDevOpsConnector) -> str | None:
    """Return the account whose sign-in gives a session, in lower case; None if no sign-in of a browser does.

    It is the account that authorizes Defender.
    """
    account = connector.spec.authorizing_account
    return account.lower() if account is not None and connector.spec.page_accepts_code else None
