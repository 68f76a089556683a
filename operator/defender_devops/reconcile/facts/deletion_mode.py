"""What happens to a connector in Azure when its resource is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from defender_devops.api.connector import DeletionPolicy, ManagementPolicy
from defender_devops.reconcile.facts.ownership import was_created
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["DeletionMode", "deletion_mode", "needs_no_azure_cleanup"]


class DeletionMode(Enum):
    """What happens to the connector in Azure."""

    RETAIN = auto()
    """Suspended or Observe: nothing is read or written in Azure."""
    ORPHAN = auto()
    """It stays; the owner tags are removed if Azure answers soon."""
    DELETE = auto()


def deletion_mode(snapshot: ConnectorSnapshot) -> DeletionMode:
    """Return the mode that follows from the spec and from who created the connector."""
    spec = snapshot.connector.spec
    if spec.suspend or snapshot.is_observe_only:
        return DeletionMode.RETAIN
    policy = spec.effective_deletion_policy(created=was_created(snapshot))
    return DeletionMode.DELETE if policy is DeletionPolicy.DELETE else DeletionMode.ORPHAN


def needs_no_azure_cleanup(body: Mapping[str, Any]) -> bool:
    """Whether the resource can be deleted without a change in Azure: its spec says so, or it never owned anything."""
    spec, azure = body.get("spec") or {}, (body.get("status") or {}).get("azure") or {}
    created, policy = azure.get("created"), spec.get("deletionPolicy")
    return (
        spec.get("suspend") is True
        or spec.get("managementPolicy") == ManagementPolicy.OBSERVE
        or policy == DeletionPolicy.DETACH
        or created is None
        or (created is False and policy != DeletionPolicy.DELETE)
    )
