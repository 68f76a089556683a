"""Long-running operations: duration, effect at the end, outcomes set by tests."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cloud.defender.model import Operation
from sandbox.cloud.faults import OperationFault
from sandbox.cloud.world.world import World

__all__ = [
    "CREATE",
    "DELETE",
    "FAILED_CREATE",
    "SLOW_CREATE",
    "UPDATE",
    "UPDATE_CHILD",
    "Failure",
    "Timing",
    "start_operation",
]

Timing = tuple[float, float]

_SWEEP_EVERY = 1024
_DAY = 86400.0

FAILED_CREATE: Timing = (2.0, 16.0)
UPDATE: Timing = (4.0, 33.0)
DELETE: Timing = (7.0, 9.0)
UPDATE_CHILD: Timing = (14.0, 43.0)
SLOW_CREATE: Timing = (600.0, 660.0)
CREATE: Timing = (6.0, 33.0)
"""Seconds of inner time from and to; all recorded but those of a successful create, of which none was ever recorded."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a failed operation."""

    code: str
    message: str


def start_operation(
    world: World,
    parent_id: str,
    timing: Timing,
    finish: Callable[[float], Failure | None],
    *,
    api_version: str,
    fault: OperationFault | None = None,
    fail: Callable[[float, Failure], None] | None = None,
) -> Operation:
    """Start an operation.

    Args:
        world: the simulated world.
        parent_id: id of `devops/default`, in the spelling of the request.
        timing: range of the duration in seconds.
        finish: applies the effect at the end; returns the failure, or None.
        api_version: api-version in its URL.
        fault: outcome set by a test; `finish` is called only if it is `succeeded`.
        fail: called when a fault lets it fail, to update the resource.

    Returns:
        The operation, in status Accepted.
    """
    name = str(uuid.UUID(int=world.rng.getrandbits(128), version=4))
    now = world.clock.now()
    operation = Operation(f"{parent_id}/operationResults/{name}", name, api_version, now)
    if len(world.operations) % _SWEEP_EVERY == _SWEEP_EVERY - 1:  # drop those that ended a day ago
        world.operations = {
            key: value
            for key, value in world.operations.items()
            if value.ended_at is None or value.ended_at > now - _DAY
        }
    world.operations[name] = operation
    seconds = world.rng.uniform(*timing) if fault is None or fault.seconds is None else fault.seconds
    # No timer: the operation stays Accepted.
    if fault is not None and fault.outcome == "never":
        return operation
    operation.ends_at = now + seconds

    def end(moment: float) -> None:
        _end(operation, moment, finish, fault, fail)
        world.record_change(parent_id.lower().removesuffix("/devops/default"), moment)

    world.timers.at(operation.ends_at, end)
    return operation


def _end(
    operation: Operation,
    moment: float,
    finish: Callable[[float], Failure | None],
    fault: OperationFault | None,
    fail: Callable[[float, Failure], None] | None,
) -> None:
    operation.ended_at = moment
    if fault is None or fault.outcome == "succeeded":
        failure = finish(moment)
    else:
        failure = Failure(fault.code, fault.message)
        if fail is not None:
            fail(moment, failure)
    if failure is None:
        operation.status = "Succeeded"
        return
    operation.status = "Canceled" if fault is not None and fault.outcome == "canceled" else "Failed"
    operation.error = {"code": failure.code, "message": failure.message}
