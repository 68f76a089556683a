"""The context of one request to Azure DevOps."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from sandbox.cloud.devops.errors import DevOpsError
from sandbox.cloud.devops.identities import Identities, Person
from sandbox.cloud.transport.message import Reply, Request, json_reply
from sandbox.cloud.world.devops import Organization, Project
from sandbox.cloud.world.world import World

__all__ = ["DevOpsCall", "api_version", "listing"]

Item = TypeVar("Item")
_SMALL_PAGE = 100
_MOST_DIGITS = 18
"""Digits of a number in a query: more would be no 64-bit integer."""

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
            DevOpsError: 404 TF200016; 403 TF50309 by variant.
        """
        name = self.names["project"]
        project = self.current_organization.project(name)
        is_hidden = project is not None and not self.sees(project)
        if is_hidden and self.world.variants.is_chosen("hiddenProjects", "forbidden"):
            message = (
                "TF50309: The following account does not have sufficient permissions to complete the operation: "
                f"{self.person.name}. The following permissions are needed to perform this operation: View "
                "project-level information."
            )
            raise DevOpsError(403, "AccessCheckException", message)
        if project is None or not self.sees(project):
            message = (
                f"TF200016: The following project does not exist: {name}. Verify that the name of the project is "
                "correct and that the project exists on the specified Azure DevOps Server."
            )
            raise DevOpsError(404, "ProjectDoesNotExistWithNameException", message)
        return project

    def sees(self, project: Project) -> bool:
        """Whether the caller may see a project; otherwise it is absent, as if it did not exist."""
        return self.person.object_id not in project.hidden_from

    def projects(self) -> list[Project]:
        """The project of the path, or all that the caller may see.

        Raises:
            DevOpsError: 404 TF200016.
        """
        if "project" in self.names:
            return [self.project()]
        return [project for project in self.current_organization.projects.values() if self.sees(project)]

    @property
    def page_size(self) -> int:
        """Most items of a page of pipelines, builds and branch policies."""
        size = self.world.settings.azure_devops_page_size
        return min(size, _SMALL_PAGE) if self.world.variants.is_chosen("devOpsPages", "hundred") else size

    def flag(self, name: str) -> bool:
        """Return a boolean query parameter; absent is false."""
        return self.request.query.get(name, "").lower() == "true"

    def body(self) -> dict[str, Any]:
        """The JSON object in the body; empty without a body.

        Raises:
            DevOpsError: 400: it is not a JSON object.
        """
        try:
            value = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise DevOpsError(400, "VssPropertyValidationException", "The body of the request is not a JSON object.")
        return value

    def time(self, moment: float) -> str:
        """Return an inner time as Azure DevOps writes it."""
        return self.world.clock.stamp(moment)

    def url(self, *parts: str) -> str:
        """Return a URL below the organization; parts are percent-encoded."""
        path = "/".join(quote(part) for part in (self.current_organization.name, *parts))
        return f"{self.request.base}/{path}"

    def page(self, items: Sequence[Item], most: int) -> tuple[list[Item], dict[str, str]]:
        """Return the page of `$top` items that the continuation token asks for, and the header of the next one.

        Raises:
            DevOpsError: 400: invalid number or token.
        """
        top = max(1, min(self.number("$top", most), most))
        position = _position(self.request.query.get("continuationToken", ""))
        part = list(items[position : position + top])
        following = position + top
        if following >= len(items):
            return part, {}
        token = base64.urlsafe_b64encode(f"position:{following}".encode()).decode()
        return part, {"x-ms-continuationtoken": token}

    def number(self, name: str, default: int) -> int:
        """Return an integer query parameter.

        Raises:
            DevOpsError: 400: not an integer.
        """
        value = self.request.query.get(name)
        if value is None or value == "":
            return default
        if not value.isdecimal() or len(value) > _MOST_DIGITS:
            message = f"The value '{value}' is not valid for the parameter {name}."
            raise DevOpsError(400, "InvalidArgumentValueException", message)
        return int(value)


def _position(token: str) -> int:
    if not token:
        return 0
    try:
        name, _, number = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
    except ValueError:
        name, number = "", ""
    if name != "position" or not number.isdecimal() or len(number) > _MOST_DIGITS:
        message = f"The value '{token}' is not valid for the parameter continuationToken."
        raise DevOpsError(400, "InvalidContinuationTokenException", message)
    return int(number)


def api_version(request: Request) -> str | None:
    """Return the requested api-version, from the query or (as Microsoft's clients send it) from the Accept header."""
    match = _ACCEPTED_VERSION.search(request.headers.get("Accept", ""))
    return request.query.get("api-version") or (match[1] if match else None)


def listing(items: list[Any], headers: dict[str, str] | None = None) -> Reply:
    """`{count, value}`."""
    return json_reply({"count": len(items), "value": items}, headers=headers)
