"""Secrets: read one by name, create or replace one. Secrets are never listed with their data."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

from pydantic import SecretBytes

from defender_devops.cluster.client import Body, KubernetesClient, api_path
from defender_devops.cluster.errors import require_object
from defender_devops.credentials.text import InvalidCredential, check_credential_secret_type
from defender_devops.errors import CredentialsMissing, KubernetesNotFound, KubernetesUnavailable

__all__ = ["Secrets", "TypedValue"]

_PLURAL: Final = "secrets"


class TypedValue(NamedTuple):
    """The value of one key.

    Attributes:
        secret_type: type of the Secret, such as Opaque.
        value: decoded value.
    """

    secret_type: str
    value: SecretBytes


class Secrets:
    """Client for Secrets. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> Body | None:
        """Return a whole Secret, or None if it does not exist."""
        try:
            return _secret(await self._client.get(api_path("v1", _PLURAL, namespace, name)), name)
        except KubernetesNotFound:
            return None

    async def create(self, body: Body) -> Body:
        """Create a Secret."""
        metadata = body["metadata"]
        answer = await self._client.create(api_path("v1", _PLURAL, metadata["namespace"]), body)
        return _secret(answer, metadata["name"])

    async def replace(self, body: Body) -> Body:
        """Replace a Secret; the body's metadata.resourceVersion must be the current one."""
        metadata = body["metadata"]
        answer = await self._client.replace(api_path("v1", _PLURAL, metadata["namespace"], metadata["name"]), body)
        return _secret(answer, metadata["name"])

    async def read_key(self, namespace: str, name: str, key: str) -> SecretBytes | None:
        """Return the value of one key, or None if the Secret or the key does not exist, or is not base64."""
        typed = await self.read_typed_key(namespace, name, key)
        return typed.value if typed is not None else None

    async def read_credential(
        self, namespace: str, name: str, key: str, *, is_sent: bool = False
    ) -> SecretBytes | None:
        """Return the value of one key as `read_key`, for a credential of an Entra application.

        Args:
            namespace: of the Secret.
            name: of the Secret.
            key: in the Secret.
            is_sent: whether the value itself will be sent to Entra ID, as a client secret is.

        Raises:
            CredentialsMissing: it would be sent, and the Secret has the type of something else.
        """
        typed = await self.read_typed_key(namespace, name, key)
        if typed is None:
            return None
        if is_sent:
            try:
                check_credential_secret_type(typed.secret_type)
            except InvalidCredential as error:
                raise CredentialsMissing(f"Secret {namespace}/{name}, key {key}, cannot be used: {error}.") from None
        return typed.value

    async def read_typed_key(self, namespace: str, name: str, key: str) -> TypedValue | None:
        """Return the value of one key with the type of its Secret, or None as `read_key`."""
        body = await self.read(namespace, name) or {}
        encoded = (body.get("data") or {}).get(key)
        if encoded is None:
            return None
        try:
            value = SecretBytes(base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            return None
        return TypedValue(str(body.get("type", "Opaque")), value)


def _secret(body: Body, name: str) -> Body:
    """Return the Secret in a response of the API server.

    Raises:
        KubernetesUnavailable: it is not that Secret, so no value is missing because of it.
    """
    data = require_object(body, "Secret", name).get("data")
    if data is not None and not (isinstance(data, dict) and all(isinstance(value, str) for value in data.values())):
        raise KubernetesUnavailable("The data of a Secret in the response of the Kubernetes API server is not valid.")
    return body
