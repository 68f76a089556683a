"""Errors of Azure DevOps."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["DevOpsError", "not_authorized", "not_found", "organization_missing", "repository_missing"]


class DevOpsError(Exception):
    """`{message, typeKey, errorCode}` with a status."""

    def __init__(self, status: int, type_key: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type_key = type_key
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        """Return the HTTP response."""
        body = {
            "$id": "1",
            "innerException": None,
            "message": str(self),
            "typeName": f"Microsoft.TeamFoundation.Framework.Server.{self.type_key}, "
            "Microsoft.TeamFoundation.Framework.Server",
            "typeKey": self.type_key,
            "errorCode": 0,
            "eventId": 3000,
        }
        return json_reply(body, self.status, self.headers)


def not_authorized(name: str) -> DevOpsError:
    """Return TF400813: not a member of the organization."""
    message = f"TF400813: The user '{name}' is not authorized to access this resource."
    return DevOpsError(401, "UnauthorizedRequestException", message)


def not_found(message: str, type_key: str) -> DevOpsError:
    """Return a 404 of something in an organization."""
    return DevOpsError(404, type_key, message)


def repository_missing(name: str, status: int = 404) -> DevOpsError:
    """Return TF401019: no such repository, or no permission to read it."""
    message = (
        f"TF401019: The Git repository with name or identifier {name} does not exist or you do not have permissions "
        "for the operation you are attempting."
    )
    return DevOpsError(status, "GitRepositoryNotFoundException", message)


def organization_missing(name: str) -> DevOpsError:
    """Return the 404 of an unknown organization."""
    message = (
        f"VS800075: The organization with name '{name}' does not exist, or you do not have permission to access it."
    )
    return DevOpsError(404, "HostDoesNotExistException", message)
