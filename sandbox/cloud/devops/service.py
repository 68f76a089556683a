"""The hosts of Azure DevOps: dev.azure.com and its neighbours, each on an address of its own."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.cloud.devops.sign_in_page import refuse
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.world import World

__all__ = ["HOSTS", "DevOpsHost"]

HOSTS = ("devAzure", "profile", "identity", "entitlement", "extension")


class DevOpsHost:
    """One host."""

    def __init__(self, name: str, entra: EntraState, world: Callable[[], World]) -> None:
        self.name = name
        self._entra = entra
        self._world = world

    async def handle(self, request: Request) -> Reply:
        """Answer a request."""
        token = self._entra.access_tokens.bearer(request.headers.get("Authorization"))
        if token is None or token.resource != "devops" or token.expires_at <= self._world().clock.wall():
            return refuse(request, None, "TF400813: The user is not authorized to access this resource.")
        return json_reply({"message": "The controller for path was not found.", "errorCode": 0}, 404)
