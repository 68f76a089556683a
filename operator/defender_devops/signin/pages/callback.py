"""The redirect URI: nothing that a browser brings here is trusted until its sealed cookie matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web
from multidict import MultiMapping
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.errors import OperatorError
from defender_devops.signin.oauth.errors import InvalidAuthorizationResponse, SignInError, WrongAccount, WrongTenant
from defender_devops.signin.pages.browser_flow import AuthorizationResponse, BrowserSignIns, SignInCancelled
from defender_devops.signin.pages.code_session import CodeSessions
from defender_devops.signin.pages.rejections import read_form
from defender_devops.signin.pages.rendering import render_page

__all__ = ["CallbackPages"]

_PURPOSE: Final = "answer in an address"
_REDIRECT_LIFETIME: Final = timedelta(minutes=1)
_FIELDS: Final = ("state", "code", "error", "error_description", "iss")
_FIELD_MAX_LENGTH: Final = 8 * 1024


@dataclass(frozen=True)
class CallbackPages:
    """Handlers of the redirect URI.

    Attributes:
        browser: sign-ins in a browser.
        code_sessions: let the browser that signed in paste a code.
    """

    browser: BrowserSignIns
    code_sessions: CodeSessions

    async def post(self, request: web.Request) -> web.Response:
        """Receive a response by form (`form_post`).

        Entra ID's page posts it, so the browser withholds our SameSite=Lax cookie. The response is sealed and sent
        through the browser once more, to come back as a GET with the cookie. So the cookie need not be sent by other
        sites, and the authorization code is never readable in an address.
        """
        fields = _fields(await read_form(request))
        sealed = self.browser.sealer.seal(_PURPOSE, fields, _REDIRECT_LIFETIME)
        return web.Response(status=303, headers={"Location": f"{self.browser.addresses.callback}?answer={sealed}"})

    async def get(self, request: web.Request) -> web.Response:
        """Receive a response in the address: sealed by `post`, or plain from Entra ID (response mode `query`)."""
        browser, connector = self.browser, None
        sealed = request.query.get("answer")
        try:
            response = _parse(_fields(request.query) if sealed is None else browser.sealer.open(_PURPOSE, sealed))
            connector, pending = browser.connector_of(response, request.cookies.get(response.cookie_name))
        except InvalidAuthorizationResponse as error:
            return self._problem(error, None)
        try:
            await browser.finish(response, connector, pending)
        except OperatorError as error:
            if isinstance(error, SignInError):
                browser.sign_ins.record_rejection(connector, error)
            page = self._problem(error, connector)
        else:
            result = f"{browser.addresses.page(connector.metadata.uid)}/result"
            page = web.Response(status=303, headers={"Location": result})
            self.code_sessions.start(connector, page)
        page.del_cookie(response.cookie_name, path=f"{browser.addresses.path}/callback")
        return page

    def _problem(self, error: OperatorError, connector: AzureDevOpsConnector | None) -> web.Response:
        match error:
            case SignInCancelled():
                heading = "Cancelled"
            case WrongAccount():
                heading = "Wrong account"
            case WrongTenant():
                heading = "Wrong tenant"
            case InvalidAuthorizationResponse():
                heading = "This sign-in cannot be finished"
            case _:
                heading = "The sign-in failed"
        if isinstance(error, SignInCancelled):
            status = 200
        else:
            status = 403 if isinstance(error, SignInError) and error.terminal else 503
        addresses = self.browser.addresses
        return render_page(
            "message.html",
            status=status,
            path=addresses.path,
            connector=connector,
            page=addresses.page(connector.metadata.uid) if connector else None,
            heading=heading,
            message=error.message,
            is_problem=not isinstance(error, SignInCancelled),
        )


def _fields(parameters: MultiMapping[object]) -> dict[str, str]:
    """Return the known fields; all others are ignored.

    Raises:
        HTTPBadRequest: a field is repeated, too long or not text in UTF-8, which no authority sends.
    """
    fields: dict[str, str] = {}
    for name in _FIELDS:
        values = parameters.getall(name, [])
        if not values:
            continue
        value = values[0]
        if len(values) > 1 or not isinstance(value, str) or len(value) > _FIELD_MAX_LENGTH or _is_unencodable(value):
            raise web.HTTPBadRequest
        fields[name] = value
    return fields


def _is_unencodable(text: str) -> bool:
    """Whether a text has surrogates: a form may name a charset, such as unicode_escape, whose decoding yields them."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _parse(fields: Mapping[str, str] | None) -> AuthorizationResponse:
    if not fields or not fields.get("state"):
        raise InvalidAuthorizationResponse(
            "This is not the response to a sign-in, or it has expired. Start on the connector's page."
        )
    code = fields.get("code")
    return AuthorizationResponse(
        state=SecretStr(fields["state"]),
        code=SecretStr(code) if code and "error" not in fields else None,
        error=fields.get("error"),
        description=fields.get("error_description", ""),
        issuer=fields.get("iss"),
    )
