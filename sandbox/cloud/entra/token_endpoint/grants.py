"""The token endpoint: one method for each grant type."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.interactive.checks import check_account, check_consent, check_grant_is_valid, check_policies
from sandbox.cloud.entra.resources import find_resource
from sandbox.cloud.entra.scopes import RESERVED_SCOPES, parse_scopes
from sandbox.cloud.entra.sessions import (
    CODE_LIFETIME,
    DEVICE_CODE_LIFETIME,
    DEVICE_POLL_SECONDS,
    AuthorizationCode,
    DeviceCode,
    SignIn,
)
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tenants import find_tenant, tenant_or_any
from sandbox.cloud.entra.token_endpoint.clients import authenticate, client_id_of, find_application
from sandbox.cloud.entra.token_endpoint.issue import issue_tokens
from sandbox.cloud.entra.tokens import AccessToken
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.directory import Application, Principal, Tenant
from sandbox.cloud.world.world import World

__all__ = ["Grants"]

_NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache", "P3P": 'CP="DSP CUR OTPi IND OTRi ONL FIN"'}
DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class _TokenRequest:
    """A request to the token endpoint, with its client."""

    request: Request
    world: World
    tenant_name: str
    form: Mapping[str, str]
    application: Application
    confidential: bool

    @property
    def tenant(self) -> Tenant | None:
        """The tenant of the URL; None for `common` and `organizations`."""
        return tenant_or_any(self.world, self.tenant_name)


class Grants:
    """Exchanges grants for tokens."""

    def __init__(self, state: EntraState, world: Callable[[], World]) -> None:
        self._state = state
        self._world = world
        self._grants: dict[str, Callable[[_TokenRequest], Awaitable[dict[str, Any]]]] = {
            "client_credentials": self._client_credentials,
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            DEVICE_CODE_GRANT: self._device_code,
        }

    async def grant(self, request: Request, tenant_name: str) -> Reply:
        """Answer a token request.

        Raises:
            EntraError: the grant is invalid.
        """
        form = request.form()
        grant_type = form.get("grant_type") or ("" if "device_code" not in form else DEVICE_CODE_GRANT)
        if not grant_type:
            message = "The request body must contain the following parameter: 'grant_type'."
            raise EntraError("invalid_request", 900144, message)
        grant = self._grants.get(grant_type)
        if grant is None:
            message = f"The app requested an unsupported grant type '{grant_type}'."
            raise EntraError("unsupported_grant_type", 70003, message)
        request.operation = f"Token {grant_type.rpartition(':')[2]}"
        return json_reply(await grant(await self._identify(request, tenant_name, form)), headers=_NO_STORE)

    async def _identify(self, request: Request, tenant_name: str, form: Mapping[str, str]) -> _TokenRequest:
        world = self._world()
        client_id, secret = client_id_of(form, request.headers.get("Authorization"))
        application = find_application(world, tenant_or_any(world, tenant_name), client_id)
        request.principal = application.display_name
        proves = secret is not None or "client_assertion" in form
        if not proves and application.public_client and form.get("grant_type") != "client_credentials":
            return _TokenRequest(request, world, tenant_name, form, application, confidential=False)
        credentials = application.secrets or application.certificates or application.federated_credentials
        if proves and application.public_client and not credentials:
            message = "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."
            raise EntraError("invalid_client", 700025, message, status=401)
        await authenticate(world, self._state.federation, application, form, secret)
        return _TokenRequest(request, world, tenant_name, form, application, confidential=True)

    async def _client_credentials(self, token_request: _TokenRequest) -> dict[str, Any]:
        # The scopes of OpenID Connect are ignored: MSAL for Go sends them with every request.
        requested = token_request.form.get("scope", "").split()
        scopes = [scope for scope in requested if scope not in RESERVED_SCOPES]
        if len(scopes) != 1 or not scopes[0].endswith("/.default"):
            message = (
                f"The provided value for the input parameter 'scope' is not valid. The scope {' '.join(requested)} is "
                "not valid: client credential flows must have a scope value with /.default suffixed to the resource "
                "identifier (application ID URI)."
            )
            raise EntraError("invalid_scope", 1002012, message)
        tenant = find_tenant(token_request.world, token_request.tenant_name)
        resource = find_resource(self._state, tenant, scopes[0].removesuffix("/.default"))
        application = token_request.application
        principal = Principal(application.object_id, tenant.id, application.display_name, application.client_id)
        wall, lifetime = token_request.world.clock.wall(), token_request.world.settings.access_token_lifetime
        token = self._state.access_tokens.issue(AccessToken(principal, resource, wall, wall + lifetime))
        return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}

    # --- grants of a signed-in person

    async def _authorization_code(self, token_request: _TokenRequest) -> dict[str, Any]:
        value = _required(token_request.form, "code")
        token_request.request.code(value)
        code = self._state.sessions.codes.get(value)
        if code is None:
            message = "Invalid request. Request is malformed or invalid: the 'code' is none of ours."
            raise EntraError("invalid_grant", 9002313, message)
        _check_code(token_request, code)
        code.redeemed = True
        return self._tokens(
            token_request, code.sign_in, code.scope, code.tenant_id, issued_at=code.issued_at, nonce=code.nonce
        )

    async def _refresh_token(self, token_request: _TokenRequest) -> dict[str, Any]:
        value = _required(token_request.form, "refresh_token")
        token_request.request.code(value)
        token = self._state.sessions.refresh_tokens.get(value)
        if token is None:
            raise EntraError("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
        if token.client_id != token_request.application.client_id:
            message = "Provided grant is invalid or malformed. The refresh token was issued to another application."
            raise EntraError("invalid_grant", 70000, message)
        if token_request.world.clock.wall() > token.expires_at():
            message = (
                "The refresh token has expired due to inactivity. The token was issued on "
                f"{token.issued_at:.0f} and was inactive for 90.00:00:00."
            )
            raise EntraError("invalid_grant", 700082, message, suberror="bad_token")
        # A refresh may request other scopes of the same consent, and keeps offline_access.
        scope = token_request.form.get("scope") or token.scope
        if "offline_access" in token.scope.split() and "offline_access" not in scope.split():
            scope += " offline_access"
        return self._tokens(token_request, token.sign_in, scope, token.tenant_id, issued_at=token.issued_at)

    async def _device_code(self, token_request: _TokenRequest) -> dict[str, Any]:
        code = self._state.sessions.device_codes.get(_required(token_request.form, "device_code"))
        if code is None or code.client_id != token_request.application.client_id:
            message = "Invalid verification code: the device_code is unknown, or was issued to another application."
            raise EntraError("bad_verification_code", 70018, message)
        sign_in = _check_device_code(token_request.world, code)
        account = check_account(token_request.world.directory.account(sign_in.account_id))
        code.outcome = "redeemed"
        return self._tokens(token_request, sign_in, code.scope, account.tenant_id, issued_at=code.issued_at)

    def _tokens(
        self,
        token_request: _TokenRequest,
        sign_in: SignIn,
        scope: str,
        tenant_id: str,
        *,
        issued_at: float,
        nonce: str | None = None,
    ) -> dict[str, Any]:
        """Issue tokens, if the account may still sign in."""
        world = token_request.world
        tenant = world.directory.tenants[tenant_id]
        if token_request.tenant is not None and token_request.tenant.id != tenant_id:
            message = "Provided Authorization Code is intended to use against other tenant, thus rejected."
            raise EntraError("invalid_grant", 700005, message)
        scopes = parse_scopes(self._state, tenant, scope, token_request.application, sign_in.account_id)
        account = check_account(world.directory.account(sign_in.account_id))
        check_grant_is_valid(world, account, sign_in, issued_at=issued_at, confidential=token_request.confidential)
        check_policies(account, mfa=sign_in.mfa)
        check_consent(token_request.application, account)
        token_request.request.principal = account.user_principal_name
        return issue_tokens(
            self._state,
            world,
            authority=token_request.request.base,
            account=account,
            application=token_request.application,
            sign_in=replace(sign_in),
            scopes=scopes,
            scope=scope,
            nonce=nonce,
            confidential=token_request.confidential,
            client_info=token_request.form.get("client_info") == "1",
        )


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name)
    if not value:
        message = f"The request body must contain the following parameter: '{name}'."
        raise EntraError("invalid_request", 900144, message)
    return value


def _check_code(token_request: _TokenRequest, code: AuthorizationCode) -> None:
    if code.redeemed:
        message = (
            "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
            "refresh token."
        )
        raise EntraError("invalid_grant", 54005, message)
    if token_request.world.clock.wall() > code.issued_at + CODE_LIFETIME:
        message = "The provided authorization code or refresh token has expired due to inactivity. Send a new request."
        raise EntraError("invalid_grant", 70008, message)
    if code.client_id != token_request.application.client_id:
        message = "Provided grant is invalid or malformed. The authorization code was issued to another application."
        raise EntraError("invalid_grant", 70000, message)
    if token_request.form.get("redirect_uri") != code.redirect_uri:
        message = (
            f"The reply address '{token_request.form.get('redirect_uri')}' does not match the reply address "
            f"'{code.redirect_uri}' provided when requesting Authorization code."
        )
        raise EntraError("invalid_client", 500112, message)
    verifier = token_request.form.get("code_verifier", "")
    if code.code_challenge is not None and token_request.world.variants.is_chosen(
        "missingVerifier", "missingParameter"
    ):
        _required(token_request.form, "code_verifier")
    if code.code_challenge_method.upper() == "S256":
        verifier = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if code.code_challenge is not None and not hmac.compare_digest(verifier.encode(), code.code_challenge.encode()):
        message = "The Code_Verifier does not match the code_challenge supplied in the authorization request."
        raise EntraError("invalid_grant", 501481, message)


_SLOW_DOWN_SHARES = {"half": 0.5, "interval": 1.0, "never": 0.0}
"""Share of the interval below which polling is too fast, by variant."""


def _check_device_code(world: World, code: DeviceCode) -> SignIn:
    """Return the sign-in that approved a device code.

    Raises:
        EntraError: pending, polled too fast, declined or expired.
    """
    wall = world.clock.wall()
    previous, code.polled_at = code.polled_at, wall
    if code.outcome == "declined":
        raise EntraError("authorization_declined", 65004, "User declined to consent to access the app.")
    if code.outcome == "redeemed" or wall > code.issued_at + DEVICE_CODE_LIFETIME:
        message = "The provided value for the input parameter 'device_code' is not valid. This device code has expired."
        raise EntraError("expired_token", 70020, message)
    if code.sign_in is not None:
        return code.sign_in
    # Clients may poll a little early; half the interval is too fast.
    share = _SLOW_DOWN_SHARES[world.variants["slowDown"]]
    if previous is not None and wall - previous < DEVICE_POLL_SECONDS * share:
        raise EntraError("slow_down", 70016, "OAuth 2.0 device flow error. You are polling too frequently.")
    message = "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
    raise EntraError("authorization_pending", 70016, message)
