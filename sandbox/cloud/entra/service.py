"""The endpoints of Entra ID."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.interactive import pages
from sandbox.cloud.entra.interactive.authorize import COOKIE, Authorize
from sandbox.cloud.entra.interactive.device import Device
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tenants import find_tenant
from sandbox.cloud.entra.token_endpoint.grants import Grants
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.world import World

__all__ = ["Entra"]

_CLAIMS = (
    "sub iss cloud_instance_name aud exp iat auth_time acr nonce preferred_username name tid ver at_hash c_hash email"
)

_PAGES = ("authorize", "login", "choose", "mfa", "consent", "deviceauth")

_Endpoint = Callable[[Request, str], Awaitable[Reply]]


class Entra:
    """Entra ID: OpenID discovery, keys, sign-in, tokens."""

    name = "authority"

    def __init__(self, state: EntraState, world: Callable[[], World]) -> None:
        self._state = state
        self._world = world
        self._grants = Grants(state, world)
        authorize, device = Authorize(state, world), Device(state, world)
        self._endpoints: dict[tuple[str, str], _Endpoint] = {
            ("GET", "v2.0/.well-known/openid-configuration"): self._configuration,
            ("GET", "discovery/v2.0/keys"): self._keys,
            ("POST", "oauth2/v2.0/token"): self._grants.grant,
            ("GET", "oauth2/v2.0/authorize"): authorize.authorize,
            ("POST", "oauth2/v2.0/authorize"): authorize.authorize,
            ("POST", "login"): authorize.login,
            ("POST", "choose"): authorize.choose,
            ("POST", "mfa"): authorize.second_factor,
            ("POST", "consent"): authorize.consent,
            ("POST", "oauth2/v2.0/devicecode"): device.issue,
            ("GET", "oauth2/deviceauth"): device.page,
            ("POST", "oauth2/deviceauth"): device.enter,
            ("GET", "oauth2/v2.0/logout"): self._logout,
        }

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        segments = request.segments
        if not segments:
            return Reply(404)
        endpoint = self._endpoints.get((request.method, "/".join(segments[1:])))
        if endpoint is None:
            return Reply(404)
        try:
            return await endpoint(request, segments[0])
        except EntraError as error:
            if segments[-1] in _PAGES:
                return pages.failure(str(error))
            return error.reply(request.base, self._world().clock.wall())

    async def _configuration(self, request: Request, tenant_name: str) -> Reply:
        request.operation = "OpenIdConfiguration"
        shared = tenant_name.lower() in ("common", "organizations", "consumers")
        tenant = "{tenantid}" if shared else find_tenant(self._world(), tenant_name).id
        base = f"{request.base}/{tenant_name if shared else tenant}"
        document: dict[str, Any] = {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": [
                "client_secret_post",
                "private_key_jwt",
                "client_secret_basic",
                "self_signed_tls_client_auth",
            ],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{request.base}/{tenant}/v2.0",
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "http_logout_supported": True,
            "frontchannel_logout_supported": True,
            "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
            "claims_supported": _CLAIMS.split(),
            "kerberos_endpoint": f"{base}/kerberos",
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        }
        return json_reply(document, headers={"Access-Control-Allow-Origin": "*"})

    async def _keys(self, request: Request, tenant_name: str) -> Reply:
        del tenant_name
        request.operation = "Keys"
        return json_reply(self._state.signing_key.key_set())

    async def _logout(self, request: Request, tenant_name: str) -> Reply:
        del tenant_name
        request.operation = "Logout"
        reply = pages.message("You signed out of your account", "It's a good idea to close all browser windows.")
        reply.headers["Set-Cookie"] = f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=None; Max-Age=0"
        return reply
