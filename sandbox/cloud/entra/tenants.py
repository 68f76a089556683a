"""Resolution of the tenant of a request."""

from __future__ import annotations

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.world.directory import Tenant
from sandbox.cloud.world.world import World

__all__ = ["SHARED", "find_tenant", "tenant_or_any"]

SHARED = ("common", "organizations")
"""Path segments that stand for any tenant; personal accounts (`consumers`) are not simulated."""


def find_tenant(world: World, name: str) -> Tenant:
    """Return a tenant by id or domain.

    Raises:
        EntraError: there is no such tenant.
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


def tenant_or_any(world: World, name: str) -> Tenant | None:
    """Return a tenant by id or domain; None for `common` and `organizations`.

    Raises:
        EntraError: there is no such tenant.
    """
    return None if name.lower() in SHARED else find_tenant(world, name)
