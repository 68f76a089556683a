"""DevOpsOrganizations: the generated ones are made, deleted and let go of here; of declared ones only the status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import API_VERSION, CONNECTOR, LABEL_CONNECTOR, LABEL_GENERATED, ORGANIZATION
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.cluster.client import JSON_PATCH, MERGE_PATCH, Body, KubernetesClient, path

__all__ = ["Organizations"]

_OUR_LABELS: Final = (LABEL_GENERATED, LABEL_CONNECTOR)


class Organizations:
    """DevOpsOrganizations of the cluster. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def items(self, namespace: str | None) -> AsyncIterator[Body]:
        """Every organization of a namespace, or of all."""
        async for body in self._client.items(path(API_VERSION, ORGANIZATION.plural, namespace)):
            yield body

    async def create(self, namespace: str, name: str, connector: AzureDevOpsConnector, organization: str) -> Body:
        """Make the resource of an organization that was found.

        Its spec says which organization it is and decides nothing; it is never written again.

        Raises:
            KubernetesConflict: there is something of that name, which is left alone.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": ORGANIZATION.kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {LABEL_GENERATED: "true", LABEL_CONNECTOR: connector.metadata.name},
                "ownerReferences": [_reference(connector)],
            },
            "spec": {"connectorRef": {"name": connector.metadata.name}, "organization": organization},
        }
        return await self._client.create(path(API_VERSION, ORGANIZATION.plural, namespace), body)

    async def delete(self, namespace: str, name: str, uid: str, resource_version: str) -> None:
        """Delete a generated resource, unless somebody has changed it since it was looked at."""
        await self._client.delete(self._path(namespace, name), {"uid": uid, "resourceVersion": resource_version})

    async def release(self, resource: DevOpsOrganization) -> Body:
        """Drop our labels and our ownerReference, and nothing else: somebody has taken the resource over."""
        metadata = resource.metadata
        kept = [each.dump() for each in metadata.owner_references if not each.is_connector]
        labels = {key: value for key, value in metadata.labels.items() if key not in _OUR_LABELS}
        patch: list[Body] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
            {"op": "add", "path": "/metadata/labels", "value": labels},
            {"op": "add", "path": "/metadata/ownerReferences", "value": kept},
        ]
        return await self._client.patch(self._path(metadata.namespace, metadata.name), patch, JSON_PATCH)

    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """Merge into the status: null removes. Gives the whole resource as it is now."""
        return await self._client.patch(self._path(namespace, name, "status"), {"status": patch}, MERGE_PATCH)

    @staticmethod
    def _path(namespace: str, name: str, *below: str) -> str:
        return path(API_VERSION, ORGANIZATION.plural, namespace, name, *below)


def _reference(connector: AzureDevOpsConnector) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": CONNECTOR.kind,
        "name": connector.metadata.name,
        "uid": connector.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
