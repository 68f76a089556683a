"""AzureDevOpsConnectors: list them, and write finalizer and status. The operator never writes anything else of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from defender_devops.api.names import ANNOTATION_OPERATOR, API_VERSION, CONNECTOR, FINALIZER
from defender_devops.cluster.client import JSON_PATCH, MERGE_PATCH, Body, KubernetesClient, api_path
from defender_devops.cluster.errors import require_object
from defender_devops.errors import KubernetesConflict

__all__ = ["Connectors", "connectors_path"]

_ANNOTATIONS: Final = "/metadata/annotations"
_FINALIZERS: Final = "/metadata/finalizers"
_OPERATOR: Final = "/status/operator"


class Connectors:
    """Client for AzureDevOpsConnectors. All methods raise KubernetesError.

    Args:
        client: the API server.
        claim: value of the annotation that is written together with the finalizer; empty for none.
    """

    def __init__(self, client: KubernetesClient, claim: str = "") -> None:
        self._client = client
        self._claim = claim

    async def items(self, namespace: str | None) -> AsyncIterator[Body]:
        """Yield every connector of a namespace, or of all namespaces."""
        async for body in self._client.items(api_path(API_VERSION, CONNECTOR.plural, namespace)):
            yield body

    async def get(self, namespace: str, name: str) -> Body:
        """Return a connector as the API server holds it now."""
        return require_object(await self._client.get(self._path(namespace, name)), CONNECTOR.kind, name)

    async def patch_status(
        self, namespace: str, name: str, patch: Mapping[str, Any], *, resource_version: str | None = None
    ) -> Body:
        """Merge a patch into the status.

        Args:
            namespace: namespace of the connector.
            name: name of the connector.
            patch: fields to change; null removes a field.
            resource_version: expected current version; KubernetesConflict if the object has another one.

        Returns:
            The whole object after the write.
        """
        body: Body = {"status": patch}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        answer = await self._client.patch(self._path(namespace, name, "status"), body, MERGE_PATCH)
        return require_object(answer, CONNECTOR.kind, name)

    async def claim(self, live: Mapping[str, Any], claim: Mapping[str, str]) -> Body:
        """Write which installation manages a connector; KubernetesConflict if it is not the one in `live` any more."""
        metadata, current = live["metadata"], (live.get("status") or {}).get("operator")
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": _OPERATOR, "value": current},
            {"op": "add", "path": _OPERATOR, "value": dict(claim)},
        ]
        answer = await self._client.patch(
            self._path(metadata["namespace"], metadata["name"], "status"), patch, JSON_PATCH
        )
        return require_object(answer, CONNECTOR.kind, metadata["name"])

    async def add_finalizer(self, live: Mapping[str, Any]) -> Body:
        """Add the operator's finalizer and the claim; KubernetesConflict if the finalizers differ from those in `live`.

        Of two installations that add it at the same time, one gets the conflict, also where it already knows of the
        other's: what it has planned to do next is for the installation that added the finalizer.
        """
        finalizers = list(live["metadata"].get("finalizers") or ())
        if FINALIZER in finalizers:
            raise KubernetesConflict("The finalizer was added in the meantime; the steps are planned again.")
        return await self._replace_finalizers(live, finalizers, [*finalizers, FINALIZER], self._claim_patch(live))

    async def remove_finalizer(self, live: Mapping[str, Any]) -> Body:
        """Remove the operator's finalizer; KubernetesConflict if the finalizers differ from those in `live`."""
        finalizers = list(live["metadata"].get("finalizers") or ())
        if FINALIZER not in finalizers:
            return dict(live)
        return await self._replace_finalizers(live, finalizers, [name for name in finalizers if name != FINALIZER])

    def _claim_patch(self, live: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the part of a JSON patch that sets the annotation of the claim."""
        if not self._claim:
            return []
        if not live["metadata"].get("annotations"):
            return [
                {"op": "test", "path": _ANNOTATIONS, "value": None},
                {"op": "add", "path": _ANNOTATIONS, "value": {ANNOTATION_OPERATOR: self._claim}},
            ]
        path = f"{_ANNOTATIONS}/{ANNOTATION_OPERATOR.replace('/', '~1')}"
        return [{"op": "add", "path": path, "value": self._claim}]

    async def _replace_finalizers(
        self, live: Mapping[str, Any], current: list[str], desired: list[str], claim: Sequence[Mapping[str, Any]] = ()
    ) -> Body:
        metadata = live["metadata"]
        # The tests make the patch fail if another object has this name by now, or somebody else changed the
        # finalizers. A test of resourceVersion would fail after every write of the status, too.
        test = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": _FINALIZERS, "value": current or None},
        ]
        write = {"op": "add", "path": _FINALIZERS, "value": desired}
        patch = [*test, *claim, write]
        answer = await self._client.patch(self._path(metadata["namespace"], metadata["name"]), patch, JSON_PATCH)
        return require_object(answer, CONNECTOR.kind, metadata["name"])

    @staticmethod
    def _path(namespace: str, name: str, *below: str) -> str:
        return api_path(API_VERSION, CONNECTOR.plural, namespace, name, *below)


def connectors_path(namespace: str | None) -> str:
    """Return the path of the list of connectors."""
    return api_path(API_VERSION, CONNECTOR.plural, namespace)
