"""What the pages of a connector share: resolving the address to the connector, and rendering templates for it."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.signin.pages.addresses import PageAddresses
from defender_devops.signin.pages.rendering import render_page
from defender_devops.signin.sessions.sign_ins import SignIns

__all__ = ["PageContext"]


@dataclass(frozen=True)
class PageContext:
    """Resolves connectors and renders their pages.

    Attributes:
        sign_ins: states of the sign-ins, and the connectors themselves.
        addresses: of the pages.
    """

    sign_ins: SignIns
    addresses: PageAddresses

    def connector(self, request: web.Request) -> AzureDevOpsConnector:
        """Return the connector of a request's address.

        Raises:
            HTTPNotFound: the signature is wrong or the connector was deleted; the response does not reveal which.
        """
        uid = request.match_info["uid"]
        connector = self.sign_ins.connector(uid)
        if not self.addresses.is_page(uid, request.match_info["signature"]) or connector is None:
            raise web.HTTPNotFound
        return connector

    def render_page(
        self, template: str, connector: AzureDevOpsConnector, *, status: int = 200, **values: object
    ) -> web.Response:
        """Render a template for a connector."""
        return render_page(
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
        """Render a page with a heading and one message."""
        is_problem = status >= 400  # noqa: PLR2004 - HTTP's error statuses
        return self.render_page(
            "message.html", connector, status=status, heading=heading, message=message, is_problem=is_problem
        )

    def redirect(self, connector: AzureDevOpsConnector, page: str) -> web.Response:
        """Redirect the browser to another page of the connector, so that a reload does not repeat the POST."""
        return web.Response(status=303, headers={"Location": f"{self.addresses.page(connector.metadata.uid)}/{page}"})
