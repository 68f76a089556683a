"""What Azure DevOps answers to a missing or worn-out token: its sign-in page, with status 203."""

from __future__ import annotations

import uuid

from sandbox.cloud.transport.message import Reply, Request, json_reply

__all__ = ["refuse"]

_PAGE = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>Azure DevOps Services | Sign In</title></head>
<body><h1>Sign in to your account</h1><form method="post" action="/_signin"></form></body></html>
"""


def refuse(request: Request, tenant_id: str | None, why: str) -> Reply:
    """203 with HTML; 401 only where the client suppresses redirects and accepts JSON."""
    headers = {
        "X-TFS-FedAuthRealm": f"{request.base}/",
        "X-VSS-ResourceTenant": tenant_id or str(uuid.UUID(int=0)),
        "WWW-Authenticate": f"Bearer authorization_uri=https://login.microsoftonline.com/{tenant_id or 'common'}",
    }
    suppressed = request.headers.get("X-TFS-FedAuthRedirect", "").lower() == "suppress"
    if suppressed and "application/json" in request.headers.get("Accept", ""):
        body = {"$id": "1", "message": why, "typeKey": "UnauthorizedRequestException", "errorCode": 0}
        return json_reply(body, 401, headers)
    return Reply(203, _PAGE, {"Content-Type": "text/html; charset=utf-8", **headers})
