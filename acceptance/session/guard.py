"""Which requests only read: everything else needs `--write`, and is refused before it is sent."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["WriteRefused", "check_request", "is_reading"]

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHANGING_METHODS: Final = frozenset({"PUT", "PATCH", "DELETE"})
_READING_POSTS: Final = (
    re.compile(r"/providers/Microsoft\.ResourceGraph/resources", re.IGNORECASE),
    re.compile(r"/subscriptions/[^/]+/resourceGroups/.+/devops/default/listAvailableAzureDevOpsOrgs", re.IGNORECASE),
    re.compile(r"(?:/[^/]+){1,2}/_apis/search/codesearchresults", re.IGNORECASE),
)
"""Paths to which a POST is a query. No other POST is one."""

_CONNECTOR: Final = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/Microsoft\.Security"
    r"/securityConnectors/(?P<name>[^/]+)(?:/devops/default(?:/.*)?)?",
    re.IGNORECASE,
)


class WriteRefused(Exception):
    """The kit was about to send a request that it must not send: an error of the kit itself."""


def is_reading(method: str, path: str) -> bool:
    """Whether a request only reads."""
    return method in _READING_METHODS or (
        method == "POST" and any(pattern.fullmatch(path) for pattern in _READING_POSTS)
    )


def check_request(method: str, path: str, *, expendable: tuple[str, str, str] | None) -> None:
    """Check that a request reads, or writes only to the expendable connector.

    Args:
        method: HTTP method.
        path: path of the request.
        expendable: subscription, group and name of the connector that may be changed; None where nothing may.

    Raises:
        WriteRefused: it would change something else.
    """
    if is_reading(method, path):
        return
    is_plain = method in _CHANGING_METHODS and ".." not in path.split("/")
    match = _CONNECTOR.fullmatch(path) if is_plain else None
    target = None if match is None else tuple(part.lower() for part in match.groups())
    if expendable is None or target != tuple(part.lower() for part in expendable):
        raise WriteRefused(f"{method} was not sent: it is neither a read nor a change of the expendable connector")
