"""A request with its answer, and accessors for JSON of any shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Exchange", "Inconclusive", "items_of", "member", "object_of", "text_of"]


class Inconclusive(Exception):
    """An answer does not show which form a behaviour has; the message says why, in public words."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as they were on the wire.

    Attributes:
        service: `arm`, or a host of Azure DevOps such as `devAzure`.
        path: as in the URL, percent-encoded.
        query: decoded parameters in their order.
        accept: media type that was requested.
        body: JSON of the request; None without a body.
        token: `identity` for a request with the identity's token, `none`, or `invalid` for one that is no token.
        suppresses_redirect: whether it had the header with which Azure DevOps answers 401 in place of its sign-in page.
        status: HTTP status.
        headers: of the answer, by name in lower case.
        content: body of the answer.
    """

    service: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    accept: str
    body: Any
    token: str
    suppresses_redirect: bool
    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request.

    Attributes:
        operation: what was requested, for messages.
    """

    operation: str
    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of HTTP successes

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body as JSON.

        Raises:
            Inconclusive: it is not JSON.
        """
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise Inconclusive(f"{self.operation}: HTTP {self.status} without JSON") from None

    def object(self) -> dict[str, Any]:
        """Return the JSON object of a success.

        Raises:
            Inconclusive: another status, or no object.
        """
        if not self.is_success:
            raise Inconclusive(f"{self.operation}: HTTP {self.status} {self.error_code}".rstrip())
        body = self.json()
        if not isinstance(body, dict):
            raise Inconclusive(f"{self.operation}: the answer is not an object")
        return body

    def values(self) -> list[dict[str, Any]]:
        """Return the objects of a list: `value`, or the array of an old API.

        Raises:
            Inconclusive: another status, or no list.
        """
        if not self.is_success:
            raise Inconclusive(f"{self.operation}: HTTP {self.status} {self.error_code}".rstrip())
        body = self.json()
        values = body.get("value") if isinstance(body, dict) else body
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise Inconclusive(f"{self.operation}: the answer has no list")
        return values

    @property
    def error_code(self) -> str:
        """The error code of Resource Manager; empty where the answer has none."""
        try:
            body = json.loads(self.content)
        except (ValueError, RecursionError):
            return ""
        return text_of(member(body, "error"), "code")


def member(value: Any, *path: str) -> Any:  # noqa: ANN401 - JSON
    """Return a member of nested objects; None where there is none."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_of(value: Any, *path: str) -> str:  # noqa: ANN401 - JSON
    """Return a text of nested objects; empty where there is none."""
    text = member(value, *path)
    return text if isinstance(text, str) else ""


def items_of(value: Any, *path: str) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return the objects of a list in nested objects; none where there is no list."""
    items = member(value, *path)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def object_of(value: Any, *path: str) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return an object in nested objects; empty where there is none."""
    item = member(value, *path)
    return item if isinstance(item, dict) else {}
