"""Endpoints of the control interface: methods of a class, marked with their HTTP method and path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from sandbox.cloud.transport.message import Request

__all__ = ["Handler", "endpoint", "parse_body"]

Body = TypeVar("Body", bound=BaseModel)
Handler = Callable[..., Awaitable[Any]]


def endpoint(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Mark a method as handler of an HTTP method and path; `{name}` becomes a keyword argument."""

    def mark(handler: Handler) -> Handler:
        handler.route = (method, pattern)  # type: ignore[attr-defined]
        return handler

    return mark


def parse_body(request: Request, model: type[Body]) -> Body:
    """Return the body of a request; an empty one has all defaults.

    Raises:
        pydantic.ValidationError: naming each wrong field.
    """
    return model.model_validate_json(request.body or b"{}")
