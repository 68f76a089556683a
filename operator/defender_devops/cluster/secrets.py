"""Secrets: one key of one Secret at a time, kept until the Secret changes."""

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
    """Secrets of the cluster. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> Body | None:
        """A whole Secret, or None where there is none."""
        try:
            return await self._client.get(path("v1", _PLURAL, namespace, name))
        except KubernetesNotFound:
            return None

    async def create(self, body: Body) -> Body:
        """Create a Secret."""
        return await self._client.create(path("v1", _PLURAL, body["metadata"]["namespace"]), body)

    async def replace(self, body: Body) -> Body:
        """Replace a Secret that still is at the body's resourceVersion."""
        metadata = body["metadata"]
        return await self._client.replace(path("v1", _PLURAL, metadata["namespace"], metadata["name"]), body)

    async def read_key(self, namespace: str, name: str, key: str) -> SecretBytes | None:
        """The value of one key, or None where there is no such Secret or key."""
        body = await self.read(namespace, name)
        encoded = ((body or {}).get("data") or {}).get(key)
        if encoded is None:
            return None
        try:
            return SecretBytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            return None
