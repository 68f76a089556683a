"""The conditions of a connector that is being deleted."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from defender_devops.api.conditions import MESSAGE_MAX_BYTES, Conditions, truncate_message
from defender_devops.api.names import TAG_OWNER, TAG_RESOURCE
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.azure import DeleteConnector, RemoveOwnerTags
from defender_devops.reconcile.actions.kubernetes import RemoveFinalizer
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.deletion_mode import DeletionMode
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.ownership import was_owned_before
from defender_devops.reconcile.plan.deletion import is_deletion_blocked
from defender_devops.reconcile.report.condition_result import (
    OPERATOR_FAILURE_REASONS,
    ConditionResult,
    apply_condition_results,
    mark_result,
    result_of_failure,
)

__all__ = ["remaining_owner_tags", "report_deletion"]

_CAUSE_MAX_BYTES = 300

_PROGRESS = {
    DeletionMode.RETAIN: "The resource is being deleted; Azure is not changed.",
    DeletionMode.ORPHAN: "The resource is being deleted; the connector stays in Azure.",
    DeletionMode.DELETE: "The connector is being deleted in Azure.",
}


def report_deletion(assessment: Assessment, failure: Failure | None, now: datetime) -> Conditions:
    """Return the conditions: Deleting, or what blocks the deletion and how to release the connector anyway.

    Args:
        assessment: of the snapshot after the steps.
        failure: of the step that failed, if one did.
        now: transition time of conditions whose status changes.
    """
    connector = assessment.connector
    conditions, generation = connector.status.conditions, connector.metadata.generation
    cause = failure or assessment.azure.read_failure or assessment.deletion_conflict
    is_progress = cause is not None and cause.reason in OPERATOR_FAILURE_REASONS | {Reason.DELETING}
    if cause is None or is_progress or not is_deletion_blocked(assessment, cause):
        message = failure.message if failure is not None else _PROGRESS[assessment.deletion_mode]
        return mark_result(conditions, ConditionResult("False", Reason.DELETING, message), generation, now)
    if cause.reason in REASONS[ConditionType.PROVISIONED]:
        conditions = apply_condition_results(
            conditions, {ConditionType.PROVISIONED: result_of_failure(cause)}, generation, now
        )
    instructions = (
        f" To delete only the resource and keep the connector in Azure: kubectl -n {connector.metadata.namespace} "
        f"patch azuredevopsconnector {connector.metadata.name} --type merge "
        """-p '{"spec":{"deletionPolicy":"Detach"}}'"""
    )
    # The cause is cut, so that the whole command fits after it.
    problem = f"The connector cannot be deleted in Azure: {cause.message.rstrip('.')}."
    if cause.reason == Reason.CREDENTIALS_MISSING:
        # The operator may not read namespaces, so it does not know whether a Secret can still be created in this one.
        problem = (
            "The connector cannot be deleted in Azure. If the namespace is being deleted, no Secret can be created in "
            "it: run the command at the end, which leaves the connector in Azure, and without credentials its owner "
            f"tags too. Otherwise: {cause.message.rstrip('.')}."
        )
    message = truncate_message(problem, MESSAGE_MAX_BYTES - len(instructions.encode())) + instructions
    blocked = ConditionResult("False", Reason.DELETION_BLOCKED, message, needs_user_action=cause.terminal)
    return mark_result(conditions, blocked, generation, now)


def remaining_owner_tags(assessment: Assessment, applied: Collection[Action]) -> str | None:
    """Return a message if the connector stays in Azure with the owner tags of a resource that is now deleted.

    Another cluster's resource does not adopt it because of them, so the message has the command that removes them.

    Args:
        assessment: of the snapshot before the last steps.
        applied: the steps that succeeded.
    """
    types = {type(action) for action in applied}
    azure, mode = assessment.azure, assessment.deletion_mode
    if RemoveFinalizer not in types or types & {RemoveOwnerTags, DeleteConnector}:
        return None
    failure = azure.read_failure
    is_read = mode is not DeletionMode.RETAIN and failure is None
    if not (assessment.is_owned if is_read else was_owned_before(assessment.snapshot)):
        return None
    cause = "spec.suspend and managementPolicy Observe change nothing in Azure"
    if mode is not DeletionMode.RETAIN:
        # Cut, so that the whole command fits after it.
        cause = (
            truncate_message(failure.message.rstrip("."), _CAUSE_MAX_BYTES)
            if failure
            else "Azure refused or did not answer"
        )
    snapshot = assessment.snapshot
    metadata = snapshot.connector.metadata
    return (
        f"The connector stays in Azure with its owner tags, which were not removed: {cause}. Remove them so that "
        f"another installation can adopt it: az tag update --operation Delete --resource-id "
        f"{snapshot.connector.connector_ref.id} --tags {TAG_OWNER}={snapshot.owner} "
        f"{TAG_RESOURCE}={metadata.namespace}/{metadata.name}"
    )
