"""Access checks: role assignments at the resource, its resource group, its subscription."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.world.azure import ROLE_DEFINITIONS, RoleDefinition
from sandbox.cloud.world.directory import Principal
from sandbox.cloud.world.world import World

__all__ = ["Rights"]


class Rights:
    """Access decisions, cached until a role assignment changes."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._version = -1
        self._roles: dict[str, list[tuple[str, RoleDefinition]]] = {}
        self._decisions: dict[tuple[str, str, str], bool] = {}

    def check(self, world: World, principal: Principal, action: str, scope: str) -> None:
        """Check that a principal may perform an action.

        Raises:
            ArmError: 403 AuthorizationFailed.
        """
        if self.allows(world, principal, action, scope):
            return
        message = (
            f"The client '{principal.client_id if not principal.is_user else principal.name}' with object id "
            f"'{principal.object_id}' does not have authorization to perform action '{action}' over scope '{scope}' or "
            "the scope is invalid. If access was recently granted, please refresh your credentials."
        )
        raise ArmError(403, "AuthorizationFailed", message)

    def allows(self, world: World, principal: Principal, action: str, scope: str) -> bool:
        """Whether a role of the principal, or of one of its groups, allows the action at or above the scope."""
        if world is not self._world or world.version != self._version:
            self._world, self._version = world, world.version
            self._roles, self._decisions = {}, {}
        key = (principal.object_id, action, scope.lower())
        decision = self._decisions.get(key)
        if decision is None:
            roles = self._roles.get(principal.object_id)
            if roles is None:
                roles = self._roles[principal.object_id] = _roles_of(world, principal.object_id)
            # A role assigned at a scope holds for everything below it.
            decision = self._decisions[key] = any(
                f"{key[2]}/".startswith(f"{assigned}/") and _grants(role, action) for assigned, role in roles
            )
        return decision

    def has_role(self, world: World, principal: Principal, names: Collection[str], scope: str) -> bool:
        """Whether the principal, or one of its groups, holds one of these roles at or above the scope."""
        return any(
            f"{scope.lower()}/".startswith(f"{assigned}/") and role.name in names
            for assigned, role in _roles_of(world, principal.object_id)
        )


def _roles_of(world: World, object_id: str) -> list[tuple[str, RoleDefinition]]:
    identities = {object_id} | world.directory.groups_of(object_id)
    return [
        (assignment.scope.lower().rstrip("/"), ROLE_DEFINITIONS[assignment.role_definition_id])
        for assignment in world.role_assignments
        if assignment.principal_id in identities
    ]


def _grants(role: RoleDefinition, action: str) -> bool:
    return any(_pattern(pattern).match(action) for pattern in role.actions) and not any(
        _pattern(pattern).match(action) for pattern in role.not_actions
    )


@lru_cache
def _pattern(action: str) -> re.Pattern[str]:
    return re.compile(re.escape(action).replace(r"\*", ".*") + r"\Z", re.IGNORECASE)
