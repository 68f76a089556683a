"""Errors of the token endpoint, as Entra ID writes them."""

from __future__ import annotations

import uuid

from sandbox.cloud.clock import short_time
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["EntraError"]


class EntraError(Exception):
    """An OAuth error with the AADSTS number that refines it and the HTTP status.

    Args:
        error: OAuth error code, such as `invalid_grant`.
        code: AADSTS number.
        message: description without the AADSTS number.
        status: HTTP status.
        suberror: Entra's refinement (`bad_token`, `consent_required`, …), if any.
        claims: claims challenge of Conditional Access, if any.
    """

    def __init__(
        self,
        error: str,
        code: int,
        message: str,
        *,
        status: int = 400,
        suberror: str | None = None,
        claims: str | None = None,
    ) -> None:
        super().__init__(f"AADSTS{code}: {message}")
        self.error = error
        self.code = code
        self.status = status
        self.suberror = suberror
        self.claims = claims

    def reply(self, authority: str, wall: float) -> Reply:
        """Return the JSON response."""
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        timestamp = short_time(wall).replace("T", " ")
        body = {
            "error": self.error,
            "error_description": f"{self} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}",
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{authority}/error?code={self.code}",
        }
        if self.suberror is not None:
            body["suberror"] = self.suberror
        if self.claims is not None:
            body["claims"] = self.claims
        return json_reply(body, self.status, {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"})
