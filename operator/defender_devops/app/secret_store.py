"""The cluster's Secrets in the form that the sign-in needs: decoded, with their resourceVersion."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretBytes

from defender_devops.api.schema.model import OwnerReference
from defender_devops.cluster.secrets import Secrets
from defender_devops.signin.ports import StoredSecret

__all__ = ["ClusterSecretStore"]


@dataclass(frozen=True, slots=True)
class ClusterSecretStore:
    """Implements `signin.ports.SecretStore`. All methods raise KubernetesError."""

    secrets: Secrets

    async def read(self, namespace: str, name: str) -> StoredSecret | None:
        """Return a Secret, or None if it does not exist."""
        body = await self.secrets.read(namespace, name)
        return _from_body(body) if body is not None else None

    async def create(self, secret: StoredSecret) -> StoredSecret:
        """Create a Secret. Raises KubernetesConflict if one of that name exists."""
        return _from_body(await self.secrets.create(_to_body(secret)))

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        """Replace a Secret. Raises KubernetesConflict if its resourceVersion is no longer `resource_version`."""
        return _from_body(await self.secrets.replace(_to_body(secret)))


def _from_body(body: Mapping[str, Any]) -> StoredSecret:
    metadata = body["metadata"]
    return StoredSecret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        type=body.get("type", "Opaque"),
        resource_version=metadata.get("resourceVersion", ""),
        labels=metadata.get("labels") or {},
        owners=tuple(OwnerReference.model_validate(owner) for owner in metadata.get("ownerReferences") or ()),
        data={key: SecretBytes(base64.b64decode(value)) for key, value in (body.get("data") or {}).items()},
    )


def _to_body(secret: StoredSecret) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "namespace": secret.namespace,
        "name": secret.name,
        "labels": dict(secret.labels),
        "ownerReferences": [owner.dump() for owner in secret.owners],
    }
    if secret.resource_version:
        metadata["resourceVersion"] = secret.resource_version
    data = {key: base64.b64encode(value.get_secret_value()).decode() for key, value in secret.data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "type": secret.type, "metadata": metadata, "data": data}
