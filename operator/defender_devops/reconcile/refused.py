"""The status of a resource whose body cannot be read (pure): written past a rule of an older CRD, or by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from defender_devops.api.conditions import Condition, Conditions, cut, mark_stalled, set_condition
from defender_devops.api.connector import ConnectorStatus, InvalidManifest
from defender_devops.api.reasons import ConditionType, Reason

__all__ = ["conditions_of", "refused_status"]


def refused_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> dict[str, Any]:
    """The status that says so: Stalled with InvalidSpec and the sentence that names the field.

    All else that the status holds stays as it is, readable or not: the hashes of spent codes are in it.
    """
    generation = body["metadata"].get("generation", 0)
    provisioned = Condition(
        type=ConditionType.PROVISIONED,
        status="False",
        observed_generation=generation,
        reason=Reason.INVALID_SPEC,
        message=cut(error.message),
    )
    conditions = mark_stalled(
        set_condition(conditions_of(body), provisioned, now),
        reason=Reason.INVALID_SPEC,
        message=error.message,
        generation=generation,
        now=now,
    )
    told = ConnectorStatus(observed_generation=generation, conditions=conditions).dump()
    return {**(body.get("status") or {}), **{key: told[key] for key in ("observedGeneration", "conditions")}}


def conditions_of(body: Mapping[str, Any]) -> Conditions:
    """The conditions that a body holds; broken ones count as none."""
    try:
        conditions = (body.get("status") or {}).get("conditions") or ()
        return ConnectorStatus.model_validate({"conditions": conditions}).conditions
    except ValidationError:
        return ()
