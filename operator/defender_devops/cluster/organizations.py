"""DevOpsOrganizations: create, delete and release the generated ones; of declared ones write only the status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.names import API_VERSION, CONNECTOR, LABEL_CONNECTOR, LABEL_GENERATED, ORGANIZATION
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.cluster.client import JSON_PATCH, MERGE_PATCH, Body, KubernetesClient, api_path
from defender_devops.cluster.errors import require_object

__all__ = ["Organizations", "organizations_path"]

_OUR_LABELS: Final = (LABEL_GENERATED, LABEL_CONNECTOR)


class Organizations:
    """Client for DevOpsOrganizations. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def items(self, namespace: str | None) -> AsyncIterator[Body]:
        """Yield every organization of a namespace, or of all namespaces."""
        async for body in self._client.items(api_path(API_VERSION, ORGANIZATION.plural, namespace)):
            yield body

    async def create(self, namespace: str, name: str, connector: AzureDevOpsConnector, organization: str) -> Body:
        """Create the generated resource of an organization.

        Its spec names the organization and sets nothing else. The operator never writes the spec again.

        Raises:
            KubernetesConflict: a resource of that name exists; it is not changed.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": ORGANIZATION.kind,
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": _labels(connector),
                "ownerReferences": [_owner(connector)],
            },
            "spec": {"connectorRef": {"name": connector.metadata.name}, "organization": organization},
        }
        answer = await self._client.create(api_path(API_VERSION, ORGANIZATION.plural, namespace), body)
        return require_object(answer, ORGANIZATION.kind, name)

    async def delete(self, namespace: str, name: str, uid: str, resource_version: str) -> None:
        """Delete a generated resource; KubernetesConflict if its uid or resourceVersion has changed."""
        await self._client.delete(self._path(namespace, name), {"uid": uid, "resourceVersion": resource_version})

    async def restore(self, resource: DevOpsOrganization, connector: AzureDevOpsConnector) -> Body:
        """Add the operator's labels and ownerReference again to a generated resource that lost one of them."""
        metadata = resource.metadata
        owners = [reference.dump() for reference in metadata.owner_references if not reference.is_connector]
        patch: list[Body] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
            {"op": "add", "path": "/metadata/labels", "value": {**metadata.labels, **_labels(connector)}},
            {"op": "add", "path": "/metadata/ownerReferences", "value": [*owners, _owner(connector)]},
        ]
        answer = await self._client.patch(self._path(metadata.namespace, metadata.name), patch, JSON_PATCH)
        return require_object(answer, ORGANIZATION.kind, metadata.name)

    async def release(self, resource: DevOpsOrganization) -> Body:
        """Remove the operator's labels and ownerReference from a resource that a user manages now."""
        metadata = resource.metadata
        owners = [reference.dump() for reference in metadata.owner_references if not reference.is_connector]
        labels = {key: value for key, value in metadata.labels.items() if key not in _OUR_LABELS}
        patch: list[Body] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
            {"op": "add", "path": "/metadata/labels", "value": labels},
            {"op": "add", "path": "/metadata/ownerReferences", "value": owners},
        ]
        answer = await self._client.patch(self._path(metadata.namespace, metadata.name), patch, JSON_PATCH)
        return require_object(answer, ORGANIZATION.kind, metadata.name)

    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """Merge a patch into the status (null removes a field) and return the whole object after the write."""
        answer = await self._client.patch(self._path(namespace, name, "status"), {"status": patch}, MERGE_PATCH)
        return require_object(answer, ORGANIZATION.kind, name)

    @staticmethod
    def _path(namespace: str, name: str, *below: str) -> str:
        return api_path(API_VERSION, ORGANIZATION.plural, namespace, name, *below)


def _labels(connector: AzureDevOpsConnector) -> dict[str, str]:
    return {LABEL_GENERATED: "true", LABEL_CONNECTOR: connector.metadata.name}


def _owner(connector: AzureDevOpsConnector) -> Body:
    return {
        "apiVersion": API_VERSION,
        "kind": CONNECTOR.kind,
        "name": connector.metadata.name,
        "uid": connector.metadata.uid,
        "controller": True,
        # True would need the permission to set finalizers on connectors, and block their foreground deletion.
        "blockOwnerDeletion": False,
    }


def organizations_path(namespace: str | None) -> str:
    """Return the path of the list of organizations."""
    return api_path(API_VERSION, ORGANIZATION.plural, namespace)
