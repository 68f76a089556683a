"""The JSON merge patch (RFC 7396) that turns one body into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defender_devops.api.schema.model import ApiModel

__all__ = ["merge_patch"]


def merge_patch(
    current: Mapping[str, Any], desired: Mapping[str, Any], model: type[ApiModel] | None = None
) -> dict[str, Any]:
    """Return only what differs: removed keys as null, lists as a whole. Empty if nothing differs.

    Args:
        current: the body that the API server holds.
        desired: the new body; contains no null, because a merge patch cannot set one.
        model: the model of both. Fields that it does not have are kept: a newer version of the operator wrote them, and
            needs them again after a rollback. Without a model every key that is not in `desired` is removed.
    """
    field_models = model.field_models() if model else None
    removed = current.keys() - desired.keys()
    patch: dict[str, Any] = dict.fromkeys(removed if field_models is None else removed & field_models.keys())
    for key, value in desired.items():
        present = current.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            nested = merge_patch(present, value, field_models.get(key) if field_models else None)
            if nested:
                patch[key] = nested
        elif key not in current or present != value:
            patch[key] = value
    return patch
