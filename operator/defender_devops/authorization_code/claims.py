"""The claims of a one-time code: the account that it was issued to, and whose token it is.

A code is a JWT. Its signature is not checked, and the format is an observation rather than documented, so a claim only
ever keeps the operator from sending a code; no access is granted because of one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from defender_devops.text import printable

__all__ = ["account_in_code", "decode_claims", "holds_two_tokens"]

_ACCOUNT_CLAIMS: Final = ("upn", "preferred_username", "unique_name", "email")
_ACCOUNT_MAX: Final = 256
_JWT_PARTS: Final = 3


def decode_claims(code: str) -> Mapping[str, Any] | None:
    """Return the claims of a JSON Web Token of three parts; None if it is not one. The signature is not verified."""
    parts = code.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    header, claims = (_decode_part(part) for part in parts[:2])
    return claims if header is not None else None


def holds_two_tokens(text: str) -> bool:
    """Whether a text is two JSON Web Tokens, one after the other: the claims of the second one are its fourth part."""
    parts = text.split(".")
    return len(parts) > _JWT_PARTS and _decode_part(parts[_JWT_PARTS]) is not None


def _decode_part(part: str) -> dict[str, Any] | None:
    """Return the JSON object in one part of a token, or None if there is none."""
    try:
        decoded = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def account_in_code(code: SecretStr) -> str | None:
    """Return the user principal name in a code's claims, or None if it contains none."""
    claims = decode_claims(code.get_secret_value()) or {}
    for claim in _ACCOUNT_CLAIMS:
        account = claims.get(claim)
        # Escaped first: the status, which records it before the code is sent, has this limit too.
        if isinstance(account, str) and "@" in account and len(printable(account)) <= _ACCOUNT_MAX:
            return printable(account)
    return None
