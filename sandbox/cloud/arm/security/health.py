"""Health reports: empty for Azure DevOps connectors, unless a variant says otherwise."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import not_found
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["get", "list_all"]

_TYPE = "Microsoft.Security/healthReports"
_KEY = "2f2d5e0c-6a86-4b3c-9a55-1f0f6f1f9b7e"
_ISSUE = {
    "issueKey": "8a5f8f8e-2f0c-4a5e-8a1b-4c8f0f3c2b11",
    "issueName": "The authorization of the connector is not valid",
    "issueDescription": "Defender for Cloud cannot access Azure DevOps with the authorization of this connector.",
    "remediationSteps": "Authorize the connector again.",
}


def list_all(call: Call) -> Reply:
    """GET the collection.

    Raises:
        ArmError: 404, by variant.
    """
    choice = call.world.variants["healthReports"]
    if choice == "notFound":
        raise not_found(_TYPE, call.path.group)
    return json_reply({"value": [] if choice == "empty" else [_render(call)]})


def get(call: Call) -> Reply:
    """GET one.

    Raises:
        ArmError: 404 ResourceNotFound.
    """
    if call.world.variants["healthReports"] in ("empty", "notFound") or call.name.lower() != _KEY:
        raise not_found(f"{_TYPE}/{call.name}", call.path.group)
    return json_reply(_render(call))


def _render(call: Call) -> dict[str, Any]:
    is_healthy = call.world.variants.is_chosen("healthReports", "healthy")
    properties = {
        "status": {"code": "Healthy" if is_healthy else "NotHealthy"},
        "issues": [] if is_healthy else [_ISSUE],
    }
    identifier = f"{call.path.scope}/providers/{_TYPE}/{_KEY}"
    return {"id": identifier, "name": _KEY, "type": _TYPE, "properties": properties}
