"""How a connector goes: what is left in Azure, what is taken down, what blocks it (pure)."""

from __future__ import annotations

from enum import Enum, auto

from defender_devops.api.connector import DeletionPolicy, ManagementPolicy
from defender_devops.api.names import FINALIZER
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags
from defender_devops.reconcile.actions.kubernetes import RemoveFinalizer
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.ownership import is_ours
from defender_devops.reconcile.facts.snapshot import CloudState, ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.security_readers import our_readers

__all__ = ["Fate", "fate", "plan_deletion", "was_created"]

_GROUP_NOT_FOUND = "ResourceGroupNotFound"
"""Azure's code where the resource group is gone, and everything in it."""


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
    """Whether the operator created the connector that is there: its derived GUID says so, or else status.

    The GUID also tells a connector of ours from one that a person made anew in its place.
    """
    cloud, azure = snapshot.cloud, snapshot.connector.status.azure
    if isinstance(cloud, CloudState) and cloud.connector is not None and cloud.connector.hierarchy_identifier:
        ours = desired_state.hierarchy_identifier(snapshot.connector.metadata.uid)
        return cloud.connector.hierarchy_identifier.lower() == ours
    return azure is not None and azure.created is True


def plan_deletion(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """Steps that end with the finalizer's removal; none where Azure must be asked first and cannot be."""
    if FINALIZER not in snapshot.connector.metadata.finalizers:
        return ()
    cloud = snapshot.cloud
    if isinstance(cloud, CloudState):
        return (*_azure(snapshot, cloud), RemoveFinalizer())
    return () if is_blocked(snapshot, cloud) else (RemoveFinalizer(),)


def is_blocked(snapshot: ConnectorSnapshot, failure: Failure) -> bool:
    """Whether the resource has to stay because of a failure in Azure."""
    return fate(snapshot) is Fate.DELETED and failure.code != _GROUP_NOT_FOUND


def _azure(snapshot: ConnectorSnapshot, cloud: CloudState) -> tuple[Action, ...]:
    connector, decided = cloud.connector, fate(snapshot)
    if connector is None or decided is Fate.UNTOUCHED or not is_ours(snapshot, connector):
        return ()
    if decided is Fate.DELETED:
        return (*our_readers(snapshot, cloud.readers or ()), DeleteConnector(connector.id))
    existing = dict(connector.tags)
    kept = desired_state.without_owner_tags(existing)
    return (RemoveOwnerTags(kept, tuple(sorted(existing.keys() - kept.keys()))),)
