"""Secrets: one key of one Secret at a time, kept until the Secret changes."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pydantic import SecretBytes

from defender_devops.cluster.client import KubernetesClient, path
from defender_devops.errors import KubernetesNotFound

__all__ = ["Secrets"]

_PLURAL: Final = "secrets"


class Secrets:
    """Reads Secrets. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read_key(self, namespace: str, name: str, key: str) -> SecretBytes | None:
        """The value of one key, or None where there is no such Secret or key."""
        try:
            body = await self._client.get(path("v1", _PLURAL, namespace, name))
        except KubernetesNotFound:
            return None
        encoded = (body.get("data") or {}).get(key)
        if encoded is None:
            return None
        try:
            return SecretBytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            return None
