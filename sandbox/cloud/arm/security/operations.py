"""Long-running operations over HTTP: the signed URL and the response to polling."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.defender.model import Operation
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["accepted_headers", "get"]

RETRY_AFTER = 20.0
"""Retry-After in seconds of inner time; the service sends it even when the operation has finished."""

_EXPIRY_SECONDS = 300.0
_CERTIFICATE = "MII" + secrets.token_urlsafe(1800)[:2397]
_TICKS_AT_EPOCH = 621_355_968_000_000_000


def accepted_headers(call: Call, operation: Operation) -> dict[str, str]:
    """Headers of an accepted operation. The address is absolute, about 3 kB long, and signed; there is no Location."""
    ticks = _TICKS_AT_EPOCH + int(call.world.clock.wall() * 10_000_000)
    signature = f"&t={ticks}&c={_CERTIFICATE}&s={secrets.token_urlsafe(256)}&h={secrets.token_urlsafe(32)}"
    url = f"{call.request.base}{quote(operation.id)}?api-version={operation.api_version}{signature}"
    return {"Azure-AsyncOperation": url, "Retry-After": call.world.clock.retry_after(RETRY_AFTER)}


def _has_expired(call: Call, operation: Operation) -> bool:
    ended_at = operation.ended_at
    expires = call.world.variants.is_chosen("operationResults", "expire")
    return expires and ended_at is not None and call.now >= ended_at + _EXPIRY_SECONDS


def get(call: Call) -> Reply:
    """GET: always 200, with Retry-After even when finished."""
    operation = call.world.operations.get(call.name.lower())
    if operation is None or operation.id.lower() != call.path.id.lower() or _has_expired(call, operation):
        raise ArmError(404, "ResourceNotFound", f"The operation result '{call.name}' was not found.")
    stamp = call.world.clock.stamp
    body: dict[str, Any] = {
        "id": operation.id,
        "name": operation.name,
        "status": operation.status,
        "startTime": stamp(operation.started_at),
    }
    if operation.ended_at is not None:
        body["endTime"] = stamp(operation.ended_at)
    if operation.error is not None:
        body["error"] = operation.error
    return json_reply(body, headers={"Retry-After": call.world.clock.retry_after(RETRY_AFTER)})
