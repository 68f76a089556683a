"""`AzureState.pending_requests`: changes that Azure accepted, and may not have carried out, or may not return yet."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

__all__ = [
    "TAGS_REQUEST_KEY",
    "PendingRequest",
    "annotations_request_key",
    "assignment_request_key",
    "is_completed_by_its_answer",
    "pending_request_value",
]

TAGS_REQUEST_KEY: Final = "tags"
_ASSIGNMENT_PREFIX: Final = "assignments/"


class PendingRequest(NamedTuple):
    """The last request of one key.

    Attributes:
        value: what was requested, as `pending_request_value` returns it.
        requested_at: when.
        attempts: how often the same value was requested in a row.
    """

    value: str
    requested_at: datetime
    attempts: int = 1


def annotations_request_key(organization: str) -> str:
    """Return the key for the annotations of an organization."""
    return f"annotations/{organization.lower()}"


def assignment_request_key(name: str) -> str:
    """Return the key for a role assignment with this name."""
    return f"{_ASSIGNMENT_PREFIX}{name.lower()}"


def is_completed_by_its_answer(key: str) -> bool:
    """Whether Azure has carried a request out as soon as it has answered; reads may still return the state before."""
    return key == TAGS_REQUEST_KEY or key.startswith(_ASSIGNMENT_PREFIX)


def pending_request_value(value: object) -> str:
    """Return the text by which requests are compared: equal for equal requests."""
    if isinstance(value, tuple):
        return ",".join(sorted(str(item).lower() for item in value))
    return repr(value)
