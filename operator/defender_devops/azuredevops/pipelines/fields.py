"""Fields of JSON from Azure DevOps: an optional one may be missing; without an identifier, the service has failed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from defender_devops.errors import AzureDevOpsUnavailable
from defender_devops.text import printable

__all__ = ["flag", "identifier", "number", "object_field", "text", "timestamp"]

_TEXT_MAX: Final = 400
"""Longest name that is kept; Azure DevOps allows 260 characters in a path."""


def text(item: Mapping[str, Any], key: str) -> str:
    """Return a text, printable and bounded; empty if it is missing."""
    value = item.get(key)
    return printable(value)[:_TEXT_MAX] if isinstance(value, str) else ""


def identifier(item: Mapping[str, Any], key: str) -> str:
    """Return a text that must not be empty.

    Raises:
        AzureDevOpsUnavailable: it is missing.
    """
    value = text(item, key)
    if not value:
        raise AzureDevOpsUnavailable(f"An object in the response of Azure DevOps has no {key}.")
    return value


def number(item: Mapping[str, Any], key: str) -> int:
    """Return a whole number that must be there.

    Raises:
        AzureDevOpsUnavailable: it is missing.
    """
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise AzureDevOpsUnavailable(f"An object in the response of Azure DevOps has no number {key}.")
    return value


def flag(item: Mapping[str, Any], key: str) -> bool:
    """Whether a field is true; false if it is missing."""
    return item.get(key) is True


def object_field(item: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object; an empty one if it is missing."""
    value = item.get(key)
    return value if isinstance(value, dict) else {}


def timestamp(item: Mapping[str, Any], key: str) -> datetime | None:
    """Return a time in UTC to whole seconds, or None if there is none. Azure DevOps sends up to seven decimals."""
    value = item.get(key)
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None
