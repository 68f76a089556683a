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
    """What one ARM identity can work with.

    Attributes:
        connectors: the connectors.
        role_assignments: who may read them.
        poller: what this identity sees in Resource Graph.
        record_write: tells every identity's watcher that what it sees of a connector may be older than a write.
    """

    connectors: SecurityConnectors
    role_assignments: RoleAssignments
    poller: ResourceGraphPoller
    record_write: Callable[[ConnectorRef], None]
