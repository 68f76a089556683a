"""AzureDevOpsConnectors: finalizer and status. Nothing else of them is ever written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from defender_devops.api.names import API_VERSION, CONNECTOR, FINALIZER
from defender_devops.cluster.client import JSON_PATCH, MERGE_PATCH, Body, KubernetesClient, path

__all__ = ["Connectors"]

_FINALIZERS: Final = "/metadata/finalizers"


class Connectors:
    """AzureDevOpsConnectors of the cluster. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def items(self, namespace: str | None) -> AsyncIterator[Body]:
        """Every connector of a namespace, or of all."""
        async for body in self._client.items(path(API_VERSION, CONNECTOR.plural, namespace)):
            yield body

    async def patch_status(
        self, namespace: str, name: str, patch: Mapping[str, Any], *, resource_version: str | None = None
    ) -> Body:
        """Merge into the status.

        Args:
            namespace: of the resource.
            name: of the resource.
            patch: what differs; null removes.
            resource_version: if given, a version that is no longer the newest is KubernetesConflict.

        Returns:
            The whole resource as it is now.
        """
        body: Body = {"status": patch}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return await self._client.patch(self._path(namespace, name, "status"), body, MERGE_PATCH)

    async def add_finalizer(self, live: Mapping[str, Any]) -> Body:
        """Add our finalizer to a resource as it was last seen; KubernetesConflict where its finalizers have changed."""
        before = list(live["metadata"].get("finalizers") or ())
        if FINALIZER in before:
            return dict(live)
        return await self._write_finalizers(live, before, [*before, FINALIZER])

    async def remove_finalizer(self, live: Mapping[str, Any]) -> Body:
        """Take our finalizer off a resource as it was last seen; KubernetesConflict where they have changed."""
        before = list(live["metadata"].get("finalizers") or ())
        if FINALIZER not in before:
            return dict(live)
        return await self._write_finalizers(live, before, [each for each in before if each != FINALIZER])

    async def _write_finalizers(self, live: Mapping[str, Any], before: list[str], after: list[str]) -> Body:
        metadata = live["metadata"]
        test = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": _FINALIZERS, "value": before or None},
        ]
        write = {"op": "add", "path": _FINALIZERS, "value": after}
        return await self._client.patch(self._path(metadata["namespace"], metadata["name"]), [*test, write], JSON_PATCH)

    @staticmethod
    def _path(namespace: str, name: str, *below: str) -> str:
        return path(API_VERSION, CONNECTOR.plural, namespace, name, *below)
