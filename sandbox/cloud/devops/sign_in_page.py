"""The response of Azure DevOps to a missing or expired token: its sign-in page, usually with status 203."""

from __future__ import annotations

import uuid
from urllib.parse import quote

from sandbox.cloud.transport.message import Reply, Request, json_reply

__all__ = ["page", "refuse"]

_PAGE = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>Azure DevOps Services | Sign In</title></head>
<body><h1>Sign in to your account</h1><form method="post" action="/_signin"></form></body></html>
"""


def page() -> Reply:
    """Return the sign-in page: 200."""
    return Reply(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"})


def refuse(request: Request, tenant_id: str | None) -> Reply:
    """Return 203 with HTML; 401 if the client suppresses redirects and accepts JSON; 302 for a browser."""
    challenge = (
        "Bearer" if tenant_id is None else f"Bearer authorization_uri=https://login.microsoftonline.com/{tenant_id}"
    )
    headers = {
        "X-TFS-FedAuthRealm": f"{request.base}/",
        "X-TFS-FedAuthIssuer": f"{request.base}/_signin",
        "X-VSS-ResourceTenant": tenant_id or str(uuid.UUID(int=0)),
        "WWW-Authenticate": f'{challenge}, Basic realm="{request.base}/", TFS-Federated',
        "Cache-Control": "no-cache, no-store, must-revalidate",
    }
    accepted = request.headers.get("Accept", "")
    suppressed = request.headers.get("X-TFS-FedAuthRedirect", "").lower() == "suppress"
    # Without this header even API clients get the page, with a status of success.
    if suppressed and "application/json" in accepted:
        message = "TF400813: The user '' is not authorized to access this resource."
        body = {"$id": "1", "message": message, "typeKey": "UnauthorizedRequestException", "errorCode": 0}
        return json_reply(body, 401, headers)
    if "text/html" in accepted and "Authorization" not in request.headers:
        reply_to = quote(request.base + request.path, safe="")
        return Reply(
            302, headers={**headers, "Location": f"{request.base}/_signin?realm=dev.azure.com&reply_to={reply_to}"}
        )
    return Reply(203, _PAGE, {"Content-Type": "text/html; charset=utf-8", **headers})
