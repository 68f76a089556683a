"""Responses of the API server: bodies, and the error class of each HTTP status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from defender_devops.errors import (
    WILL_RETRY,
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
)

__all__ = [
    "UNAUTHORIZED",
    "Body",
    "kubernetes_error",
    "parse_error_body",
    "parse_object",
    "rbac_verb",
    "require_list",
    "require_object",
    "resource_name",
]

Body = dict[str, Any]

UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_TIMEOUT: Final = 408
_CONFLICT: Final = 409
_GONE: Final = 410
_UNPROCESSABLE: Final = 422
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500

_BUSY: Final = frozenset({_TIMEOUT, _GONE, _TOO_MANY_REQUESTS})
_STORED: Final = ("name", "uid", "resourceVersion")
"""Fields of metadata that every stored object has."""

_CHECK_PROXIES: Final = f"{WILL_RETRY} If the problem persists, check the proxies between the operator and the cluster."
_RETRY_AFTER_MAX: Final = 3600.0
"""Seconds that the server can make the operator wait; a longer delay is a mistake of it or of a proxy."""

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


def parse_object(content: bytes, status: int) -> Body:
    """Return the JSON object of a successful response.

    Raises:
        KubernetesUnavailable: it is anything else, so a proxy or a failing server sent it.
    """
    try:
        parsed = from_json(content)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise KubernetesUnavailable(
            f"The response of the Kubernetes API server is not an object (HTTP {status}). {_CHECK_PROXIES}",
            status=status,
        )
    return parsed


def require_object(body: Body, kind: str, name: str | None = None) -> Body:
    """Return an object that the API server has stored, as it returned it.

    Args:
        body: response to a read or a write.
        kind: kind that it must have.
        name: name that it must have; None for any.

    Raises:
        KubernetesUnavailable: it is not such an object, so nothing follows from it.
    """
    metadata = body.get("metadata")
    is_valid = (
        body.get("kind") == kind
        and isinstance(body.get("apiVersion"), str)
        and isinstance(metadata, dict)
        and all(isinstance(metadata.get(field), str) and metadata[field] for field in _STORED)
        and name in {None, metadata["name"]}
        and isinstance(body.get("spec", {}), dict)
    )
    if not is_valid:
        raise KubernetesUnavailable(
            f"The response of the Kubernetes API server is not the requested {kind}. {_CHECK_PROXIES}"
        )
    return body


def require_list(page: Body) -> Body:
    """Return one page of a list.

    Raises:
        KubernetesUnavailable: it is not a page, so nothing follows from it.
    """
    metadata, items, kind = page.get("metadata"), page.get("items"), page.get("kind")
    is_valid = (
        isinstance(metadata, dict)
        and isinstance(metadata.get("continue"), str | None)
        and isinstance(kind, str)
        and kind.endswith("List")
        and isinstance(page.get("apiVersion"), str)
        and isinstance(items, list | None)
        and all(isinstance(item, dict) and isinstance(item.get("metadata"), dict) for item in items or ())
    )
    if not is_valid:
        raise KubernetesUnavailable(f"The response of the Kubernetes API server is not a list. {_CHECK_PROXIES}")
    return page


def kubernetes_error(
    status: int, content: Body, headers: Mapping[str, str], *, json_patch: bool = False, is_list: bool = False
) -> KubernetesError:
    """Return the error for a status of 300 and above, with the server's message.

    Args:
        status: HTTP status.
        content: response body; a metav1.Status if the API server itself responded.
        headers: response headers.
        json_patch: whether the request was a JSON patch, whose failed `test` is a conflict although its status is 422.
        is_list: whether a collection was requested; one of a kind that does not exist has no Status in its response.
    """
    message = str(content.get("message") or f"HTTP {status}")[:_MESSAGE_MAX_LENGTH]
    is_of_server = content.get("kind") == "Status" or (is_list and status == _NOT_FOUND)
    if status < _SERVER_ERROR and status not in _BUSY and status != UNAUTHORIZED and not is_of_server:
        return KubernetesUnavailable(
            f"The response to a request to the Kubernetes API server is not its own: {message}. {_CHECK_PROXIES}",
            status=status,
        )
    if json_patch and status == _UNPROCESSABLE and message == _TEST_FAILED:
        return KubernetesConflict("The object has changed since it was read.", status=status)
    if status == UNAUTHORIZED:
        # Not an error of a manifest, and tokens are renewed: worth another attempt.
        return KubernetesUnavailable(f"The API server rejected the operator's credentials: {message}", status=status)
    if status in _BUSY or status >= _SERVER_ERROR:
        return KubernetesUnavailable(message, status=status, retry_after=_retry_after(content, headers))
    error = {_NOT_FOUND: KubernetesNotFound, _CONFLICT: KubernetesConflict}.get(status, KubernetesRefused)
    return error(message, status=status)


def _retry_after(content: Body, headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server demands to wait, at most an hour; None where it names none."""
    header, details = headers.get("Retry-After", ""), content.get("details")
    named = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    text = header if header.isdecimal() else str(named)
    return min(float(text), _RETRY_AFTER_MAX) or None if text.isdecimal() else None


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
