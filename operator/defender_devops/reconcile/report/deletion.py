"""The conditions of a connector that is being deleted."""

from __future__ import annotations

from datetime import datetime

from defender_devops.api.conditions import MESSAGE_MAX_BYTES, Conditions, truncate_message
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.deletion_mode import DeletionMode
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.plan.deletion import is_deletion_blocked
from defender_devops.reconcile.report.condition_result import (
    OPERATOR_FAILURE_REASONS,
    ConditionResult,
    apply_condition_results,
    mark_result,
    result_of_failure,
)

__all__ = ["report_deletion"]

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
    if cause is None or cause.reason in OPERATOR_FAILURE_REASONS or not is_deletion_blocked(assessment, cause):
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
