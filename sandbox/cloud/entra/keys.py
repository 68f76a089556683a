"""The key that signs id_tokens, and its public part for verification."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

__all__ = ["SigningKey"]


class SigningKey:
    """An RSA key, created at first use and kept as long as the process."""

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def id(self) -> str:
        """Key id, derived from the public key's hash."""
        public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(public).hexdigest()[:27]

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a JWT (RS256) with the claims."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.id, "typ": "JWT"})

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        key = json.loads(RSAAlgorithm.to_jwk(self._private.public_key()))
        return {"keys": [{**key, "kid": self.id, "use": "sig", "x5t": self.id}]}
