"""Responses of the API server: bodies, and the error class of each HTTP status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from defender_devops.errors import (
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
)

__all__ = ["UNAUTHORIZED", "Body", "kubernetes_error", "parse_error_body", "rbac_verb", "resource_name"]

Body = dict[str, Any]

UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_TIMEOUT: Final = 408
_CONFLICT: Final = 409
_GONE: Final = 410
_UNPROCESSABLE: Final = 422
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500

_MESSAGE_MAX_LENGTH: Final = 1000
_TEST_FAILED: Final = "the server rejected our request due to an error in our request"
"""Message of a failed `test` of a JSON patch. Failed validation or admission has the same status 422 and a message of
its own. (NewGenericServerResponse in k8s.io/apimachinery; observed with Kubernetes 1.37.)"""


def parse_error_body(content: bytes) -> Body:
    """Return the JSON object of a response, or an empty one for anything else, such as a proxy's error page."""
    try:
        parsed = from_json(content or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def kubernetes_error(
    status: int, content: Body, headers: Mapping[str, str], *, json_patch: bool = False
) -> KubernetesError:
    """Return the error for a status of 400 and above, with the server's message.

    Args:
        status: HTTP status.
        content: response body; a metav1.Status if the API server itself responded.
        headers: response headers.
        json_patch: whether the request was a JSON patch, whose failed `test` is a conflict although its status is 422.
    """
    message = str(content.get("message") or f"HTTP {status}")[:_MESSAGE_MAX_LENGTH]
    if status == _NOT_FOUND:
        return KubernetesNotFound(message, status=status)
    if status == _CONFLICT:
        return KubernetesConflict(message, status=status)
    if json_patch and status == _UNPROCESSABLE and message == _TEST_FAILED:
        return KubernetesConflict("The object has changed since it was read.", status=status)
    if status == UNAUTHORIZED:
        # Not an error of a manifest, and tokens are renewed: worth another attempt.
        return KubernetesUnavailable(f"The API server rejected the operator's credentials: {message}", status=status)
    if status in (_TIMEOUT, _GONE, _TOO_MANY_REQUESTS) or status >= _SERVER_ERROR:
        header = headers.get("Retry-After", "")
        seconds = header if header.isdecimal() else (content.get("details") or {}).get("retryAfterSeconds")
        return KubernetesUnavailable(message, status=status, retry_after=float(seconds) if seconds else None)
    return KubernetesRefused(message, status=status)


def resource_name(url: str) -> str:
    """Return the plural in a path with its subresource, such as `azuredevopsconnectors/status`: a metric label."""
    parts = _path_parts(url)
    return "/".join([parts[0], *parts[2:]]) if parts else "unknown"


def rbac_verb(method: str, url: str) -> str:
    """Return the verb of a request as RBAC and audit logs name it."""
    if method == "GET":
        return "get" if len(_path_parts(url)) > 1 else "list"
    return {"POST": "create", "PUT": "update"}.get(method, method.lower())


def _path_parts(url: str) -> list[str]:
    """Return plural, name and subresource, as far as the path contains them."""
    parts = url.partition("?")[0].strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(parts) > 2 and parts[0] == "namespaces" and parts[2] != "status":  # noqa: PLR2004 - namespaces/<name>/<plural>
        parts = parts[2:]
    return parts
