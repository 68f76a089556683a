"""A connector's page, its button to sign in, and the form for Defender's one-time code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from defender_devops.api.connector import AuthorizationMethod, AzureDevOpsConnector, SignInMethod
from defender_devops.errors import OperatorError
from defender_devops.signin.authorization_code import DefenderCodes, NotACode, read_code
from defender_devops.signin.pages.browser_flow import LIFETIME, BrowserSignIns
from defender_devops.signin.pages.page_context import Desk
from defender_devops.signin.ports import OnChange

__all__ = ["ConnectorPages"]

_BY_A_PERSON: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE})


@dataclass(frozen=True)
class ConnectorPages:
    """Handlers.

    Args:
        desk: connectors and templates.
        browser: sign-ins in a browser.
        codes: where Defender's codes are kept.
        on_change: wakes a connector for which a code was handed over.
    """

    desk: Desk
    browser: BrowserSignIns
    codes: DefenderCodes
    on_change: OnChange

    async def show(self, request: web.Request) -> web.Response:
        """The connector's page."""
        return self._page(self.desk.connector(request))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Send the browser to Entra ID, with a cookie that it must bring back."""
        connector = self.desk.connector(request)
        try:
            departure = self.browser.begin(connector)
        except OperatorError as error:
            return self.desk.message(connector, "That does not work", error.message, status=409)
        addresses = self.desk.addresses
        response = web.Response(status=303, headers={"Location": departure.address})
        response.set_cookie(
            departure.cookie_name,
            departure.cookie,
            max_age=int(LIFETIME.total_seconds()),
            path=f"{addresses.path}/callback",
            secure=addresses.is_https,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def take_code(self, request: web.Request) -> web.Response:
        """Keep Defender's one-time code, if it is one."""
        connector = self.desk.connector(request)
        if not _takes_code(connector):
            words = "This connector adopts an authorization that was given in the portal (spec.authorization.method)."
            return self.desk.message(connector, "No code is asked for", words, status=409)
        pasted = (await request.post()).get("code")
        try:
            await self.codes.put(connector, read_code(SecretStr(pasted if isinstance(pasted, str) else "")))
        except NotACode as problem:
            return self._page(connector, code_problem=str(problem), status=422)
        except OperatorError as error:
            return self._page(connector, code_problem=error.message, status=503)
        self.on_change(connector.metadata.namespace, connector.metadata.name)
        return self.desk.see(connector, "code")

    async def code_taken(self, request: web.Request) -> web.Response:
        """Say that a code was handed over; loading it again sends nothing."""
        words = (
            "Defender for Cloud gets it now. Whether it works stands in the connector's status within a minute "
            "(condition Authorized)."
        )
        return self.desk.message(self.desk.connector(request), "The code was handed over", words)

    def _page(
        self, connector: AzureDevOpsConnector, *, code_problem: str | None = None, status: int = 200
    ) -> web.Response:
        method = connector.spec.sign_in_method
        return self.desk.render(
            "connector.html",
            connector,
            status=status,
            state=self.desk.sign_ins.known_state(connector),
            person_signs_in=method in _BY_A_PERSON,
            by_device=method is SignInMethod.DEVICE_CODE,
            takes_code=_takes_code(connector),
            code_problem=code_problem,
            callback=self.desk.addresses.callback,
        )


def _takes_code(connector: AzureDevOpsConnector) -> bool:
    return connector.spec.authorization.method is AuthorizationMethod.CODE
