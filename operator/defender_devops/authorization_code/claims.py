"""The account that a one-time code was issued to, if the code contains it.

A code is a JWT. Its signature is not checked, and the format is an observation rather than documented, so a claim only
ever keeps the operator from sending a code; no access is granted because of one.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from pydantic import SecretStr

from defender_devops.text import printable

__all__ = ["account_in_code"]

_ACCOUNT_CLAIMS: Final = ("upn", "preferred_username", "unique_name", "email")
_ACCOUNT_MAX: Final = 256
_JWT_PARTS: Final = 3


def account_in_code(code: SecretStr) -> str | None:
    """Return the user principal name in a code's claims, or None if it contains none."""
    parts = code.get_secret_value().split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    for claim in _ACCOUNT_CLAIMS:
        account = claims.get(claim)
        if isinstance(account, str) and "@" in account and len(account) <= _ACCOUNT_MAX:
            return printable(account)
    return None
