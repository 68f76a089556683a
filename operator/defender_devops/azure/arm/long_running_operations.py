"""Long-running operations: a write starts one, and later reconciles see its result in the resource itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from defender_devops.azure.arm.client import ArmRequest, ArmResponse
from defender_devops.azure.arm.error_mapping import HttpResponse, arm_retry_after_seconds

__all__ = ["Operation", "started_operation"]

_DEFAULT_POLL_DELAY: Final = 20.0
"""Seconds; Microsoft.Security itself sends this Retry-After in all its responses."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that Azure has started.

    Attributes:
        poll_after: seconds after which to read the resource again.
        name: the request that started it, such as `create connector`.
    """

    poll_after: float
    name: str


def started_operation(request: ArmRequest, response: ArmResponse) -> Operation | None:
    """Return the operation that a write started, or None where it has completed already."""
    if not response.headers.get("azure-asyncoperation"):
        return None
    retry_after = arm_retry_after_seconds(HttpResponse(response.status, response.headers), now=0.0)
    return Operation(_DEFAULT_POLL_DELAY if retry_after is None else max(retry_after, 1.0), request.operation)
