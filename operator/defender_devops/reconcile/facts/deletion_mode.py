"""What happens to a connector in Azure when its resource is deleted."""

from __future__ import annotations

from enum import Enum, auto

from defender_devops.api.connector import DeletionPolicy
from defender_devops.reconcile.facts.ownership import was_created
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["DeletionMode", "deletion_mode"]


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
