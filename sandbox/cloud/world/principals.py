"""Principals by name: accounts, applications and groups."""

from __future__ import annotations

from sandbox.cloud.world.world import World

__all__ = ["UnknownName", "principal_id", "principal_type"]


class UnknownName(LookupError):
    """A reference to an unknown name."""


def principal_id(world: World, name: str) -> str:
    """Return the object id of an account (user principal name), application (name or client id) or group (name).

    Raises:
        UnknownName: no principal has this name.
    """
    account = world.directory.account(name)
    if account is not None:
        return account.id
    for application in world.directory.applications.values():
        if name.lower() in (application.client_id, application.display_name.lower(), application.object_id):
            return application.object_id
    for group in world.directory.groups.values():
        if name in (group.display_name, group.id):
            return group.id
    raise UnknownName(f"there is no account, application or group {name!r}")


def principal_type(world: World, object_id: str) -> str:
    """`User`, `Group` or `ServicePrincipal`."""
    if object_id in world.directory.accounts:
        return "User"
    return "Group" if object_id in world.directory.groups else "ServicePrincipal"
