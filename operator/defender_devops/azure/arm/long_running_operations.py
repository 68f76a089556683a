"""Long-running operations: started by a write, looked at later, never waited for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import SecretStr

from defender_devops.azure.arm.client import ArmClient, Call, Reply
from defender_devops.azure.arm.error_mapping import Answer, Asked, error_of_operation, retry_after_of
from defender_devops.errors import AzureError, AzureNotFound

__all__ = ["Operation", "OperationState", "OperationStatus", "operation_of", "operation_status"]

_POLL_DEFAULT: Final = 20.0
"""Seconds; what Microsoft.Security itself names in all its answers."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that Azure has begun.

    Attributes:
        url: where its status is; signed, so never to be shown.
        poll_after: seconds after which to look.
        what: what it does, in words.
        subscription: whose budget a look draws on.
    """

    url: SecretStr
    poll_after: float
    what: str
    subscription: str


class OperationState(StrEnum):
    """Where an operation stands."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    FORGOTTEN = "Forgotten"
    """Azure does not know it any more: the resource itself tells what became of it."""


@dataclass(frozen=True, slots=True)
class OperationStatus:
    """What a look at an operation gave.

    Attributes:
        state: where it stands.
        poll_after: seconds to the next look, while it is running.
        error: why it failed.
    """

    state: OperationState
    poll_after: float = _POLL_DEFAULT
    error: AzureError | None = None


_ENDED: Final = {
    "succeeded": OperationState.SUCCEEDED,
    "failed": OperationState.FAILED,
    "canceled": OperationState.CANCELED,
    "cancelled": OperationState.CANCELED,
}


def operation_of(reply: Reply, call: Call) -> Operation | None:
    """The operation that a write started, or None where it was done at once."""
    if not (url := reply.headers.get("azure-asyncoperation")):
        return None
    return Operation(SecretStr(url), _poll_after(reply), call.what, call.subscription or "")


async def operation_status(arm: ArmClient, operation: Operation) -> OperationStatus:
    """Look at an operation, at Azure Resource Manager's own address only.

    Raises:
        AzureError: it could not be looked at (which says nothing about the operation itself).
        CredentialsError: there is no token.
    """
    call = Call("look at an operation", "GET", subscription=operation.subscription, link=operation.url)
    try:
        reply = await arm.send(call)
    except AzureNotFound:
        return OperationStatus(OperationState.FORGOTTEN)
    # Only these words end it: Accepted, InProgress and words yet to be invented mean that it goes on.
    state = _ENDED.get(str(reply.content.get("status", "")).lower(), OperationState.RUNNING)
    if state in (OperationState.FAILED, OperationState.CANCELED):
        asked = Asked(operation.what, arm.who, operation.subscription)
        return OperationStatus(state, error=error_of_operation(reply.content.get("error"), asked))
    return OperationStatus(state, _poll_after(reply))


def _poll_after(reply: Reply) -> float:
    asked = retry_after_of(Answer(reply.status, reply.headers), now=0.0)
    return _POLL_DEFAULT if asked is None else max(asked, 1.0)
