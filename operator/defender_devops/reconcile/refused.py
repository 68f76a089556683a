"""The status of a resource whose spec cannot be read (pure): written by an older CRD, or past a rule it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from defender_devops.api.conditions import Condition, mark_stalled, set_condition
from defender_devops.api.connector import ConnectorStatus, InvalidManifest
from defender_devops.api.reasons import ConditionType, Reason

__all__ = ["refused_status", "status_of"]


def refused_status(body: Mapping[str, Any], error: InvalidManifest, now: datetime) -> ConnectorStatus:
    """Stalled with InvalidSpec and the sentence that names the field; all else that was known stays."""
    status, generation = status_of(body), body["metadata"].get("generation", 0)
    provisioned = Condition(
        type=ConditionType.PROVISIONED,
        status="False",
        observed_generation=generation,
        reason=Reason.INVALID_SPEC,
        message=error.message,
    )
    conditions = mark_stalled(
        set_condition(status.conditions, provisioned, now),
        reason=Reason.INVALID_SPEC,
        message=error.message,
        generation=generation,
        now=now,
    )
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def status_of(body: Mapping[str, Any]) -> ConnectorStatus:
    """The status that a body holds; one that somebody has broken counts as none, and is written anew."""
    try:
        return ConnectorStatus.model_validate(body.get("status") or {})
    except ValidationError:
        return ConnectorStatus()
