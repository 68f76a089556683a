"""Which one-time codes a connector has used: the one reader of their hashes in its status.

A hash is written into status before its code is sent (`codeHash`; earlier ones in `spentCodeHashes`), so a code that
was sent, or may have been, is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from defender_devops.api.connector_status import AuthorizationStatus

__all__ = ["used_code_hashes", "used_code_hashes_in_body"]


def used_code_hashes(status: AuthorizationStatus | None) -> tuple[str, ...]:
    """Return the SHA-256 hashes of the codes that were used, the latest one last."""
    if status is None:
        return ()
    return (*status.spent_code_hashes, *((status.code_hash,) if status.code_hash else ()))


def used_code_hashes_in_body(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the same from a connector's body as the API server sends it, without validating the rest of it."""
    status = (body.get("status") or {}).get("authorization") or {}
    return used_code_hashes(
        AuthorizationStatus.model_construct(
            code_hash=status.get("codeHash"), spent_code_hashes=tuple(status.get("spentCodeHashes") or ())
        )
    )
