"""The operator's key for the pages: it signs their addresses and encrypts the cookies of sign-ins.

The key is kept in a Secret of the operator's namespace, so every replica has the same one: any of them can finish a
sign-in that another began, and the addresses in status stay valid after a restart.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretBytes

from defender_devops.api.names import FIELD_MANAGER, GROUP
from defender_devops.errors import KubernetesConflict, KubernetesRefused
from defender_devops.signin.ports import Clock, SecretStore, StoredSecret

__all__ = ["Sealer", "load_sealer"]

KEY_SECRET_NAME: Final = "defender-devops-signin-key"  # noqa: S105 - the name of a Secret
KEY_SECRET_TYPE: Final = f"{GROUP}/signin-key"
_KEY_FIELD: Final = "key"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SIGNATURE_BYTES: Final = 16
"""128 bits: impossible to guess, and short enough for an address."""


@dataclass(frozen=True)
class Sealer:
    """Signs values and encrypts payloads, each purpose with a derived key of its own.

    Attributes:
        key: 32 random bytes.
        clock: for the expiry of sealed payloads.
    """

    key: SecretBytes
    clock: Clock

    def sign(self, purpose: str, value: str) -> str:
        """Return the signature of `value`, which never changes and is safe in an address."""
        digest = hmac.digest(self._derived(f"sign {purpose}"), value.encode(), hashlib.sha256)
        return _encode(digest[:_SIGNATURE_BYTES])

    def is_signed(self, purpose: str, value: str, signature: str) -> bool:
        """Whether `signature` is right; compared in constant time."""
        return hmac.compare_digest(self.sign(purpose, value).encode(), signature.encode())

    def seal(self, purpose: str, payload: Mapping[str, Any], lifetime: timedelta) -> str:
        """Encrypt a small JSON object; it can be opened for `lifetime` only."""
        expires = (self.clock() + lifetime).timestamp()
        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps({"expires": expires, "payload": dict(payload)}).encode()
        return _encode(nonce + AESGCM(self._derived(f"seal {purpose}")).encrypt(nonce, text, purpose.encode()))

    def open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """Return the payload that was sealed for that purpose, or None if it is forged, altered or expired."""
        try:
            raw = _decode(sealed)
            cipher = AESGCM(self._derived(f"seal {purpose}"))
            text = cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], purpose.encode())
        except (ValueError, InvalidTag):
            return None
        content = json.loads(text)
        payload: dict[str, Any] = content["payload"]
        return payload if self.clock().timestamp() < content["expires"] else None

    def _derived(self, purpose: str) -> bytes:
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(self.key.get_secret_value())


async def load_sealer(store: SecretStore, namespace: str, clock: Clock) -> Sealer:
    """Read the key, or create it if there is none. Replicas that start at the same time end with the same key.

    Raises:
        KubernetesRefused: the Secret exists, but was not created by the operator.
        KubernetesError: it cannot be read or created.
    """
    secret = await store.read(namespace, KEY_SECRET_NAME) or await _create_key(store, namespace)
    key = secret.data.get(_KEY_FIELD)
    if secret.type != KEY_SECRET_TYPE or key is None or len(key.get_secret_value()) != _KEY_BYTES:
        raise KubernetesRefused(
            f"The Secret {namespace}/{KEY_SECRET_NAME} does not hold a key of the operator. "
            "Delete it: a new one is created at the next start, and the addresses in status.signIn.url change."
        )
    return Sealer(key, clock)


async def _create_key(store: SecretStore, namespace: str) -> StoredSecret:
    secret = StoredSecret(
        namespace=namespace,
        name=KEY_SECRET_NAME,
        type=KEY_SECRET_TYPE,
        labels={"app.kubernetes.io/managed-by": FIELD_MANAGER},
        data={_KEY_FIELD: SecretBytes(os.urandom(_KEY_BYTES))},
    )
    try:
        return await store.create(secret)
    except KubernetesConflict:
        secret_of_another_replica = await store.read(namespace, KEY_SECRET_NAME)
        if secret_of_another_replica is None:
            raise
        return secret_of_another_replica


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
