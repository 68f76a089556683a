"""Parsing of error bodies, in all shapes that Azure uses.

Azure Resource Manager's own is `{"error": {code, message, target, details[], additionalInfo[]}}`
(https://learn.microsoft.com/azure/azure-resource-manager/management/common-deployment-errors). Security connectors
respond with `{"statusCode", "errorMessage", "errorCorrelation"}`, some providers omit `error`, gateways and proxies
send nothing or an HTML page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from defender_devops.telemetry.redaction import without_tokens

__all__ = ["ErrorDetail", "clean", "error_detail", "parse_error"]

_MESSAGE_MAX = 600
_DEPTH_MAX = 4

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_TOKENS = re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]*)*")
_PARAMETERS = re.compile(r"([?&][\w.%-]{1,40}=)[^&\s'\"]{12,}")
# The ids of a request differ each time: with them in the message, a condition would change with every attempt.
_REQUEST_IDS = re.compile(
    r"[\s,.;(]*\b(?:activity|correlation|tracking|request|client request)[ -]?id\b['\":=\s]*"
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}['\")]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One error of a body.

    Attributes:
        code: the service's own code; empty where it has none.
        message: the service's own message, safe to publish.
        target: the field or resource that the error refers to.
        details: nested errors.
        policies: `info` of each PolicyViolation that belongs to this error.
        is_html: the body was an HTML page, so it may come from a proxy instead of Azure.
    """

    code: str = ""
    message: str = ""
    target: str = ""
    details: tuple[ErrorDetail, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = field(default=())
    is_html: bool = False

    def walk(self) -> Iterator[ErrorDetail]:
        """Yield this error and all nested ones."""
        yield self
        for detail in self.details:
            yield from detail.walk()


def parse_error(body: bytes) -> ErrorDetail:
    """Parse a body. One without an error gives an empty detail, never an exception."""
    text = body.decode("utf-8", errors="replace").strip()
    if not text:
        return ErrorDetail()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorDetail(is_html=True) if text.startswith("<") else ErrorDetail(message=clean(text))
    if not isinstance(content, dict):
        return ErrorDetail(message=clean(str(content)))
    error = content.get("error")
    if isinstance(error, str):  # the shape of OAuth
        return ErrorDetail(code=error, message=clean(str(content.get("error_description") or "")))
    return error_detail(error if isinstance(error, dict) else content)


def error_detail(error: Mapping[str, Any], depth: int = _DEPTH_MAX) -> ErrorDetail:
    """Parse one error object, with at most `depth` levels of nested errors."""
    message = error.get("message") or error.get("errorMessage") or error.get("Message") or ""
    violations = (
        info["info"]
        for info in _mappings(error.get("additionalInfo"))
        if str(info.get("type", "")).lower() == "policyviolation" and isinstance(info.get("info"), dict)
    )
    return ErrorDetail(
        code=clean(str(error.get("code") or error.get("Code") or "")),
        message=clean(message if isinstance(message, str) else json.dumps(message)),
        target=clean(str(error.get("target") or "")),
        details=tuple(error_detail(detail, depth - 1) for detail in _mappings(error.get("details")) if depth > 0),
        policies=tuple(violations),
    )


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))


def clean(text: str) -> str:
    """Make a service's message safe to publish: one line, bounded, without tokens, signatures and request ids."""
    if not text:  # nearly always, because nothing is wrong
        return text
    text = _CONTROL.sub(" ", text[: 4 * _MESSAGE_MAX])
    text = without_tokens(_PARAMETERS.sub(r"\1…", _TOKENS.sub("…", text)))
    text = _REQUEST_IDS.sub("", text).strip()
    return text if len(text) <= _MESSAGE_MAX else text[: _MESSAGE_MAX - 1] + "…"
