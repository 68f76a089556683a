"""Device code flow: the endpoint that issues a code, and the page where a person enters it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sandbox.cloud.entra.interactive import pages
from sandbox.cloud.entra.scopes import parse_scopes
from sandbox.cloud.entra.sessions import (
    DEVICE_CODE_LIFETIME,
    DEVICE_POLL_SECONDS,
    DeviceCode,
    Interaction,
    Sessions,
)
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tenants import tenant_or_any
from sandbox.cloud.entra.token_endpoint.clients import client_id_of, find_application
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.world import World

__all__ = ["Device"]


class Device:
    """The endpoints of the device code flow, up to the sign-in."""

    def __init__(self, state: EntraState, world: Callable[[], World]) -> None:
        self._state = state
        self._world = world

    async def issue(self, request: Request, tenant_name: str) -> Reply:
        """POST /oauth2/v2.0/devicecode."""
        request.operation = "DeviceCode"
        world, form = self._world(), request.form()
        tenant = tenant_or_any(world, tenant_name)
        client_id, _ = client_id_of(form, request.headers.get("Authorization"))
        application = find_application(world, tenant, client_id)
        request.principal = application.display_name
        scope = form.get("scope", "")
        parse_scopes(self._state, tenant or next(iter(world.directory.tenants.values())), scope)
        user_code = Sessions.user_code()
        code = DeviceCode(user_code, application.client_id, tenant_name, scope, world.clock.wall())
        address = f"{request.base}/{tenant_name}/oauth2/deviceauth"
        body = {
            "user_code": user_code,
            "device_code": self._state.sessions.issue_device_code(code),
            "verification_uri": address,
            "expires_in": int(DEVICE_CODE_LIFETIME),
            "interval": DEVICE_POLL_SECONDS,
            "message": f"To sign in, use a web browser to open the page {address} and enter the code {user_code} to "
            "authenticate.",
        }
        return json_reply(body, headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"})

    async def page(self, request: Request, tenant_name: str) -> Reply:
        """GET /oauth2/deviceauth."""
        request.operation = "DeviceAuth"
        return pages.device_code(f"/{tenant_name}/oauth2/deviceauth", None)

    async def enter(self, request: Request, tenant_name: str) -> Reply:
        """POST /oauth2/deviceauth: the code was entered; continue with the sign-in."""
        request.operation = "DeviceAuth"
        world = self._world()
        code = self._state.sessions.device_code_of(request.form().get("otc", ""))
        wall = world.clock.wall()
        if code is None or code.outcome != "pending" or wall > code.issued_at + DEVICE_CODE_LIFETIME:
            problem = "That code didn't work. Check the code and try again."
            return pages.device_code(f"/{tenant_name}/oauth2/deviceauth", problem)
        interaction = Interaction(
            secrets.token_urlsafe(32), code.tenant_name, code.client_id, code.scope, wall, user_code=code.user_code
        )
        self._state.sessions.begin(interaction)
        return pages.sign_in(f"/{code.tenant_name}/login", interaction.id, "", None)
