"""Errors of Resource Manager, and of the security connector, which have a different shape."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["ArmError", "ConnectorError", "ServiceError", "not_found"]


class ServiceError(Exception):
    """An error that knows its HTTP response."""

    def reply(self) -> Reply:
        """Return the HTTP response."""
        raise NotImplementedError


class ArmError(ServiceError):
    """`{"error": {code, message, target, details[], additionalInfo[]}}`.

    Args:
        status: HTTP status.
        code: error code, such as `ResourceNotFound`.
        message: human-readable message.
        target: the field or resource that the error is about.
        details: nested errors.
        additional_info: typed additions, such as a policy violation.
        headers: extra response headers.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: list[dict[str, Any]] | None = None,
        additional_info: list[dict[str, Any]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message}
        if target is not None:
            self.body["target"] = target
        if details is not None:
            self.body["details"] = details
        if additional_info is not None:
            self.body["additionalInfo"] = additional_info
        self.headers = dict(headers or {})

    def reply(self) -> Reply:
        """Return the HTTP response."""
        return json_reply({"error": self.body}, self.status, self.headers)


class ConnectorError(ServiceError):
    """The connector's own error shape: `{statusCode, errorMessage, errorCorrelation}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    def reply(self) -> Reply:
        """Return the HTTP response."""
        message = f"error occured for security connector: {self.message}"
        body = {"statusCode": self.status, "errorMessage": message, "errorCorrelation": str(uuid.uuid4())}
        return json_reply(body, self.status)


def not_found(resource: str, group: str | None) -> ArmError:
    """Return the 404 error of a missing resource."""
    message = (
        f"The Resource '{resource}' under resource group '{group}' was not found. For more details please go to "
        "https://aka.ms/ARMResourceNotFoundFix"
    )
    return ArmError(404, "ResourceNotFound", message)
