"""Which tenant a request is for."""

from __future__ import annotations

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.world.directory import Tenant
from sandbox.cloud.world.world import World

__all__ = ["SHARED", "find_tenant", "tenant_or_any"]

SHARED = ("common", "organizations")
"""Addresses that stand for any tenant; personal accounts (`consumers`) are not simulated."""


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


def tenant_or_any(world: World, name: str) -> Tenant | None:
    """A tenant by id or domain; None where the address stands for any.

    Raises:
        EntraError: there is none.
    """
    return None if name.lower() in SHARED else find_tenant(world, name)
