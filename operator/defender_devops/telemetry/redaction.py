"""Keeps secrets out of the log: the last line of defence, for what is not a SecretStr.

A value is hidden for its name, for its shape, or for where it stands. Addresses keep only the parameters that are known
to be harmless: whoever signs an address chooses the parameter's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

__all__ = ["redact", "redacted", "without_tokens"]

_HIDDEN: Final = "**********"

_SECRET_NAME: Final = re.compile(
    r"authorization|token|secret|passw(or)?d|passphrase|assertion|verifier|cookie|credential|api_?key|private_?key"
    r"|last-applied-configuration",
    re.IGNORECASE,
)
_NAME_OF_SOMETHING: Final = re.compile(
    r"(name|ref|type|kind|method|endpoint|_?at|_?id|seconds|version)$", re.IGNORECASE
)
"""`token_secret_name` is the name of a Secret and `token_expires_at` a time."""

_SHAPES: Final = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*){0,3}"),  # JSON Web Tokens, signed or encrypted
    re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?<![\w.-])[01]\.A[\w-]{20,}(?:\.[\w.-]+)?"),  # codes and refresh tokens of Entra ID
    re.compile(r"(?<![\w.-])M\.[A-Z0-9_]{2,}\.[\w!*.-]{20,}"),  # the same of personal accounts
    re.compile(r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{30,40}"),  # client secrets of Entra ID
    re.compile(r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b"),  # personal access tokens of Azure DevOps
    re.compile(r"\bgAAAA[\w-]{60,}={0,2}"),  # Fernet, in which cookies and stored tokens are sealed
)

_ADDRESS: Final = re.compile(r"(https?://[^\s\"'<>?#]+)([?#][^\s\"'<>]*)", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(https?://)[^\s/@\"'<>]+@", re.IGNORECASE)
_HARMLESS: Final = re.compile(
    r"api-version|\$\w+|top|skip|watch|limit|fieldManager|fieldSelector|labelSelector|force|resourceVersion"
    r"|timeoutSeconds|allowWatchBookmarks|error|error_description|prompt|scope|response_type|response_mode",
    re.IGNORECASE,
)

_FORM: Final = re.compile(
    r"(?<![\w-])((?:client_secret|client_assertion|assertion|access_token|refresh_token|id_token|device_code|password"
    r"|code_verifier|code|sig)=)[^&\s\"']+"
)
_JSON: Final = re.compile(
    r"([\"'](?:[\w-]*(?:token|secret|assertion|password|verifier)|code|device_code|user_code)[\"']\s*:\s*)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
    re.IGNORECASE,
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that hides secrets in every value, however deep."""
    for key, value in event.items():
        event[key] = _HIDDEN if _is_secret(key, value) else redacted(value)
    return event


def redacted(value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    """The value without anything that looks like a secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return _clean(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {
            _clean(str(key)): _HIDDEN if _is_secret(str(key), each) else redacted(each) for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(each) for each in value]
    return _clean(str(value))


def _is_secret(name: str, value: object) -> bool:
    """Whether a value is hidden for its name; a number, a flag or nothing at all is none."""
    if value is None or isinstance(value, bool | int | float | Mapping):
        return False
    return bool(_SECRET_NAME.search(name)) and not _NAME_OF_SOMETHING.search(name)


def without_tokens(text: str) -> str:
    """The text without whatever looks like a token, a key or a secret; for the words of services, addresses apart."""
    for shape in _SHAPES:
        text = shape.sub(_HIDDEN, text)
    text = _JSON.sub(rf'\1"{_HIDDEN}"', text)
    return _FORM.sub(rf"\1{_HIDDEN}", text)


def _clean(text: str) -> str:
    text = without_tokens(text)
    text = _USER_INFO.sub(rf"\1{_HIDDEN}@", text)
    return _ADDRESS.sub(_without_parameters, text)


def _without_parameters(address: re.Match[str]) -> str:
    """An address whose parameters are hidden, but for harmless ones."""
    parts = re.split(r"([?#&])", address[2])
    return address[1] + "".join(_without_value(part) for part in parts)


def _without_value(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if not equals or _HARMLESS.fullmatch(name):
        return parameter
    return f"{name}={_HIDDEN}"
