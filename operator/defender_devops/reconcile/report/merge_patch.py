"""The JSON merge patch (RFC 7396) that turns one body into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["merge_patch"]


def merge_patch(current: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """Return only what differs: removed keys as null, lists as a whole. Empty if nothing differs.

    Args:
        current: the body that the API server holds.
        desired: the new body; contains no null, because a merge patch cannot set one.
    """
    patch: dict[str, Any] = dict.fromkeys(current.keys() - desired.keys())
    for key, value in desired.items():
        present = current.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            nested = merge_patch(present, value)
            if nested:
                patch[key] = nested
        elif key not in current or present != value:
            patch[key] = value
    return patch
