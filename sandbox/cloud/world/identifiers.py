"""Identifiers that are derived from names, so that they are the same in every run."""

from __future__ import annotations

import uuid

__all__ = ["derived_id"]

_NAMESPACE = uuid.UUID("6f1ad3a4-2c5e-4d0b-9a7e-0d4f3b8f5c11")


def derived_id(*parts: str) -> str:
    """Return a GUID derived from names, the same in every run."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(part.lower() for part in parts)))
