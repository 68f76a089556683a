"""The clients of one ARM identity, as a reconcile uses them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from defender_devops.api.azure_types import ConnectorRef
from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors

__all__ = ["AzureAccess"]


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """The clients of one ARM identity.

    Attributes:
        connectors: client of security connectors.
        role_assignments: client of role assignments.
        poller: Resource Graph as this identity sees it.
        record_write: marks the Resource Graph row of a connector as outdated by a write, for all pollers.
    """

    connectors: SecurityConnectors
    role_assignments: RoleAssignments
    poller: ResourceGraphPoller
    record_write: Callable[[ConnectorRef], None]
