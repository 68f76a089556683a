"""What the pages of one connector share: finding it by its address, and filling templates for it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.rendering import render
from defender_devops.signin.sessions.sign_ins import SignIns

__all__ = ["Desk"]


@dataclass(frozen=True)
class Desk:
    """Finds connectors and renders pages.

    Args:
        sign_ins: states, and the connectors themselves.
        addresses: of the pages.
    """

    sign_ins: SignIns
    addresses: PageAddresses

    def connector(self, request: web.Request) -> AzureDevOpsConnector:
        """The connector of an address that we gave out.

        Raises:
            HTTPNotFound: it is none of ours, or the connector is gone; nobody is told which.
        """
        uid = request.match_info["uid"]
        connector = self.sign_ins.connector(uid)
        if not self.addresses.is_page(uid, request.match_info["signature"]) or connector is None:
            raise web.HTTPNotFound
        return connector

    def render(
        self, template: str, connector: AzureDevOpsConnector, *, status: int = 200, **values: object
    ) -> web.Response:
        """A page of a connector."""
        return render(
            template,
            status,
            path=self.addresses.path,
            page=self.addresses.page(connector.metadata.uid),
            connector=connector,
            sign_in=connector.spec.sign_in,
            method=str(connector.spec.sign_in_method),
            **values,
        )

    def message(
        self, connector: AzureDevOpsConnector, heading: str, message: str, *, status: int = 200
    ) -> web.Response:
        """A page that says one thing."""
        is_problem = status >= 400  # noqa: PLR2004 - HTTP's errors
        return self.render(
            "message.html", connector, status=status, heading=heading, message=message, is_problem=is_problem
        )

    def see(self, connector: AzureDevOpsConnector, page: str) -> web.Response:
        """Send the browser to another page of the connector, so that loading it again does nothing twice."""
        return web.Response(status=303, headers={"Location": f"{self.addresses.page(connector.metadata.uid)}/{page}"})
