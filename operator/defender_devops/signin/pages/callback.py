"""The way back from Entra ID. What a browser brings here is not believed before its sealed cookie agrees."""

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
from defender_devops.signin.oauth.errors import AnswerRefused, SignInError, WrongAccount, WrongTenant
from defender_devops.signin.pages.browser_flow import Answer, BrowserSignIns, Cancelled
from defender_devops.signin.pages.rendering import render

__all__ = ["CallbackPages"]

_PURPOSE: Final = "answer in an address"
_CARRIED: Final = timedelta(minutes=1)
_FIELDS: Final = ("state", "code", "error", "error_description", "iss")
_LONGEST: Final = 8 * 1024


@dataclass(frozen=True)
class CallbackPages:
    """Handlers of the reply address.

    Args:
        browser: sign-ins in a browser.
    """

    browser: BrowserSignIns

    async def posted(self, request: web.Request) -> web.Response:
        """An answer by form (`form_post`): Entra ID's page posts it, so the browser withholds our cookie.

        It is sealed and sent once around through the browser, to come back as a plain visit with the cookie. So the
        cookie need not be open to other sites, and the code is never readable in an address.
        """
        fields = _fields(await request.post())
        sealed = self.browser.sealer.seal(_PURPOSE, fields, _CARRIED)
        return web.Response(status=303, headers={"Location": f"{self.browser.addresses.callback}?answer={sealed}"})

    async def visited(self, request: web.Request) -> web.Response:
        """An answer in the address: sealed by us, or plain from Entra ID (`query`)."""
        sealed = request.query.get("answer")
        try:
            answer = _answer(_fields(request.query) if sealed is None else self.browser.sealer.open(_PURPOSE, sealed))
            connector, pending = self.browser.connector_of(answer, request.cookies.get(answer.cookie_name))
        except AnswerRefused as error:
            return self._problem(error, None)
        return await self._finish(answer, connector, pending)

    async def _finish(
        self, answer: Answer, connector: AzureDevOpsConnector, pending: Mapping[str, str]
    ) -> web.Response:
        page = self.browser.addresses.page(connector.metadata.uid)
        try:
            await self.browser.finish(answer, connector, pending)
        except OperatorError as error:
            if isinstance(error, SignInError):
                self.browser.sign_ins.refuse(connector, error)
            response = self._problem(error, connector)
        else:
            response = web.Response(status=303, headers={"Location": f"{page}/result"})
        response.del_cookie(answer.cookie_name, path=f"{self.browser.addresses.path}/callback")
        return response

    def _problem(self, error: OperatorError, connector: AzureDevOpsConnector | None) -> web.Response:
        addresses = self.browser.addresses
        return render(
            "message.html",
            status=_status(error),
            path=addresses.path,
            connector=connector,
            page=addresses.page(connector.metadata.uid) if connector else None,
            heading=_heading(error),
            message=error.message,
            is_problem=not isinstance(error, Cancelled),
        )


def _fields(given: MultiMapping[object]) -> dict[str, str]:
    """The known fields, each at most once and of a sane length; anything else in the answer is left alone.

    Raises:
        HTTPBadRequest: a field comes twice or is too long, which no authority sends.
    """
    fields: dict[str, str] = {}
    for name in _FIELDS:
        values = given.getall(name, [])
        if not values:
            continue
        value = values[0]
        if len(values) > 1 or not isinstance(value, str) or len(value) > _LONGEST:
            raise web.HTTPBadRequest
        fields[name] = value
    return fields


def _answer(fields: Mapping[str, str] | None) -> Answer:
    if not fields or not fields.get("state"):
        raise AnswerRefused("This is no answer of a sign-in, or it is too old. Start on the connector's page.")
    code = fields.get("code")
    return Answer(
        state=SecretStr(fields["state"]),
        code=SecretStr(code) if code and "error" not in fields else None,
        error=fields.get("error"),
        description=fields.get("error_description", ""),
        issuer=fields.get("iss"),
    )


def _status(error: OperatorError) -> int:
    if isinstance(error, Cancelled):
        return 200
    return 403 if isinstance(error, SignInError) and error.terminal else 503


def _heading(error: OperatorError) -> str:
    match error:
        case Cancelled():
            return "Cancelled"
        case WrongAccount():
            return "That was another account"
        case WrongTenant():
            return "That account is of another tenant"
        case AnswerRefused():
            return "This sign-in cannot be finished"
        case _:
            return "The sign-in did not work"
