"""Pages by `nextLink` with an opaque continuation token."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.transport.message import Request

__all__ = ["next_link", "page", "position_of"]

T = TypeVar("T")

_PARAMETER = "continuation-token"


def position_of(request: Request) -> int:
    """Return the position at which the page begins; 0 without a token.

    Raises:
        ArmError: the token was not issued by this service.
    """
    token = request.query.get(_PARAMETER)
    if token is None:
        return 0
    try:
        position = int(json.loads(base64.urlsafe_b64decode(token))["position"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ArmError(400, "InvalidContinuationToken", "The continuation token is invalid.") from error
    return min(max(0, position), sys.maxsize // 2)


def next_link(request: Request, position: int) -> str:
    """Return the absolute URL of the page that begins at a position."""
    token = base64.urlsafe_b64encode(json.dumps({"position": position, "range": "05C1E5B5E36F86"}).encode()).decode()
    version = quote(request.query.get("api-version", ""))
    return f"{request.base}{quote(request.path)}?api-version={version}&{_PARAMETER}={quote(token)}"


def page(request: Request, items: Sequence[T], size: int) -> tuple[Sequence[T], dict[str, str]]:
    """Return the requested page of the items, and `nextLink` if there are more."""
    position = position_of(request)
    part = items[position : position + size]
    following = position + size
    return part, {"nextLink": next_link(request, following)} if following < len(items) else {}
