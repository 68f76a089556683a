"""The plan for a connector that is being deleted."""

from __future__ import annotations

from defender_devops.api.names import FINALIZER
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags
from defender_devops.reconcile.actions.kubernetes import RemoveFinalizer
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.deletion_mode import DeletionMode
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.ownership import without_owner_tags
from defender_devops.reconcile.plan.security_readers import owned_reader_removals

__all__ = ["is_deletion_blocked", "plan_deletion"]

_REPETITIONS = 2
"""Reads that may fail, besides the last one, before a connector that stays in Azure is released with its owner tags."""

_GROUP_NOT_FOUND = "ResourceGroupNotFound"
"""Azure's error code if the resource group, and with it the connector, no longer exists."""


def plan_deletion(assessment: Assessment) -> tuple[Action, ...]:
    """Return steps that end with the removal of the finalizer; no step while it is unknown what has to be deleted."""
    if FINALIZER not in assessment.connector.metadata.finalizers:
        return ()
    azure, mode = assessment.azure, assessment.deletion_mode
    failure = azure.read_failure or assessment.deletion_conflict
    if failure is not None:
        waits = is_deletion_blocked(assessment, failure) or _is_worth_repeating(assessment, failure)
        return () if waits else (RemoveFinalizer(),)
    connector = azure.connector
    if connector is None or mode is DeletionMode.RETAIN or not assessment.is_owned:
        return (RemoveFinalizer(),)
    if mode is DeletionMode.DELETE:
        removals = owned_reader_removals(assessment.connector, azure.readers or ())
        return (*removals, DeleteConnector(connector.id), RemoveFinalizer())
    tags = without_owner_tags(connector.tags)
    return (RemoveOwnerTags(tags, tuple(sorted(connector.tags.keys() - tags.keys()))), RemoveFinalizer())


def is_deletion_blocked(assessment: Assessment, failure: Failure) -> bool:
    """Whether the resource has to stay because of a failure in Azure."""
    return assessment.deletion_mode is DeletionMode.DELETE and failure.code != _GROUP_NOT_FOUND


def _is_worth_repeating(assessment: Assessment, failure: Failure) -> bool:
    """Whether a connector that stays in Azure is read again before the resource is released.

    A few repetitions of a failure that passes: nobody removes the owner tags afterwards.
    """
    is_orphaned = assessment.deletion_mode is DeletionMode.ORPHAN
    return is_orphaned and not failure.terminal and assessment.snapshot.failures < _REPETITIONS
