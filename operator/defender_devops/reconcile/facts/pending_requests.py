"""Keys and values of `AzureState.pending_requests`: changes that Azure accepted and may not have carried out yet."""

from __future__ import annotations

__all__ = ["annotations_request_key", "pending_request_value"]


def annotations_request_key(organization: str) -> str:
    """Return the key in `AzureState.pending_requests` for the annotations of an organization."""
    return f"annotations/{organization.lower()}"


def pending_request_value(value: object) -> str:
    """Return the text by which `AzureState.pending_requests` compares requests: equal for equal requests."""
    if isinstance(value, tuple):
        return ",".join(sorted(str(item).lower() for item in value))
    return repr(value)
