"""What a person does to connectors: read one, request a reconcile, suspend, resume, validate a manifest by dry run.

Separate from `connectors`, which the operator uses: the operator never writes a spec or an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from defender_devops.api.names import ANNOTATION_RECONCILE_REQUESTED_AT, API_VERSION, CONNECTOR
from defender_devops.cluster.client import MERGE_PATCH, Body, KubernetesClient, api_path, path_with_query
from defender_devops.cluster.errors import require_object

__all__ = ["MANAGER", "UserActions"]

MANAGER: Final = "kubectl-defender-devops"
"""Field manager of the command line, so that managedFields distinguish a person from the operator."""

_DRY_RUN: Final = {"dryRun": "All", "fieldValidation": "Strict"}


class UserActions:
    """Actions of a person on AzureDevOpsConnectors. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def get(self, namespace: str, name: str) -> Body:
        """Return one connector; KubernetesNotFound if it does not exist."""
        return require_object(await self._client.get(_path(namespace, name)), CONNECTOR.kind, name)

    async def request_reconcile(self, namespace: str, name: str, value: str) -> Body:
        """Request a reconcile by annotation; `value` must differ from the previous one."""
        annotations = {ANNOTATION_RECONCILE_REQUESTED_AT: value}
        return await self._patch(namespace, name, {"metadata": {"annotations": annotations}})

    async def suspend(self, namespace: str, name: str) -> Body:
        """Set `spec.suspend`, so that the operator neither reads nor changes anything in Azure."""
        return await self._patch(namespace, name, {"spec": {"suspend": True}})

    async def resume(self, namespace: str, name: str) -> Body:
        """Remove `spec.suspend`. It is removed and not set to false, so that no field of this manager stays."""
        return await self._patch(namespace, name, {"spec": {"suspend": None}})

    async def dry_run(self, manifest: Mapping[str, Any], live: Body | None) -> None:
        """Have the API server validate a manifest as if it were applied; nothing is stored.

        The whole spec is replaced by the manifest's, so that the validation rules (above all those about immutable
        fields) see what git declares and not a mixture with the live spec.

        Args:
            manifest: a connector with a namespace.
            live: the existing object; None for a new one.
        """
        metadata = dict(manifest["metadata"])
        if live is None:
            url = api_path(API_VERSION, CONNECTOR.plural, metadata["namespace"])
            await self._client.create(path_with_query(url, **_DRY_RUN), manifest)
            return
        body = {**live, "spec": manifest["spec"]}
        await self._client.replace(path_with_query(_path(metadata["namespace"], metadata["name"]), **_DRY_RUN), body)

    async def _patch(self, namespace: str, name: str, change: Mapping[str, Any]) -> Body:
        answer = await self._client.patch(_path(namespace, name), change, MERGE_PATCH)
        return require_object(answer, CONNECTOR.kind, name)


def _path(namespace: str, name: str) -> str:
    return api_path(API_VERSION, CONNECTOR.plural, namespace, name)
