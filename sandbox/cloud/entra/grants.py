"""The token endpoint: one method for each grant type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sandbox.cloud.entra.clients import authenticate, client_id_of, find_application
from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.resources import resource_of
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import AccessToken
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.directory import Principal, Tenant
from sandbox.cloud.world.world import World

__all__ = ["Grants"]

_Grant = Callable[[Request, Tenant, Mapping[str, str]], Awaitable[Reply]]


class Grants:
    """Turns what a client presents into tokens."""

    def __init__(self, state: EntraState, world: Callable[[], World]) -> None:
        self._state = state
        self._world = world
        self._grants: dict[str, _Grant] = {"client_credentials": self._client_credentials}

    async def grant(self, request: Request, tenant: Tenant) -> Reply:
        """Answer a token request.

        Raises:
            EntraError: it is refused.
        """
        form = request.form()
        grant_type = form.get("grant_type")
        if grant_type is None:
            message = "The request body must contain the following parameter: 'grant_type'."
            raise EntraError("invalid_request", 900144, message)
        grant = self._grants.get(grant_type)
        if grant is None:
            message = f"The app requested an unsupported grant type '{grant_type}'."
            raise EntraError("unsupported_grant_type", 70003, message)
        return await grant(request, tenant, form)

    async def _client_credentials(self, request: Request, tenant: Tenant, form: Mapping[str, str]) -> Reply:
        world = self._world()
        client_id, secret = client_id_of(form, request.headers.get("Authorization"))
        application = find_application(world, tenant, client_id)
        request.principal = application.display_name
        await authenticate(world, self._state.federation, application, form, secret)
        scopes = form.get("scope", "").split()
        if len(scopes) != 1 or not scopes[0].endswith("/.default"):
            message = (
                f"The provided value for the input parameter 'scope' is not valid. The scope {' '.join(scopes)} is not "
                "valid: client credential flows must have a scope value with /.default suffixed to the resource "
                "identifier (application ID URI)."
            )
            raise EntraError("invalid_scope", 1002012, message)
        resource = resource_of(self._state, tenant, scopes[0].removesuffix("/.default"))
        principal = Principal(application.object_id, tenant.id, application.display_name, application.client_id)
        wall = world.clock.wall()
        lifetime = world.settings.access_token_lifetime
        token = self._state.access_tokens.issue(AccessToken(principal, resource, wall, wall + lifetime))
        body = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return json_reply(body, headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"})
