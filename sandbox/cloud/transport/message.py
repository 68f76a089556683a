"""Requests and replies, independent of sockets and frameworks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["Reply", "Request", "json_reply", "sha256"]

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_JSON = "application/json; charset=utf-8"


@dataclass(slots=True)
class Request:
    """A request, and what the service records about it for the journal.

    Attributes:
        base: `https://host:port` under which the client reached the service.
        path: decoded path, `segments` its parts without empty ones.
        query: decoded parameters; the last of equal ones wins.
        operation: the API's name of the operation, set by the service.
        principal: name of the caller, set by the service.
        effects: changes of the world, set by the service.
        codes: SHA-256 of one-time codes and refresh tokens in the body, set by the service.
        fault: the fault that applies to this request.
    """

    service: str
    base: str
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    operation: str = ""
    principal: str | None = None
    effects: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    fault: Any = None

    @property
    def segments(self) -> list[str]:
        """The parts of the path."""
        return [part for part in self.path.split("/") if part]

    def effect(self, kind: str, **details: Any) -> None:  # noqa: ANN401 - any JSON value
        """Record a change of the world for the journal."""
        self.effects.append({"kind": kind, **details})

    def code(self, value: str) -> None:
        """Record that the request carried a one-time code or a refresh token; only its hash is stored."""
        self.codes.append(sha256(value))

    def form(self) -> dict[str, str]:
        """The body as `application/x-www-form-urlencoded`; the last of equal names wins."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


@dataclass(slots=True)
class Reply:
    """A response. The transport adds Content-Length and Date."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The body, decoded."""
        return json.loads(self.body)


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:  # noqa: ANN401 - JSON
    """An answer with a JSON body, written as compactly as Azure does."""
    body = _encode(value).encode("utf-8", "replace")  # JSON may hold lone surrogates, which UTF-8 cannot encode
    return Reply(status, body, {"Content-Type": _JSON, **(headers or {})})


def sha256(value: str) -> str:
    """Return the SHA-256 of a text in hex: identifies secrets where they must not be stored."""
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
