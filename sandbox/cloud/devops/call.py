"""The context of one request to Azure DevOps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.devops.errors import DevOpsError
from sandbox.cloud.devops.identities import Identities, Person
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.devops import Organization, Project
from sandbox.cloud.world.world import World

__all__ = ["DevOpsCall", "api_version", "listing"]

_ACCEPTED_VERSION = re.compile(r";\s*api-version=([^;,\s]+)", re.IGNORECASE)


@dataclass(slots=True)
class DevOpsCall:
    """An authenticated request of a member of the organization.

    Attributes:
        names: values of the placeholders `{…}` of the route.
    """

    request: Request
    world: World
    person: Person
    organization: Organization | None
    names: dict[str, str]

    @property
    def current_organization(self) -> Organization:
        """The organization of the path."""
        if self.organization is None:
            raise LookupError("the route names no organization")
        return self.organization

    @property
    def identities(self) -> Identities:
        """The identities of the organization."""
        return Identities(self.world, self.current_organization)

    def project(self) -> Project:
        """The project of the path.

        Raises:
            DevOpsError: 404 TF200016.
        """
        name = self.names["project"]
        project = self.current_organization.project(name)
        if project is None:
            message = (
                f"TF200016: The following project does not exist: {name}. Verify that the name of the project is "
                "correct and that the project exists on the specified Azure DevOps Server."
            )
            raise DevOpsError(404, "ProjectDoesNotExistWithNameException", message)
        return project

    def number(self, name: str, default: int) -> int:
        """Return an integer query parameter.

        Raises:
            DevOpsError: 400: not an integer.
        """
        value = self.request.query.get(name)
        if value is None or value == "":
            return default
        if not value.isdecimal():
            message = f"The value '{value}' is not valid for the parameter {name}."
            raise DevOpsError(400, "InvalidArgumentValueException", message)
        return int(value)


def api_version(request: Request) -> str | None:
    """Return the requested api-version, from the query or (as Microsoft's clients send it) from the Accept header."""
    match = _ACCEPTED_VERSION.search(request.headers.get("Accept", ""))
    return request.query.get("api-version") or (match[1] if match else None)


def listing(items: list[Any], headers: dict[str, str] | None = None) -> Reply:
    """`{count, value}`."""
    return json_reply({"count": len(items), "value": items}, headers=headers)
