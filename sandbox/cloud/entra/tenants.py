"""Which tenant a request is for."""

from __future__ import annotations

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.world.directory import Tenant
from sandbox.cloud.world.world import World

__all__ = ["find_tenant"]


def find_tenant(world: World, name: str) -> Tenant:
    """A tenant by id or domain.

    Raises:
        EntraError: there is none.
    """
    tenant = world.directory.tenant(name)
    if tenant is None:
        message = (
            f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the "
            "correct cloud. Check with your subscription administrator, this may happen if there are no active "
            "subscriptions for the tenant."
        )
        raise EntraError("invalid_request", 90002, message)
    return tenant
