"""Hashes by which secrets are compared and remembered without keeping them."""

from __future__ import annotations

import hashlib

from pydantic import SecretStr

__all__ = ["sha256_hex"]


def sha256_hex(secret: SecretStr) -> str:
    """Return the SHA-256 of a secret's UTF-8 bytes, in lower-case hex."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()
