"""Correlation of one reconcile: its id and its resource, in every log line and request.

Both are context variables, so that code far below (an HTTP client, an event) reads them without having them passed.
Azure receives the id as `x-ms-client-request-id`, which correlates our log with Azure's activity log.
"""

from __future__ import annotations

import uuid

import structlog

__all__ = ["begin_reconcile", "bind_resource", "reconcile_id"]


def begin_reconcile() -> str:
    """Give the current task a new reconcile id, without the resource of an earlier one, and return the id."""
    identifier = str(uuid.uuid4())
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(reconcile_id=identifier)
    return identifier


def bind_resource(kind: str, namespace: str, name: str) -> None:
    """Set the resource that the current task works for; the log shows it as `security/contoso`."""
    structlog.contextvars.bind_contextvars(kind=kind, resource=f"{namespace}/{name}")


def reconcile_id() -> str | None:
    """Return the id of the reconcile that the caller is part of, or None outside of a reconcile."""
    identifier = structlog.contextvars.get_contextvars().get("reconcile_id")
    return None if identifier is None else str(identifier)
