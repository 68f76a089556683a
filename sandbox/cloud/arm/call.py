"""The context of one request to Resource Manager."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.arm.paths import ResourcePath
from sandbox.cloud.faults import OperationFault
from sandbox.cloud.transport.message import Request
from sandbox.cloud.world.azure import Subscription
from sandbox.cloud.world.directory import Principal
from sandbox.cloud.world.world import World

__all__ = ["Call"]


@dataclass(slots=True)
class Call:
    """A request that has a valid token, path and api-version.

    Attributes:
        now: inner time.
    """

    request: Request
    world: World
    now: float
    principal: Principal
    path: ResourcePath
    api_version: str
    operation_fault: OperationFault | None = None

    @property
    def subscription(self) -> Subscription:
        """The subscription of the path; the service has checked that it exists."""
        return self.world.subscriptions[self.path.subscription or ""]

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.path.names[-1]

    def body(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ArmError: 400 InvalidRequestContent.
        """
        try:
            value = json.loads(self.request.body)
        except ValueError as error:
            message = f"The request content was invalid and could not be deserialized: '{error}'."
            raise ArmError(400, "InvalidRequestContent", message) from error
        if not isinstance(value, dict):
            message = "The request content was invalid and could not be deserialized: 'An object is expected'."
            raise ArmError(400, "InvalidRequestContent", message)
        return value

    @property
    def actor(self) -> tuple[str, str]:
        """Name and type of the principal, for systemData."""
        if self.principal.is_user:
            return self.principal.name, "User"
        return self.principal.client_id, "Application"
