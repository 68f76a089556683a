"""How a connector goes: what is left in Azure, what is taken down, what blocks it (pure)."""

from __future__ import annotations

from defender_devops.api.names import FINALIZER
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags
from defender_devops.reconcile.actions.kubernetes import RemoveFinalizer
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.ownership import is_owned
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.security_readers import owned_reader_removals

__all__ = ["is_blocked", "plan_deletion"]

_GROUP_NOT_FOUND = "ResourceGroupNotFound"
"""Azure's code where the resource group is gone, and everything in it."""


def plan_deletion(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """Steps that end with the finalizer's removal; none where Azure must be asked first and cannot be."""
    if FINALIZER not in snapshot.connector.metadata.finalizers:
        return ()
    cloud = snapshot.cloud
    if isinstance(cloud, AzureState):
        return (*_azure(snapshot, cloud), RemoveFinalizer())
    return () if is_blocked(snapshot, cloud) else (RemoveFinalizer(),)


def is_blocked(snapshot: ConnectorSnapshot, failure: Failure) -> bool:
    """Whether the resource has to stay because of a failure in Azure."""
    return deletion_mode(snapshot) is DeletionMode.DELETE and failure.code != _GROUP_NOT_FOUND


def _azure(snapshot: ConnectorSnapshot, cloud: AzureState) -> tuple[Action, ...]:
    connector, decided = cloud.connector, deletion_mode(snapshot)
    if connector is None or decided is DeletionMode.RETAIN or not is_owned(snapshot, connector):
        return ()
    if decided is DeletionMode.DELETE:
        return (*owned_reader_removals(snapshot, cloud.readers or ()), DeleteConnector(connector.id))
    existing = dict(connector.tags)
    kept = desired_state.without_owner_tags(existing)
    return (RemoveOwnerTags(kept, tuple(sorted(existing.keys() - kept.keys()))),)
