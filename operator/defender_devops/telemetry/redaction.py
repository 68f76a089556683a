"""Removes secrets from log entries: the last line of defence, for values that are not a SecretStr.

A value is hidden because of its name, its form or its context. URLs keep only parameters on an allow list, because the
service that signs a URL chooses the name of the parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from defender_devops.text import printable

__all__ = ["redact_log_entry", "redact_value", "without_tokens"]

_HIDDEN: Final = "**********"

_SECRET_NAME: Final = re.compile(
    r"authorization|token|secret|passw(or)?d|passphrase|assertion|verifier|cookie|credential|api_?key|private_?key"
    r"|last-applied-configuration",
    re.IGNORECASE,
)
_METADATA_NAME: Final = re.compile(r"(name|ref|type|kind|method|endpoint|_?at|_?id|seconds|version)$", re.IGNORECASE)
"""Names of values about a secret: `token_secret_name` is the name of a Secret and `token_expires_at` a time."""

_SECRET_PATTERNS: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*){0,3}"),  # JSON Web Tokens, signed or encrypted
    re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?<![\w.-])[01]\.A[\w-]{20,}(?:\.[\w.-]+)?"),  # codes and refresh tokens of Entra ID
    re.compile(r"(?<![\w.-])M\.[A-Z0-9_]{2,}\.[\w!*.-]{20,}"),  # the same of personal accounts
    re.compile(r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{30,40}"),  # client secrets of Entra ID
    re.compile(r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b"),  # personal access tokens of Azure DevOps
    re.compile(r"\bgAAAA[\w-]{60,}={0,2}"),  # Fernet, in which cookies and stored tokens are sealed
)

_URL: Final = re.compile(r"(https?://[^\s\"'<>?#]+)([?#][^\s\"'<>]*)", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE)
_ALLOWED_PARAMETERS: Final = re.compile(
    r"api-version|\$\w+|top|skip|watch|limit|fieldManager|fieldSelector|labelSelector|force|resourceVersion"
    r"|timeoutSeconds|allowWatchBookmarks|error|error_description|prompt|scope|response_type|response_mode",
    re.IGNORECASE,
)

_FORM_FIELD: Final = re.compile(
    r"(?<![\w-])((?:client_secret|client_assertion|assertion|access_token|refresh_token|id_token|device_code|password"
    r"|code_verifier|code|sig)=)[^&\s\"']+"
)
_JSON_FIELD: Final = re.compile(
    r"([\"'](?:[\w-]*(?:token|secret|assertion|password|verifier)|code|device_code|user_code)[\"']\s*:\s*)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
    re.IGNORECASE,
)


def redact_log_entry(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets in every value of a log entry, at any depth (a structlog processor)."""
    for key, value in event.items():
        event[key] = _HIDDEN if _is_secret(key, value) else redact_value(value)
    return event


def redact_value(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    """Return the value without anything that has the form of a secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return _clean(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {
            _clean(str(key)): _HIDDEN if _is_secret(str(key), item) else redact_value(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item) for item in value]
    return _clean(str(value))


def _is_secret(name: str, value: object) -> bool:
    """Whether a value is hidden because of its name; numbers, flags and None are not."""
    if value is None or isinstance(value, bool | int | float | Mapping):
        return False
    return bool(_SECRET_NAME.search(name)) and not _METADATA_NAME.search(name)


def without_tokens(text: str) -> str:
    """Return a service's text without tokens, keys and secrets; URLs keep their parameters."""
    for pattern in _SECRET_PATTERNS:
        text = pattern.sub(_HIDDEN, text)
    text = _JSON_FIELD.sub(rf'\1"{_HIDDEN}"', text)
    return _FORM_FIELD.sub(rf"\1{_HIDDEN}", text)


def _clean(text: str) -> str:
    text = without_tokens(text)
    text = _USER_INFO.sub(rf"\1{_HIDDEN}@", text)
    return printable(_URL.sub(_redact_parameters, text), keep_newlines=True)


def _redact_parameters(url: re.Match[str]) -> str:
    """Return a URL whose parameters are hidden, except for allowed ones."""
    parts = re.split(r"([?#&])", url[2])
    return url[1] + "".join(_redact_parameter(part) for part in parts)


def _redact_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals or _ALLOWED_PARAMETERS.fullmatch(name):
        return parameter
    return f"{name}={_HIDDEN}"
