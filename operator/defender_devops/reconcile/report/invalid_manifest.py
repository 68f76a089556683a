"""The status of a resource that cannot be parsed, and whether its deletion can be completed.

Such a resource was stored under an older CRD without one of today's rules, or while the CRD's rules were disabled.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from defender_devops.api.conditions import conditions_of_body
from defender_devops.api.connector import ConnectorStatus, InvalidManifest
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.errors import OperatorError
from defender_devops.reconcile.facts.deletion_mode import needs_no_azure_cleanup
from defender_devops.reconcile.report.condition_result import ConditionResult, apply_condition_results, mark_result

__all__ = ["failed_status", "internal_error_status", "invalid_connector_status", "invalid_organization_status"]


def invalid_connector_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> dict[str, Any]:
    """Return the status: Stalled with InvalidSpec and the sentence that names the field.

    Every other field of the status stays as it is, valid or not: it contains the hashes of used codes.
    """
    message = error.message
    if body["metadata"].get("deletionTimestamp") and not needs_no_azure_cleanup(body):
        message = (
            f"The resource cannot be deleted: {message} Correct the field, or set spec.deletionPolicy to Detach: what "
            "the operator created in Azure then stays there, unmanaged."
        )
    return _invalid_status(body, message, now, is_connector=True)


def invalid_organization_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> dict[str, Any]:
    """Return the same for a DevOpsOrganization, which has no effect until it is fixed."""
    return _invalid_status(body, error.message, now, is_connector=False)


def internal_error_status(body: Mapping[str, Any], error: Exception, now: datetime) -> dict[str, Any]:
    """Return the status of a resource of either kind whose reconcile raised an unexpected exception.

    The message has only the type of the exception: its text could contain anything.
    """
    message = (
        f"An unexpected error occurred ({type(error).__name__}); the operator retries. This is a bug in the operator: "
        "please report it with the traceback in its log."
    )
    return _with_ready(body, (), ConditionResult("False", Reason.INTERNAL_ERROR, message), now)


def failed_status(body: Mapping[str, Any], error: OperatorError, now: datetime) -> dict[str, Any]:
    """Return the status of a connector whose reconcile a refusal of the API server ended: Stalled with its message."""
    result = ConditionResult("False", Reason(error.reason), error.message, needs_user_action=error.terminal)
    return _with_ready(body, (), result, now)


def _invalid_status(body: Mapping[str, Any], message: str, now: datetime, *, is_connector: bool) -> dict[str, Any]:
    result = ConditionResult("False", Reason.INVALID_SPEC, message, needs_user_action=True)
    return _with_ready(body, (ConditionType.PROVISIONED,) if is_connector else (), result, now)


def _with_ready(
    body: Mapping[str, Any], types: tuple[ConditionType, ...], result: ConditionResult, now: datetime
) -> dict[str, Any]:
    """Return the status with a result in Ready and in other conditions; all other fields stay."""
    generation = body["metadata"].get("generation", 0)
    conditions = apply_condition_results(conditions_of_body(body), dict.fromkeys(types, result), generation, now)
    conditions = mark_result(conditions, result, generation, now)
    status = ConnectorStatus(observed_generation=generation, conditions=conditions).dump()
    return {**(body.get("status") or {}), **{field: status[field] for field in ("observedGeneration", "conditions")}}
