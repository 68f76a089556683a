"""A connector's page, its button to sign in, and the form for Defender's one-time code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from defender_devops.api.connector import AzureDevOpsConnector, SignInMethod
from defender_devops.authorization_code.code import InvalidCode, parse_code
from defender_devops.authorization_code.pasted_codes import PastedCodes
from defender_devops.authorization_code.requirement import needs_code
from defender_devops.errors import OperatorError
from defender_devops.signin.pages.browser_flow import LIFETIME, BrowserSignIns
from defender_devops.signin.pages.code_session import LIFETIME as CODE_SESSION_LIFETIME
from defender_devops.signin.pages.code_session import CodeSessions
from defender_devops.signin.pages.defender_state import defender_state
from defender_devops.signin.pages.page_context import PageContext
from defender_devops.signin.pages.rejections import read_form
from defender_devops.signin.ports import OnChange

__all__ = ["ConnectorPages"]

_INTERACTIVE_METHODS: Final = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE})


@dataclass(frozen=True)
class ConnectorPages:
    """Handlers.

    Attributes:
        context: connectors and templates.
        browser: sign-ins in a browser.
        codes: stores Defender's codes.
        code_sessions: decide which browsers may paste a code.
        on_change: reconciles a connector for which a code was pasted.
    """

    context: PageContext
    browser: BrowserSignIns
    codes: PastedCodes
    code_sessions: CodeSessions
    on_change: OnChange

    async def show(self, request: web.Request) -> web.Response:
        """Show the connector's page."""
        return self._page(request, self.context.connector(request))

    async def sign_in(self, request: web.Request) -> web.Response:
        """Redirect the browser to Entra ID, with a cookie that it must bring back."""
        connector = self.context.connector(request)
        try:
            redirect = self.browser.begin(connector)
        except OperatorError as error:
            return self.context.message(connector, "Sign-in not possible", error.message, status=409)
        addresses = self.context.addresses
        response = web.Response(status=303, headers={"Location": redirect.address})
        response.set_cookie(
            redirect.cookie_name,
            redirect.cookie,
            max_age=int(LIFETIME.total_seconds()),
            path=f"{addresses.path}/callback",
            secure=addresses.is_https,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def accept_code(self, request: web.Request) -> web.Response:
        """Store Defender's one-time code, if it is one."""
        connector = self.context.connector(request)
        if not self.code_sessions.is_valid(request, connector):
            minutes = f"{CODE_SESSION_LIFETIME.total_seconds() / 60:.0f}"
            message = (
                f"Sign in on this page first, as the account of spec.signIn, and paste the code within {minutes} "
                "minutes in the same browser."
            )
            if not self.code_sessions.can_start(connector):
                message = (
                    "Put the code into the Secret of spec.authorization.codeSecretRef. This page takes a code only "
                    "where spec.signIn has the method AuthorizationCode and the account that authorizes Defender."
                )
            return self.context.message(connector, "Not signed in", message, status=403)
        if not needs_code(connector):
            message = (
                "The operator would not send a code now. The condition Authorized in the connector's status shows "
                "whether Defender's authorization works; with spec.authorization.method Adopt no code is ever needed."
            )
            return self.context.message(connector, "No code is needed", message, status=409)
        pasted = (await read_form(request)).get("code")
        try:
            code = parse_code(SecretStr(pasted if isinstance(pasted, str) else ""))
            await self.codes.put(connector, code)
        except InvalidCode as problem:
            return self._page(request, connector, code_problem=str(problem), status=422)
        except OperatorError as error:
            return self._page(request, connector, code_problem=error.message, status=503)
        self.on_change(connector.metadata.namespace, connector.metadata.name)
        return self.context.redirect(connector, "code")

    async def code_accepted(self, request: web.Request) -> web.Response:
        """Confirm that a code was accepted; a reload of this page sends nothing."""
        message = (
            "The operator sends it to Defender for Cloud now. Within a minute the connector's status (condition "
            "Authorized) reports whether it works."
        )
        return self.context.message(self.context.connector(request), "The code was accepted", message)

    def _page(
        self,
        request: web.Request,
        connector: AzureDevOpsConnector,
        *,
        code_problem: str | None = None,
        status: int = 200,
    ) -> web.Response:
        method = connector.spec.sign_in_method
        state = self.context.sign_ins.last_state(connector)
        defender = defender_state(connector)
        return self.context.render_page(
            "connector.html",
            connector,
            status=status,
            state=state,
            defender=defender,
            # Short where nobody has to do anything: what is rarely needed is folded.
            is_well=defender.mark == "good" and bool(state.signed_in) and not needs_code(connector),
            is_interactive=method in _INTERACTIVE_METHODS,
            by_device=method is SignInMethod.DEVICE_CODE,
            needs_code=needs_code(connector),
            may_paste_code=self.code_sessions.is_valid(request, connector),
            may_sign_in_for_code=self.code_sessions.can_start(connector),
            code_problem=code_problem,
            callback=self.context.addresses.callback,
        )
