"""A resource whose body cannot be read (pure): what its status says, and whether it may go.

Such a body was written past a rule of an older CRD, or by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from defender_devops.api.conditions import Condition, Conditions, mark_stalled, set_condition, truncate
from defender_devops.api.connector import ConnectorStatus, DeletionPolicy, InvalidManifest, ManagementPolicy
from defender_devops.api.reasons import ConditionType, Reason

__all__ = ["conditions_of", "invalid_connector_status", "invalid_organization_status", "needs_no_azure_cleanup"]

_MEND_IT = "Mend that, or set spec.deletionPolicy to Detach: what it made in Azure would stay behind unseen."


def invalid_connector_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> dict[str, Any]:
    """The status that says so: Stalled with InvalidSpec and the sentence that names the field.

    All else that the status holds stays as it is, readable or not: the hashes of spent codes are in it.
    """
    generation = body["metadata"].get("generation", 0)
    message = error.message
    if body["metadata"].get("deletionTimestamp") and not needs_no_azure_cleanup(body):
        message = f"It cannot be deleted: {message} {_MEND_IT}"
    provisioned = Condition(
        type=ConditionType.PROVISIONED,
        status="False",
        observed_generation=generation,
        reason=Reason.INVALID_SPEC,
        message=truncate(message),
    )
    conditions = mark_stalled(
        set_condition(conditions_of(body), provisioned, now),
        reason=Reason.INVALID_SPEC,
        message=message,
        generation=generation,
        now=now,
    )
    told = ConnectorStatus(observed_generation=generation, conditions=conditions).dump()
    return {**(body.get("status") or {}), **{key: told[key] for key in ("observedGeneration", "conditions")}}


def invalid_organization_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> dict[str, Any]:
    """The same for a DevOpsOrganization: it decides nothing until it is mended."""
    generation = body["metadata"].get("generation", 0)
    conditions = mark_stalled(
        conditions_of(body), reason=Reason.INVALID_SPEC, message=error.message, generation=generation, now=now
    )
    told = ConnectorStatus(observed_generation=generation, conditions=conditions).dump()
    return {**(body.get("status") or {}), **{key: told[key] for key in ("observedGeneration", "conditions")}}


def needs_no_azure_cleanup(body: Mapping[str, Any]) -> bool:
    """Whether it can go without a word to Azure: its spec wants that, or it never owned anything there."""
    spec, azure = body.get("spec") or {}, (body.get("status") or {}).get("azure") or {}
    created, policy = azure.get("created"), spec.get("deletionPolicy")
    return (
        spec.get("suspend") is True
        or spec.get("managementPolicy") == ManagementPolicy.OBSERVE
        or policy == DeletionPolicy.DETACH
        or created is None
        or (created is False and policy != DeletionPolicy.DELETE)
    )


def conditions_of(body: Mapping[str, Any]) -> Conditions:
    """The conditions that a body holds; broken ones count as none."""
    try:
        conditions = (body.get("status") or {}).get("conditions") or ()
        return ConnectorStatus.model_validate({"conditions": conditions}).conditions
    except ValidationError:
        return ()
