"""Addresses of the pages: stable for the lifetime of a connector, and not derivable from its name or uid."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from defender_devops.signin.pages.sealing import Sealer

__all__ = ["PageAddresses"]

_PURPOSE = "page of a connector"


@dataclass(frozen=True)
class PageAddresses:
    """Creates and verifies addresses.

    Attributes:
        sealer: signs.
        base: public address of the pages, without a slash at the end.
    """

    sealer: Sealer
    base: str

    def page(self, uid: str) -> str:
        """Return the address of a connector's page."""
        return f"{self.base}/connectors/{uid}/{self.sealer.sign(_PURPOSE, uid)}"

    def is_page(self, uid: str, signature: str) -> bool:
        """Whether the signature is the one in the address of that connector's page."""
        return self.sealer.is_signed(_PURPOSE, uid, signature)

    @property
    def callback(self) -> str:
        """Address to which Entra ID redirects the browser: the redirect URI of the app registration."""
        return f"{self.base}/callback"

    @property
    def path(self) -> str:
        """Prefix of the pages' paths, without a slash at the end."""
        return urlsplit(self.base).path.rstrip("/")

    @property
    def origin(self) -> str:
        """Origin of the pages, as browsers send it in the header Origin."""
        return str(URL(self.base).origin()).lower()

    @property
    def is_https(self) -> bool:
        """Whether browsers use TLS; only a loopback address may be plain HTTP (`settings.signin_url` enforces that)."""
        return self.base.startswith("https://")
