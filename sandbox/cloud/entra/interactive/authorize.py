"""The authorize endpoint and the interactive steps behind it: account selection, sign-in, second factor, consent.

Until the redirect URI is verified, errors are shown on a page; after that they are sent to the application, as Entra
does. Errors that only an administrator can resolve are shown on a page with a button back to the application.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.interactive import pages
from sandbox.cloud.entra.interactive.checks import authenticate_account, check_account, check_policies, has_consent
from sandbox.cloud.entra.scopes import Scopes, parse_scopes
from sandbox.cloud.entra.sessions import AuthorizationCode, Interaction, SignIn
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tenants import tenant_or_any
from sandbox.cloud.entra.token_endpoint.clients import find_application
from sandbox.cloud.transport.message import Reply, Request
from sandbox.cloud.world.directory import Account, Application, ConditionalAccess
from sandbox.cloud.world.world import World

__all__ = ["COOKIE", "Authorize"]

COOKIE = "ESTSAUTH"
_RESPONSE_MODES = ("query", "form_post", "fragment")


class Authorize:
    """The interactive endpoints."""

    def __init__(self, state: EntraState, world: Callable[[], World]) -> None:
        self._state = state
        self._world = world

    # --- the endpoints

    async def authorize(self, request: Request, tenant_name: str) -> Reply:
        """GET or POST /oauth2/v2.0/authorize."""
        request.operation = "Authorize"
        parameters = request.query if request.method == "GET" else request.form()
        try:
            interaction = self._begin(tenant_name, parameters)
        except EntraError as error:
            return pages.failure(str(error))
        try:
            self._check_request(interaction, parameters)
        except EntraError as error:
            return self._send_error(interaction, error)
        return self._next(request, interaction)

    async def login(self, request: Request, tenant_name: str) -> Reply:
        """POST /login: name and password, or cancel."""
        request.operation = "Login"
        form = request.form()
        interaction = self._interaction(form)
        if form.get("action") == "cancel":
            return self._cancel(interaction)
        world = self._world()
        try:
            tenant = tenant_or_any(world, tenant_name)
            account = authenticate_account(world, tenant, form.get("loginfmt", ""), form.get("passwd", ""))
        except EntraError as error:
            # Wrong password, unknown account, account of another tenant: the person may try again.
            if error.code in (50126, 50034, 50020):
                return pages.sign_in(
                    _action(interaction, "login"), interaction.id, form.get("loginfmt", ""), str(error)
                )
            return self._show_failure(interaction, error)
        request.principal = account.user_principal_name
        return self._signed_in(request, interaction, account)

    async def choose(self, request: Request, tenant_name: str) -> Reply:
        """POST /choose: an account that is already signed in, or another one."""
        del tenant_name
        request.operation = "ChooseAccount"
        form = request.form()
        interaction = self._interaction(form)
        sign_in = self._browser(request).get(form.get("account", ""))
        if sign_in is None:
            return self._ask_to_sign_in(interaction)
        interaction = self._state.sessions.begin(replace(interaction, sign_in=sign_in))
        return self._next(request, interaction)

    async def second_factor(self, request: Request, tenant_name: str) -> Reply:
        """POST /mfa: approved or denied."""
        del tenant_name
        request.operation = "SecondFactor"
        form = request.form()
        interaction = self._interaction(form)
        if form.get("decision") != "approve" or interaction.sign_in is None:
            message = "Authentication failed during strong authentication request: the user denied it."
            return self._show_failure(interaction, EntraError("access_denied", 500121, message))
        sign_in = replace(interaction.sign_in, mfa=True, at=self._world().clock.wall())
        interaction = self._state.sessions.begin(replace(interaction, sign_in=sign_in))
        return self._next(request, interaction)

    async def consent(self, request: Request, tenant_name: str) -> Reply:
        """POST /consent: accepted or not."""
        del tenant_name
        request.operation = "Consent"
        form = request.form()
        interaction = self._interaction(form)
        application, account = self._application(interaction), self._account(interaction)
        request.principal = account.user_principal_name
        if form.get("decision") != "accept":
            message = f"User declined to consent to access the app '{application.display_name}'."
            return self._send_error(interaction, EntraError("access_denied", 65004, message))
        if application.admin_consent_required:
            return self._show_failure(interaction, _needs_administrator(application))
        application.consent(account.id)
        request.effect("consent.grant", application=application.client_id, account=account.user_principal_name)
        return self._next(request, interaction)

    # --- steps

    def _next(self, request: Request, interaction: Interaction) -> Reply:
        """Return the next page, or the redirect back to the application."""
        world, sign_in = self._world(), interaction.sign_in
        if sign_in is None:
            return self._resume_sign_in(request, interaction)
        try:
            account = check_account(world.directory.account(sign_in.account_id))
            demands_mfa = account.mfa or account.conditional_access is ConditionalAccess.REQUIRE_MFA
            if demands_mfa and not sign_in.mfa:
                action = _action(interaction, "mfa")
                return pages.second_factor(action, interaction.id, account.user_principal_name)
            check_policies(account, mfa=sign_in.mfa, device_code=bool(interaction.user_code))
            application = self._application(interaction)
            tenant = world.directory.tenants[account.tenant_id]
            scopes = parse_scopes(self._state, tenant, interaction.scope, application)
        except EntraError as error:
            return self._show_failure(interaction, error)
        if not has_consent(application, account) or interaction.prompt == "consent":
            return self._ask_for_consent(interaction, application, account, scopes)
        return self._finish(request, interaction, account)

    def _resume_sign_in(self, request: Request, interaction: Interaction) -> Reply:
        """Reuse a sign-in of this browser, unless the application requires a new one."""
        sign_ins = self._browser(request)
        accounts = [(object_id, self._world().directory.accounts.get(object_id)) for object_id in sign_ins]
        signed_in = [(object_id, account.user_principal_name) for object_id, account in accounts if account is not None]
        hinted = [object_id for object_id, name in signed_in if name.lower() == interaction.login_hint.lower()]
        if interaction.prompt == "none":
            chosen = hinted or [object_id for object_id, _ in signed_in]
            if len(chosen) == 1:
                return self._next(
                    request, self._state.sessions.begin(replace(interaction, sign_in=sign_ins[chosen[0]]))
                )
            message = "A silent sign-in request was sent but no user is signed in."
            return self._send_error(interaction, EntraError("login_required", 50058, message))
        # `prompt=login` ignores sessions of the browser.
        if not signed_in or interaction.prompt == "login":
            return self._ask_to_sign_in(interaction)
        if hinted and interaction.prompt != "select_account":
            return self._next(request, self._state.sessions.begin(replace(interaction, sign_in=sign_ins[hinted[0]])))
        return pages.choose_account(_action(interaction, "choose"), interaction.id, signed_in)

    @staticmethod
    def _ask_to_sign_in(interaction: Interaction) -> Reply:
        return pages.sign_in(_action(interaction, "login"), interaction.id, interaction.login_hint, None)

    def _ask_for_consent(
        self, interaction: Interaction, application: Application, account: Account, scopes: Scopes
    ) -> Reply:
        if interaction.prompt == "none":
            message = f"The user or administrator has not consented to use the application '{application.client_id}'."
            error = EntraError("interaction_required", 65001, message, suberror="consent_required")
            return self._send_error(interaction, error)
        if application.admin_consent_required:
            return self._show_failure(interaction, _needs_administrator(application))
        self._state.sessions.begin(replace(interaction, prompt=""))
        return pages.consent(
            _action(interaction, "consent"),
            interaction.id,
            account.user_principal_name,
            application.display_name,
            scopes.descriptions(),
        )

    def _signed_in(self, request: Request, interaction: Interaction, account: Account) -> Reply:
        """Store the sign-in in the browser session and continue."""
        sign_in = SignIn(account.id, mfa=False, at=self._world().clock.wall())
        # The cookie comes with the next page, whichever that is.
        interaction = self._state.sessions.begin(replace(interaction, sign_in=sign_in))
        reply = self._next(request, interaction)
        cookie = _cookie(request) or secrets.token_urlsafe(48)
        self._state.sessions.browsers.setdefault(cookie, {})[account.id] = sign_in
        reply.headers["Set-Cookie"] = f"{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=None"
        return reply

    def _finish(self, request: Request, interaction: Interaction, account: Account) -> Reply:
        """All checks passed: issue a code for the application, or approve the device code."""
        if interaction.sign_in is None:
            raise EntraError("invalid_request", 90100, "The sign-in is not complete.")
        self._state.sessions.interactions.pop(interaction.id, None)
        request.principal = account.user_principal_name
        if interaction.user_code:
            device = self._state.sessions.device_code_of(interaction.user_code)
            if device is not None:
                device.sign_in, device.outcome = interaction.sign_in, "approved"
            request.effect("deviceCode.approve", account=account.user_principal_name)
            name = self._application(interaction).display_name
            return pages.message(name, f"You have signed in to the {name} application on your device.")
        code = AuthorizationCode(
            interaction.sign_in,
            interaction.client_id,
            account.tenant_id,
            interaction.scope,
            interaction.redirect_uri,
            self._world().clock.wall(),
            interaction.nonce,
            interaction.code_challenge,
            interaction.code_challenge_method,
        )
        request.effect("code.issue", application=interaction.client_id, account=account.user_principal_name)
        return _send(
            interaction, {"code": self._state.sessions.issue_code(code), "session_state": secrets.token_hex(16)}
        )

    # --- errors

    def _show_failure(self, interaction: Interaction, error: EntraError) -> Reply:
        """Show an error that the person cannot resolve, with a button that returns it to the application."""
        if interaction.prompt == "none":
            return self._send_error(interaction, error)
        self._state.sessions.begin(interaction)
        self._problems[interaction.id] = error
        return pages.failure(str(error), _action(interaction, "login"), interaction.id)

    @property
    def _problems(self) -> dict[str, EntraError]:
        return self._state.problems

    def _cancel(self, interaction: Interaction) -> Reply:
        problem = self._problems.pop(interaction.id, None)
        if problem is None:
            return self._send_error(interaction, EntraError("access_denied", 65004, "The user cancelled the sign-in."))
        error = _ADMINISTRATOR_ERRORS[self._world().variants["administratorErrors"]]
        return self._send_error(interaction, EntraError(error, problem.code, str(problem).partition(": ")[2]))

    def _send_error(self, interaction: Interaction, error: EntraError) -> Reply:
        self._state.sessions.interactions.pop(interaction.id, None)
        if interaction.user_code:
            device = self._state.sessions.device_code_of(interaction.user_code)
            if device is not None and error.code == 65004:  # noqa: PLR2004 - AADSTS65004: declined
                device.outcome = "declined"
            return pages.message("You did not sign in", str(error))
        parameters = {"error": error.error, "error_description": str(error)}
        if error.suberror is not None:
            parameters["error_subcode"] = error.suberror
        return _send(interaction, parameters)

    # --- request parameters

    def _begin(self, tenant_name: str, parameters: dict[str, str]) -> Interaction:
        """Start the interaction, once the redirect URI is verified.

        Raises:
            EntraError: unknown tenant or application, or redirect URI mismatch.
        """
        world = self._world()
        tenant = tenant_or_any(world, tenant_name)
        if "client_id" not in parameters:
            message = "The request body must contain the following parameter: 'client_id'."
            raise EntraError("invalid_request", 900144, message)
        application = find_application(world, tenant, parameters["client_id"])
        redirect = parameters.get("redirect_uri") or (application.redirect_uris[0] if application.redirect_uris else "")
        if not any(_same_address(redirect, registered) for registered in application.redirect_uris):
            message = (
                f"The redirect URI '{redirect}' specified in the request does not match the redirect URIs configured "
                f"for the application '{application.client_id}'. Make sure the redirect URI sent in the request "
                "matches one added to your application in the Azure portal."
            )
            raise EntraError("invalid_client", 50011, message)
        mode = parameters.get("response_mode", "query")
        interaction = Interaction(
            id=secrets.token_urlsafe(32),
            tenant_name=tenant_name,
            client_id=application.client_id,
            scope=parameters.get("scope", ""),
            began_at=world.clock.wall(),
            redirect_uri=redirect,
            response_mode=mode if mode in _RESPONSE_MODES else "query",
            state=parameters.get("state"),
            nonce=parameters.get("nonce"),
            code_challenge=parameters.get("code_challenge"),
            code_challenge_method=parameters.get("code_challenge_method", "plain"),
            login_hint=parameters.get("login_hint", ""),
            prompt=parameters.get("prompt", ""),
        )
        return self._state.sessions.begin(interaction)

    def _check_request(self, interaction: Interaction, parameters: dict[str, str]) -> None:
        """Check the parameters whose errors are sent to the application by redirect."""
        if parameters.get("response_type") != "code":
            message = f"The response_type '{parameters.get('response_type', '')}' is not supported for the application."
            raise EntraError("unsupported_response_type", 700054, message)
        if parameters.get("response_mode", "query") not in _RESPONSE_MODES:
            message = f"The response mode '{parameters['response_mode']}' is not supported."
            raise EntraError("invalid_request", 70007, message)
        if interaction.code_challenge_method not in ("plain", "S256"):
            message = f"The code_challenge_method '{interaction.code_challenge_method}' is not supported."
            raise EntraError("invalid_request", 501491, message)
        world = self._world()
        tenant = tenant_or_any(world, interaction.tenant_name) or next(iter(world.directory.tenants.values()))
        parse_scopes(self._state, tenant, interaction.scope)

    def _interaction(self, form: dict[str, str]) -> Interaction:
        interaction = self._state.sessions.interactions.get(form.get("ctx", ""))
        if interaction is None:
            message = "Your sign-in was interrupted or has expired. Start again from the application."
            raise EntraError("invalid_request", 165000, message)
        return interaction

    def _application(self, interaction: Interaction) -> Application:
        return find_application(self._world(), None, interaction.client_id)

    def _account(self, interaction: Interaction) -> Account:
        sign_in = interaction.sign_in
        account = None if sign_in is None else self._world().directory.account(sign_in.account_id)
        return check_account(account)

    def _browser(self, request: Request) -> dict[str, SignIn]:
        return self._state.sessions.browser(_cookie(request))


def _cookie(request: Request) -> str | None:
    for part in request.headers.get("Cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _same_address(requested: str, registered: str) -> bool:
    """Whether two redirect URIs match; the port of a loopback address is ignored."""
    if requested == registered:
        return True
    first, second = urlsplit(requested), urlsplit(registered)
    loopback = first.hostname in ("localhost", "127.0.0.1") and first.scheme == "http"
    return loopback and (first.scheme, first.hostname, first.path) == (second.scheme, second.hostname, second.path)


_ADMINISTRATOR_ERRORS = {"accessDenied": "access_denied", "serverError": "server_error"}
"""OAuth error for what only an administrator can resolve, by variant."""


def _action(interaction: Interaction, step: str) -> str:
    return f"/{interaction.tenant_name}/{step}"


def _needs_administrator(application: Application) -> EntraError:
    message = (
        f"Admin consent is required for the permissions requested by '{application.display_name}' "
        f"({application.client_id}). An administrator of the tenant has to grant it."
    )
    return EntraError("access_denied", 90094, message)


def _send(interaction: Interaction, parameters: dict[str, str]) -> Reply:
    """Return to the application, in the requested response mode."""
    if interaction.state is not None:
        parameters = {**parameters, "state": interaction.state}
    if interaction.response_mode == "form_post":
        return pages.form_post(interaction.redirect_uri, parameters)
    mark = "#" if interaction.response_mode == "fragment" else "&" if "?" in interaction.redirect_uri else "?"
    location = f"{interaction.redirect_uri}{mark}{urlencode(parameters)}"
    return Reply(302, headers={"Location": location, "Cache-Control": "no-store, no-cache"})
