"""What a body says about a failure, whichever of Azure's shapes it has.

Resource Manager's own is `{"error": {code, message, target, details[], additionalInfo[]}}`
(https://learn.microsoft.com/azure/azure-resource-manager/management/common-deployment-errors). Security connectors
answer `{"statusCode", "errorMessage", "errorCorrelation"}`, some providers leave `error` out, gateways and proxies
answer with nothing or with a page of HTML.
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
# Ids of a single request differ each time: with them in a message, a status would never come to rest.
_REQUEST_IDS = re.compile(
    r"[\s,.;(]*\b(?:activity|correlation|tracking|request|client request)[ -]?id\b['\":=\s]*"
    r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}['\")]*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One error of a body.

    Attributes:
        code: the service's own code; empty where it gives none.
        message: in the service's words, safe to show.
        target: what it is about.
        details: what lies beneath.
        policies: `info` of each PolicyViolation that belongs to this error.
        page: the body was a page for people (HTML), so another than Azure may have answered.
    """

    code: str = ""
    message: str = ""
    target: str = ""
    details: tuple[ErrorDetail, ...] = ()
    policies: tuple[Mapping[str, Any], ...] = field(default=())
    page: bool = False

    def walk(self) -> Iterator[ErrorDetail]:
        """This error and all beneath it."""
        yield self
        for detail in self.details:
            yield from detail.walk()


def parse_error(body: bytes) -> ErrorDetail:
    """Read a body; one that says nothing gives an empty detail, never an exception."""
    text = body.decode("utf-8", errors="replace").strip()
    if not text:
        return ErrorDetail()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorDetail(page=True) if text.startswith("<") else ErrorDetail(message=clean(text))
    if not isinstance(content, dict):
        return ErrorDetail(message=clean(str(content)))
    error = content.get("error")
    if isinstance(error, str):  # the shape of OAuth
        return ErrorDetail(code=error, message=clean(str(content.get("error_description") or "")))
    return error_detail(error if isinstance(error, dict) else content)


def error_detail(error: Mapping[str, Any], depth: int = _DEPTH_MAX) -> ErrorDetail:
    """Read one error object; what lies deeper than `depth` levels is left out."""
    message = error.get("message") or error.get("errorMessage") or error.get("Message") or ""
    return ErrorDetail(
        code=clean(str(error.get("code") or error.get("Code") or "")),
        message=clean(message if isinstance(message, str) else json.dumps(message)),
        target=clean(str(error.get("target") or "")),
        details=tuple(error_detail(each, depth - 1) for each in _mappings(error.get("details")) if depth > 0),
        policies=tuple(_violations(error.get("additionalInfo"))),
    )


def _violations(additional_info: object) -> Iterator[Mapping[str, Any]]:
    for each in _mappings(additional_info):
        if str(each.get("type", "")).lower() == "policyviolation" and isinstance(each.get("info"), dict):
            yield each["info"]


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def clean(text: str) -> str:
    """Make a service's words fit to be shown: one line, bounded, no token or signature, no id of a single request."""
    if not text:  # as nearly always, where nothing is wrong
        return text
    text = _CONTROL.sub(" ", text[: 4 * _MESSAGE_MAX])
    text = without_tokens(_PARAMETERS.sub(r"\1…", _TOKENS.sub("…", text)))
    text = _REQUEST_IDS.sub("", text).strip()
    return text if len(text) <= _MESSAGE_MAX else text[: _MESSAGE_MAX - 1] + "…"
