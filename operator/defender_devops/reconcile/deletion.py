"""How a connector goes: what is left in Azure, what is taken down, what blocks it (pure)."""

from __future__ import annotations

from enum import Enum, auto

from defender_devops.api.connector import DeletionPolicy, ManagementPolicy
from defender_devops.api.names import FINALIZER
from defender_devops.reconcile import desired
from defender_devops.reconcile.actions import Action, DeleteConnector, RemoveFinalizer, SetTags
from defender_devops.reconcile.ownership import Holder, ownership
from defender_devops.reconcile.readers import our_readers
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = ["Fate", "fate", "plan_deletion"]


class Fate(Enum):
    """What becomes of the connector in Azure."""

    UNTOUCHED = auto()
    """Suspended or observed: Azure is not even asked."""
    DETACHED = auto()
    """It stays; our owner tags are taken off where that is quickly done."""
    DELETED = auto()


def fate(snapshot: ConnectorSnapshot) -> Fate:
    """Decide by spec and by who created it."""
    spec = snapshot.connector.spec
    if spec.suspend or spec.management_policy is ManagementPolicy.OBSERVE:
        return Fate.UNTOUCHED
    policy = spec.effective_deletion_policy(created=was_created(snapshot))
    return Fate.DELETED if policy is DeletionPolicy.DELETE else Fate.DETACHED


def was_created(snapshot: ConnectorSnapshot) -> bool:
    """Whether the operator created the connector: status says so, and its derived GUID where status was lost."""
    azure = snapshot.connector.status.azure
    if azure is not None and azure.created is not None:
        return azure.created
    cloud = snapshot.cloud
    if not isinstance(cloud, CloudState) or cloud.connector is None:
        return False
    return cloud.connector.hierarchy_identifier == desired.hierarchy_identifier(snapshot.connector.metadata.uid)


def plan_deletion(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """Steps that end with the finalizer's removal; none where Azure must be asked first and cannot be."""
    if FINALIZER not in snapshot.connector.metadata.finalizers:
        return ()
    cloud = snapshot.cloud
    decided = fate(snapshot)
    if isinstance(cloud, CloudState):
        return (*_azure(snapshot, cloud, decided), RemoveFinalizer())
    return () if decided is Fate.DELETED else (RemoveFinalizer(),)


def _azure(snapshot: ConnectorSnapshot, cloud: CloudState, decided: Fate) -> tuple[Action, ...]:
    connector = cloud.connector
    if connector is None or ownership(snapshot, connector).holder is not Holder.OURS or decided is Fate.UNTOUCHED:
        return ()
    if decided is Fate.DELETED:
        return (*our_readers(snapshot, cloud.readers or ()), DeleteConnector(connector.id))
    existing = dict(connector.tags)
    kept = desired.without_owner_tags(existing)
    return (SetTags(kept, tuple(sorted(existing.keys() - kept.keys()))),)
