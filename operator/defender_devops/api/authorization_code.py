"""Defender's one-time code: what people paste, and what can be told of it before it is spent (pure).

The code comes from the legacy Azure DevOps OAuth endpoint and is a JSON Web Token of three parts. A code of Entra ID
begins with `0.A`, `1.A` or `M.`; Defender cannot redeem it, whoever it was issued to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

__all__ = ["UnusableCode", "code_hash", "read_code"]

_ENTRA_PREFIXES: Final = ("0.A", "1.A", "M.")
_JWT_PARTS: Final = 3
_LENGTH_MAX: Final = 16_384


class UnusableCode(ValueError):
    """What was handed over cannot be Defender's one-time code; the message says why and never repeats it."""


def read_code(text: str, now: datetime) -> SecretStr:
    """Take the code out of what a person handed over: the code itself, or the whole address that the browser ended at.

    Raises:
        UnusableCode: it is empty, of Entra ID, or expired.
    """
    code = text.strip()
    if code.lower().startswith(("https://", "http://")):
        found = parse_qs(urlsplit(code).query).get("code", [])
        if not found:
            raise UnusableCode("the address holds no parameter named code")
        code = found[0]
    if not code:
        raise UnusableCode("it is empty")
    if len(code) > _LENGTH_MAX or any(character.isspace() for character in code):
        raise UnusableCode("it is too long or holds spaces, so it is not a code")
    if code.startswith(_ENTRA_PREFIXES):
        raise UnusableCode("it is a code of Entra ID, which Defender for Cloud cannot redeem")
    expires = _expiry(code)
    if expires is not None and expires <= now:
        raise UnusableCode(f"it expired at {expires:%Y-%m-%d %H:%M} UTC")
    return SecretStr(code)


def code_hash(code: SecretStr) -> str:
    """SHA-256 in hexadecimal digits: by it a code is known without being shown."""
    return hashlib.sha256(code.get_secret_value().encode()).hexdigest()


def _expiry(code: str) -> datetime | None:
    """When a JSON Web Token says that it ends; None for anything else. The signature is Defender's business."""
    parts = code.split(".")
    if len(parts) != _JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return datetime.fromtimestamp(float(claims["exp"]), tz=UTC)
    except (ValueError, TypeError, KeyError, OverflowError, OSError, binascii.Error):
        return None
