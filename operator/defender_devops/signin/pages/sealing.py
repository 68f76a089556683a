"""The operator's own key for the pages: it signs their addresses and seals what a browser carries for us.

The key lives in a Secret of the operator's namespace, so every replica has the same one: any of them can finish a
sign-in that another began, and the addresses in status outlive a restart.
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
"""128 bits: no guessing, and short enough for an address that people paste into chats."""


@dataclass(frozen=True)
class Sealer:
    """Signs and seals, each purpose with a key of its own.

    Args:
        key: 32 random bytes.
        clock: for expiry.
    """

    key: SecretBytes
    clock: Clock

    def sign(self, purpose: str, value: str) -> str:
        """A signature of `value` that is the same for ever and fits into an address."""
        digest = hmac.digest(self._derived(f"sign {purpose}"), value.encode(), hashlib.sha256)
        return _encode(digest[:_SIGNATURE_BYTES])

    def is_signed(self, purpose: str, value: str, signature: str) -> bool:
        """Whether `signature` is ours, told in constant time."""
        return hmac.compare_digest(self.sign(purpose, value).encode(), signature.encode())

    def seal(self, purpose: str, payload: Mapping[str, Any], lifetime: timedelta) -> str:
        """Encrypt a small JSON object that can be opened for `lifetime` only."""
        expires = (self.clock() + lifetime).timestamp()
        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps({"expires": expires, "payload": dict(payload)}).encode()
        return _encode(nonce + AESGCM(self._derived(f"seal {purpose}")).encrypt(nonce, text, purpose.encode()))

    def open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """What was sealed for that purpose, or None where it is not ours, altered or expired."""
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
    """Read the key, or make it where there is none. Replicas that start together end with the same one.

    Raises:
        KubernetesRefused: the Secret exists, but is not one of ours.
        KubernetesError: it cannot be read or created.
    """
    secret = await store.read(namespace, KEY_SECRET_NAME) or await _create_key(store, namespace)
    key = secret.data.get(_KEY_FIELD)
    if secret.type != KEY_SECRET_TYPE or key is None or len(key.get_secret_value()) != _KEY_BYTES:
        raise KubernetesRefused(
            f"The Secret {namespace}/{KEY_SECRET_NAME} does not hold a key of the operator. "
            "Delete it: a new one is made at the next start, and the sign-in links in status change."
        )
    return Sealer(key, clock)


async def _create_key(store: SecretStore, namespace: str) -> StoredSecret:
    fresh = StoredSecret(
        namespace=namespace,
        name=KEY_SECRET_NAME,
        type=KEY_SECRET_TYPE,
        labels={"app.kubernetes.io/managed-by": FIELD_MANAGER},
        data={_KEY_FIELD: SecretBytes(os.urandom(_KEY_BYTES))},
    )
    try:
        return await store.create(fresh)
    except KubernetesConflict:
        made_by_another = await store.read(namespace, KEY_SECRET_NAME)
        if made_by_another is None:
            raise
        return made_by_another


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
