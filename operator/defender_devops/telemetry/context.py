"""The thread that runs through one reconcile: its id and its resource, in every log line and request.

Kept in context variables, so that code at the edge (an HTTP client, an event) reads them without being handed them.
Azure sees the id as `x-ms-client-request-id`: a line of our log and a row of Azure's activity log meet there.
"""

from __future__ import annotations

import uuid

import structlog

__all__ = ["begin_reconcile", "bind_resource", "reconcile_id"]


def begin_reconcile() -> str:
    """Give the current task a new reconcile id, forgetting the resource of an earlier one; returns the id."""
    identifier = str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(reconcile_id=identifier)
    return identifier


def bind_resource(kind: str, namespace: str, name: str) -> None:
    """Name the resource that the current task works for; `security/contoso` is how it reads in the log."""
    structlog.contextvars.bind_contextvars(kind=kind, resource=f"{namespace}/{name}")


def reconcile_id() -> str | None:
    """The id of the reconcile that the caller is part of, or None outside of any."""
    identifier = structlog.contextvars.get_contextvars().get("reconcile_id")
    return None if identifier is None else str(identifier)
