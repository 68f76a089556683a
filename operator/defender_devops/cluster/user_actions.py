"""Connectors as a person works on them: read one, ask for a look, suspend, try what the API server would say.

Apart from `connectors`, which the operator uses: the operator never writes a spec or an annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from defender_devops.api.names import ANNOTATION_RECONCILE_REQUESTED_AT, API_VERSION, CONNECTOR
from defender_devops.cluster.client import MERGE_PATCH, Body, KubernetesClient, path, with_query

__all__ = ["MANAGER", "UserActions"]

MANAGER: Final = "kubectl-defender-devops"
"""Who a person with the command line is in managedFields: not the operator."""

_DRY_RUN: Final = {"dryRun": "All", "fieldValidation": "Strict"}


class UserActions:
    """AzureDevOpsConnectors, for a person. All methods raise KubernetesError."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def get(self, namespace: str, name: str) -> Body:
        """One connector; KubernetesNotFound where there is none."""
        return await self._client.get(_path(namespace, name))

    async def request_reconcile(self, namespace: str, name: str, value: str) -> Body:
        """Ask the operator for a look now; `value` must be another one than last time."""
        annotations = {ANNOTATION_RECONCILE_REQUESTED_AT: value}
        return await self._patch(namespace, name, {"metadata": {"annotations": annotations}})

    async def suspend(self, namespace: str, name: str) -> Body:
        """Let the operator leave Azure alone."""
        return await self._patch(namespace, name, {"spec": {"suspend": True}})

    async def resume(self, namespace: str, name: str) -> Body:
        """Let the operator go on: `spec.suspend` goes, so that nothing of ours is left in the spec."""
        return await self._patch(namespace, name, {"spec": {"suspend": None}})

    async def dry_run(self, manifest: Mapping[str, Any], live: Body | None) -> None:
        """Have the API server check a manifest as if it were written, by dry run; nothing changes.

        The whole spec is replaced by the manifest's, so that its rules (what cannot be changed, above all) are put to
        what git says, and not to a mixture with what is there.

        Args:
            manifest: with a namespace.
            live: the resource as it is; None where it is new.
        """
        metadata = dict(manifest["metadata"])
        if live is None:
            url = path(API_VERSION, CONNECTOR.plural, metadata["namespace"])
            await self._client.create(with_query(url, **_DRY_RUN), manifest)
            return
        body = {**live, "spec": manifest["spec"]}
        await self._client.replace(with_query(_path(metadata["namespace"], metadata["name"]), **_DRY_RUN), body)

    async def _patch(self, namespace: str, name: str, change: Mapping[str, Any]) -> Body:
        return await self._client.patch(_path(namespace, name), change, MERGE_PATCH)


def _path(namespace: str, name: str) -> str:
    return path(API_VERSION, CONNECTOR.plural, namespace, name)
