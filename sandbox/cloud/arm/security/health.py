"""Health reports: the type exists, but is empty for Azure DevOps connectors."""

from __future__ import annotations

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import not_found
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["get", "list_empty"]


def list_empty(call: Call) -> Reply:
    """GET the collection: empty."""
    del call
    return json_reply({"value": []})


def get(call: Call) -> Reply:
    """GET: always 404.

    Raises:
        ArmError: 404 ResourceNotFound.
    """
    raise not_found(f"Microsoft.Security/healthReports/{call.name}", call.path.group)
