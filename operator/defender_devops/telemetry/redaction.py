"""Keeps secrets out of the log: the last line of defence, for what is not a SecretStr."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

__all__ = ["redact", "redacted"]

_HIDDEN: Final = "**********"

_NAMES: Final = re.compile(
    r"(?i)(authorization|token|secret|password|assertion|code_verifier|cookie|refresh|api_?key|private_?key)"
)
"""Keys whose values are never shown; `code` alone is an HTTP status or a reason far more often than a secret."""

_SHAPES: Final = (
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),  # JSON Web Tokens
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,}"),
    re.compile(r"\b(?:0|1)\.A[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_.-]+)?"),  # codes and refresh tokens of Entra ID
    re.compile(r"\bM\.[A-Z0-9_]{2,}\.[A-Za-z0-9!*._-]{20,}"),
)

_QUERY: Final = re.compile(
    r"(?i)([?&#](?:code|state|sig|t|c|s|h|assertion|client_assertion|client_secret|access_token|refresh_token|id_token"
    r"|password|code_verifier|session_state)=)[^&\s\"']+"
)
"""Parameters of addresses: codes of sign-ins, and the signature of a long-running operation (t, c, s, h)."""


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that hides secrets in every value, however deep."""
    for key, value in event.items():
        event[key] = _HIDDEN if _is_secret(key, value) else redacted(value)
    return event


def redacted(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    """The value without anything that looks like a secret."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, bytes):
        return _clean(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {key: _HIDDEN if _is_secret(str(key), each) else redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean(str(value))


def _is_secret(name: str, value: object) -> bool:
    return isinstance(value, str | bytes) and bool(_NAMES.search(name))


def _clean(text: str) -> str:
    for shape in _SHAPES:
        text = shape.sub(_HIDDEN, text)
    return _QUERY.sub(rf"\1{_HIDDEN}", text)
