"""Secrets: read one by name, create or replace one. Secrets are never listed with their data."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pydantic import SecretBytes

from defender_devops.cluster.client import Body, KubernetesClient, path
from defender_devops.errors import KubernetesNotFound

__all__ = ["Secrets"]

_PLURAL: Final = "secrets"


class Secrets:
    """Client for Secrets. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> Body | None:
        """Return a whole Secret, or None if it does not exist."""
        try:
            return await self._client.get(path("v1", _PLURAL, namespace, name))
        except KubernetesNotFound:
            return None

    async def create(self, body: Body) -> Body:
        """Create a Secret."""
        return await self._client.create(path("v1", _PLURAL, body["metadata"]["namespace"]), body)

    async def replace(self, body: Body) -> Body:
        """Replace a Secret; the body's metadata.resourceVersion must be the current one."""
        metadata = body["metadata"]
        return await self._client.replace(path("v1", _PLURAL, metadata["namespace"], metadata["name"]), body)

    async def read_key(self, namespace: str, name: str, key: str) -> SecretBytes | None:
        """Return the value of one key, or None if the Secret or the key does not exist, or is not base64."""
        body = await self.read(namespace, name)
        encoded = ((body or {}).get("data") or {}).get(key)
        if encoded is None:
            return None
        try:
            return SecretBytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            return None
