"""Resources for which Entra issues tokens."""

from __future__ import annotations

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import ARM_RESOURCES, DEVOPS_RESOURCE
from sandbox.cloud.world.directory import Tenant

__all__ = ["find_resource"]


def find_resource(state: EntraState, tenant: Tenant, identifier: str) -> str:
    """Return the resource of an identifier: `arm` (public names and the URL of this simulation) or `devops`.

    Raises:
        EntraError: the tenant has no such resource.
    """
    name = identifier.rstrip("/")
    if name in ARM_RESOURCES or name in state.arm_resources:
        return "arm"
    if name == DEVOPS_RESOURCE:
        return "devops"
    message = (
        f"The resource principal named {identifier} was not found in the tenant named {tenant.name}. This can happen "
        "if the application has not been installed by the administrator of the tenant or consented to by any user in "
        "the tenant. You might have sent your authentication request to the wrong tenant."
    )
    raise EntraError("invalid_resource", 500011, message)
