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
from dataclasses import dataclass, field, replace
from typing import Any

from defender_devops.telemetry.redaction import without_tokens

__all__ = ["ErrorDetail", "clean_error_text", "describe_arm_error", "parse_error"]

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
        is_azure: the body has the shape of an error of Azure: a code, or a message of Microsoft.Security.
        depth: level of nesting, 0 for the outermost error.
    """

    code: str = ""
    message: str = ""
    target: str = ""
    details: tuple[ErrorDetail, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = field(default=())
    is_html: bool = False
    is_azure: bool = False
    depth: int = 0

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
        return ErrorDetail(is_html=True) if text.startswith("<") else ErrorDetail(message=clean_error_text(text))
    if not isinstance(content, dict):
        return ErrorDetail(message=clean_error_text(str(content)))
    error = content.get("error")
    if isinstance(error, str):  # the shape of OAuth
        message = clean_error_text(str(content.get("error_description") or ""))
        return ErrorDetail(code=error, message=message, is_azure="error_description" in content)
    detail = _error_detail(error if isinstance(error, dict) else content)
    is_azure = any(nested.code for nested in detail.walk()) or isinstance(content.get("errorMessage"), str)
    return replace(detail, is_azure=is_azure)


def describe_arm_error(detail: ErrorDetail) -> str:
    """Return `: code: message` of the innermost error whose message names a cause; nothing where there is none.

    Resource Graph's outer error asks to contact support, and the cause is in its details; other services repeat the
    code as the message.
    """
    causes = [error for error in detail.walk() if error.message and not _WITHOUT_CAUSE.search(error.message)]
    causes = [error for error in causes if error.message.lower() != error.code.lower()] or causes
    if not causes:
        codes = [error.code for error in detail.walk() if error.code]
        return f": {codes[-1]}" if codes else ""
    source = max(causes, key=lambda error: error.depth)
    text = ": ".join(part for part in (source.code or detail.code, source.message.rstrip(" .")) if part)
    return f": {text}"


_WITHOUT_CAUSE = re.compile(r"^(Please provide below info when asking for support|Query is invalid\. Please refer)")


def _error_detail(error: Mapping[str, Any], depth: int = 0) -> ErrorDetail:
    """Parse one error object at a depth, with its nested errors down to the maximum depth."""
    message = error.get("message") or error.get("errorMessage") or error.get("Message") or ""
    if isinstance(line := error.get("line"), int) and line > 0 and error.get("token"):  # a syntax error of a query
        message = f"{message} at line {line}, near {error['token']}"
    violations = (
        info["info"]
        for info in _mappings(error.get("additionalInfo"))
        if str(info.get("type", "")).lower() == "policyviolation" and isinstance(info.get("info"), dict)
    )
    return ErrorDetail(
        code=clean_error_text(str(error.get("code") or error.get("Code") or "")),
        message=clean_error_text(message if isinstance(message, str) else json.dumps(message)),
        target=clean_error_text(str(error.get("target") or "")),
        details=tuple(
            _error_detail(detail, depth + 1) for detail in _mappings(error.get("details")) if depth < _DEPTH_MAX
        ),
        policies=tuple(violations),
        depth=depth,
    )


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))


def clean_error_text(text: str) -> str:
    """Make a service's message safe to publish: one line, bounded, without tokens, signatures and request ids."""
    if not text:  # nearly always, because nothing is wrong
        return text
    text = _CONTROL.sub(" ", text[: 4 * _MESSAGE_MAX])
    text = without_tokens(_PARAMETERS.sub(r"\1…", _TOKENS.sub("…", text)))
    text = _REQUEST_IDS.sub("", text).strip()
    return text if len(text) <= _MESSAGE_MAX else text[: _MESSAGE_MAX - 1] + "…"
