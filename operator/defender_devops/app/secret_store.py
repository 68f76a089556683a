"""The cluster's Secrets as the sign-in wants them: decoded, and known by their resourceVersion."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretBytes

from defender_devops.api.model import OwnerReference
from defender_devops.cluster.secrets import Secrets
from defender_devops.signin.ports import StoredSecret

__all__ = ["ClusterSecretStore"]


@dataclass(frozen=True, slots=True)
class ClusterSecretStore:
    """Fulfils `signin.ports.SecretStore`. All methods raise KubernetesError."""

    secrets: Secrets

    async def read(self, namespace: str, name: str) -> StoredSecret | None:
        """The Secret, or None where there is none."""
        body = await self.secrets.read(namespace, name)
        return _stored(body) if body is not None else None

    async def create(self, secret: StoredSecret) -> StoredSecret:
        """Create it; KubernetesConflict where there is one of that name."""
        return _stored(await self.secrets.create(_body(secret)))

    async def replace(self, secret: StoredSecret) -> StoredSecret:
        """Write it, if it still is at `resource_version`; KubernetesConflict otherwise."""
        return _stored(await self.secrets.replace(_body(secret)))


def _stored(body: Mapping[str, Any]) -> StoredSecret:
    metadata = body["metadata"]
    return StoredSecret(
        namespace=metadata["namespace"],
        name=metadata["name"],
        type=body.get("type", "Opaque"),
        resource_version=metadata.get("resourceVersion", ""),
        labels=metadata.get("labels") or {},
        owners=tuple(OwnerReference.model_validate(each) for each in metadata.get("ownerReferences") or ()),
        data={key: SecretBytes(base64.b64decode(value)) for key, value in (body.get("data") or {}).items()},
    )


def _body(secret: StoredSecret) -> dict[str, Any]:
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
