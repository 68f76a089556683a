"""Addresses of the pages: stable for the life of a connector, and not to be guessed from its name or uid."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from defender_devops.signin.pages.sealing import Sealer

__all__ = ["PageAddresses"]

_PURPOSE = "page of a connector"


@dataclass(frozen=True)
class PageAddresses:
    """Makes addresses, and tells whether one is ours.

    Args:
        sealer: signs.
        base: public address of the pages, without a slash at the end.
    """

    sealer: Sealer
    base: str

    def page(self, uid: str) -> str:
        """A connector's page."""
        return f"{self.base}/connectors/{uid}/{self.sealer.sign(_PURPOSE, uid)}"

    def is_page(self, uid: str, signature: str) -> bool:
        """Whether these are parts of an address that we gave out."""
        return self.sealer.is_signed(_PURPOSE, uid, signature)

    @property
    def callback(self) -> str:
        """Where Entra ID sends the browser back to: the reply address of the app registration."""
        return f"{self.base}/callback"

    @property
    def path(self) -> str:
        """What stands before each path, without a slash at the end."""
        return urlsplit(self.base).path.rstrip("/")

    @property
    def is_https(self) -> bool:
        """Whether browsers come over TLS; only a loopback address may do without."""
        return self.base.startswith("https://")
