"""What the API server answers, as bodies and as errors by name. Pure, and the only place where statuses are read."""

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

__all__ = ["UNAUTHORIZED", "Body", "error_from_response", "parse", "request_verb", "resource_name"]

Body = dict[str, Any]

UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_TIMEOUT: Final = 408
_CONFLICT: Final = 409
_GONE: Final = 410
_UNPROCESSABLE: Final = 422
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500

_SENTENCE_MAX: Final = 1000
_TEST_FAILED: Final = "the server rejected our request due to an error in our request"
"""All that a failed `test` of a JSON patch is told; whatever validation or admission refuses has words of its own.
(NewGenericServerResponse in k8s.io/apimachinery, seen with 1.37.)"""


def parse(content: bytes) -> Body:
    """The JSON object of an answer; empty where there is none, as in what a proxy says instead of the server."""
    try:
        parsed = from_json(content or b"{}")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def error_from_response(
    status: int, content: Body, headers: Mapping[str, str], *, json_patch: bool = False
) -> KubernetesError:
    """The error for a status of 400 and above, in the server's own words.

    Args:
        status: HTTP status.
        content: body, a metav1.Status if the API server itself speaks.
        headers: of the answer.
        json_patch: whether the request was one, whose failed `test` is a conflict although its status is 422.
    """
    said = str(content.get("message") or f"HTTP {status}")[:_SENTENCE_MAX]
    if status == _NOT_FOUND:
        return KubernetesNotFound(said, status=status)
    if status == _CONFLICT:
        return KubernetesConflict(said, status=status)
    if json_patch and status == _UNPROCESSABLE and said == _TEST_FAILED:
        return KubernetesConflict("The object has changed since it was read.", status=status)
    if status == UNAUTHORIZED:
        # Nobody's manifest is wrong, and tokens are renewed: worth trying again.
        return KubernetesUnavailable(f"The API server does not take the operator's credentials: {said}", status=status)
    if status in (_TIMEOUT, _GONE, _TOO_MANY) or status >= _SERVER_ERROR:
        return KubernetesUnavailable(said, status=status, retry_after=_retry_after(content, headers))
    return KubernetesRefused(said, status=status)


def _retry_after(content: Body, headers: Mapping[str, str]) -> float | None:
    header = headers.get("Retry-After", "")
    if header.isdecimal():
        return float(header)
    seconds = (content.get("details") or {}).get("retryAfterSeconds")
    return float(seconds) if seconds else None


def resource_name(url: str) -> str:
    """The plural in a path, with its subresource, such as `azuredevopsconnectors/status`: a label of few values."""
    parts = _parts(url)
    return "/".join([parts[0], *parts[2:]]) if parts else "unknown"


def request_verb(method: str, url: str) -> str:
    """The verb as RBAC and audit logs name it."""
    if method == "GET":
        return "get" if len(_parts(url)) > 1 else "list"
    return {"POST": "create", "PUT": "update"}.get(method, method.lower())


def _parts(url: str) -> list[str]:
    """Plural, name and subresource, as far as the path goes."""
    parts = url.partition("?")[0].strip("/").split("/")
    parts = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(parts) > 2 and parts[0] == "namespaces" and parts[2] != "status":  # noqa: PLR2004 - namespaces/<name>/<plural>
        parts = parts[2:]
    return parts
