"""OAuth scopes: one resource, its permissions, and the reserved scopes of OpenID Connect."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cloud.entra.errors import EntraError
from sandbox.cloud.entra.resources import find_resource
from sandbox.cloud.entra.state import EntraState
from sandbox.cloud.entra.tokens import DEVOPS_RESOURCE
from sandbox.cloud.world.directory import Application, Tenant

__all__ = ["DEVOPS_PERMISSIONS", "RESERVED_SCOPES", "Scopes", "parse_scopes"]

DEVOPS_PERMISSIONS = {
    "user_impersonation": "Have full access to Azure DevOps Services REST APIs",
    "vso.profile": "User profile (read)",
    "vso.identity": "Identity (read)",
    "vso.graph": "Graph (read)",
    "vso.memberentitlementmanagement": "MemberEntitlement Management (read)",
    "vso.extension": "Extensions (read)",
    "vso.project": "Project and team (read)",
    "vso.code": "Code (read)",
    "vso.build": "Build (read)",
    "vso.build_execute": "Build (read and execute)",
    "vso.taskgroups_read": "Task Groups (read)",
    "vso.agentpools": "Agent Pools (read)",
    "vso.advsec": "Advanced Security (read)",
}
RESERVED_SCOPES = ("openid", "profile", "email", "offline_access")
_ARM_PERMISSIONS = {"user_impersonation": "Access Azure Service Management as you"}


@dataclass(frozen=True, slots=True)
class Scopes:
    """Requested scopes.

    Attributes:
        resource: `arm`, `devops`, or empty if only OpenID Connect scopes were requested.
        identifier: the resource as the request names it.
        permissions: of the resource; all of them for `.default`.
    """

    resource: str
    identifier: str
    permissions: tuple[str, ...]
    reserved: tuple[str, ...]

    @property
    def granted(self) -> str:
        """`scope` of the response."""
        scopes = [f"{self.identifier}/{permission}" for permission in self.permissions]
        if self.resource and ".default" not in self.permissions:
            scopes.append(f"{self.identifier}/.default")
        return " ".join([*scopes, *(reserved for reserved in self.reserved if reserved != "offline_access")])

    @property
    def offline(self) -> bool:
        """Whether a refresh token was requested."""
        return "offline_access" in self.reserved

    @property
    def openid(self) -> bool:
        """Whether an id_token was requested."""
        return "openid" in self.reserved

    def descriptions(self) -> list[str]:
        """Descriptions of the permissions, for the consent page."""
        texts = DEVOPS_PERMISSIONS if self.resource == "devops" else _ARM_PERMISSIONS
        lines = [texts.get(permission, permission) for permission in self.permissions]
        if self.offline:
            lines.append("Maintain access to data you have given it access to")
        return [*lines, "View your basic profile"]


def parse_scopes(
    state: EntraState,
    tenant: Tenant,
    scope: str,
    application: Application | None = None,
    account_id: str | None = None,
) -> Scopes:
    """Parse a `scope` parameter.

    Args:
        state: with the resources.
        tenant: in which they are looked up.
        scope: the parameter.
        application: `.default` stands for the permissions of its registration.
        account_id: if given, for those that this account has consented to.

    Raises:
        EntraError: it is empty, has two resources, or an unknown permission.
    """
    parts = scope.split()
    if not parts:
        raise EntraError("invalid_request", 900144, "The request body must contain the following parameter: 'scope'.")
    reserved = tuple(dict.fromkeys(part for part in parts if part in RESERVED_SCOPES))
    resource_scopes = [part for part in parts if part not in RESERVED_SCOPES]
    # The part in front of the last slash is the resource; a token is for one resource only.
    identifiers = {part.rpartition("/")[0] for part in resource_scopes}
    if len(identifiers) > 1:
        message = (
            "Provided value for the input parameter scope is not valid because it contains more than one resource. "
            f"Scope {scope} is not valid."
        )
        raise EntraError("invalid_request", 28000, message)
    if not identifiers:
        return Scopes("", "", (), reserved)
    identifier = identifiers.pop().rstrip("/")
    if not identifier:
        raise _unknown(resource_scopes[0], "00000003-0000-0000-c000-000000000000")
    resource = find_resource(state, tenant, identifier)
    defined = DEVOPS_PERMISSIONS if resource == "devops" else _ARM_PERMISSIONS
    names = [part.rpartition("/")[2] for part in resource_scopes]
    unknown = [name for name in names if name != ".default" and name not in defined]
    if unknown:
        raise _unknown(unknown[0], DEVOPS_RESOURCE if resource == "devops" else identifier)
    permissions = tuple(names)
    if ".default" in names:
        registered = None
        if application is not None and resource == "devops":
            registered = (
                application.permissions if account_id is None else application.consented_permissions(account_id)
            )
        permissions = ("user_impersonation",) if registered is None else registered
    return Scopes(resource, identifier, permissions, reserved)


def _unknown(permission: str, resource: str) -> EntraError:
    message = f"The application asked for scope '{permission}' that doesn't exist on the resource '{resource}'."
    return EntraError("invalid_client", 650053, message)
