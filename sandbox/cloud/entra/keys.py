"""The key with which Entra signs id_tokens, and its public half for who verifies them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

__all__ = ["SigningKey"]


class SigningKey:
    """An RSA key made at start; it lives as long as the process."""

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(public).hexdigest()[:27]

    def sign(self, claims: dict[str, Any]) -> str:
        """A JWT (RS256) with the claims."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.id, "typ": "JWT"})

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        key = json.loads(RSAAlgorithm.to_jwk(self._private.public_key()))
        return {"keys": [{**key, "kid": self.id, "use": "sig", "x5t": self.id}]}
