"""What becomes of a connector in Azure when its resource is deleted (pure)."""

from __future__ import annotations

from enum import Enum, auto

from defender_devops.api.connector import DeletionPolicy, ManagementPolicy
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["DeletionMode", "deletion_mode", "was_created"]


class DeletionMode(Enum):
    """What becomes of the connector in Azure."""

    RETAIN = auto()
    """Suspended or observed: Azure is not even asked."""
    ORPHAN = auto()
    """It stays; our owner tags are taken off where that is quickly done."""
    DELETE = auto()


def deletion_mode(snapshot: ConnectorSnapshot) -> DeletionMode:
    """Decide by spec and by who created it."""
    spec = snapshot.connector.spec
    if spec.suspend or spec.management_policy is ManagementPolicy.OBSERVE:
        return DeletionMode.RETAIN
    policy = spec.effective_deletion_policy(created=was_created(snapshot))
    return DeletionMode.DELETE if policy is DeletionPolicy.DELETE else DeletionMode.ORPHAN


def was_created(snapshot: ConnectorSnapshot) -> bool:
    """Whether the operator created the connector that is there: its derived GUID says so, or else status.

    The GUID also tells a connector of ours from one that a person made anew in its place.
    """
    cloud, azure = snapshot.cloud, snapshot.connector.status.azure
    if isinstance(cloud, AzureState) and cloud.connector is not None and cloud.connector.hierarchy_identifier:
        ours = desired_state.hierarchy_identifier(snapshot.connector.metadata.uid)
        return cloud.connector.hierarchy_identifier.lower() == ours
    return azure is not None and azure.created is True
