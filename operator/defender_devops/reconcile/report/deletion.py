"""The conditions of a connector that is being deleted (pure)."""

from __future__ import annotations

from datetime import datetime

from defender_devops.api.conditions import (
    MESSAGE_MAX_BYTES,
    Conditions,
    mark_reconciling,
    mark_stalled,
    set_condition,
    truncate,
)
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.deletion import is_blocked
from defender_devops.reconcile.report.condition_result import OPERATOR_FAILURE_REASONS, condition_of, failed

__all__ = ["report_deletion"]

_UNDER_WAY = {
    DeletionMode.RETAIN: "Azure is left as it is.",
    DeletionMode.ORPHAN: "The connector is let go of and stays in Azure.",
    DeletionMode.DELETE: "The connector is being deleted in Azure.",
}


def report_deletion(snapshot: ConnectorSnapshot, failure: Failure | None, now: datetime) -> Conditions:
    """Deleting, or what blocks it and how to let go all the same.

    Args:
        snapshot: what is known.
        failure: of the step that failed, if one did.
        now: the moment, for transition times.
    """
    conditions, generation = snapshot.connector.status.conditions, snapshot.connector.metadata.generation
    cause = failure or (snapshot.cloud if isinstance(snapshot.cloud, Failure) else None)
    if cause is None or cause.reason in OPERATOR_FAILURE_REASONS or not is_blocked(snapshot, cause):
        words = failure.message if failure is not None else _UNDER_WAY[deletion_mode(snapshot)]
        return mark_reconciling(conditions, reason=Reason.DELETING, message=words, generation=generation, now=now)
    if cause.reason in REASONS[ConditionType.PROVISIONED]:
        provisioned = condition_of(ConditionType.PROVISIONED, failed(cause), generation)
        conditions = set_condition(conditions, provisioned, now)
    mark = mark_stalled if cause.terminal else mark_reconciling
    message = _blocked(snapshot, cause)
    return mark(conditions, reason=Reason.DELETION_BLOCKED, message=message, generation=generation, now=now)


def _blocked(snapshot: ConnectorSnapshot, cause: Failure) -> str:
    """The cause, cut so that the whole of the way out fits in behind it."""
    metadata = snapshot.connector.metadata
    way_out = (
        f" To let go of it and leave it there: kubectl -n {metadata.namespace} patch azuredevopsconnector "
        f"""{metadata.name} --type merge -p '{{"spec":{{"deletionPolicy":"Detach"}}}}'"""
    )
    words = f"The connector cannot be deleted in Azure: {cause.message.rstrip('.')}."
    return truncate(words, MESSAGE_MAX_BYTES - len(way_out.encode())) + way_out
