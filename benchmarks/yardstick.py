"""What the operator is measured beside: a plain kopf operator that calls no Azure.

    python -m benchmarks.yardstick PORT

For each AzureDevOpsConnector it makes a DevOpsOrganization for each name in `spec.organizations.names` and writes every
status once: kopf's change handlers with the asynchronous client of the official library, as kopf's documentation shows
them. It decides nothing, remembers nothing and repairs nothing, so that its time is what kopf, the API server and that
many writes cost. PORT answers /healthz once it watches.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import kopf
from kubernetes.aio import client, config

GROUP, VERSION, KIND = "defender-devops.io", "v1alpha1", "AzureDevOpsConnector"
ORGANIZATIONS = "devopsorganizations"


@kopf.on.startup()
async def connect(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Sign in; keep kopf from posting an event for each handler, which the operator does not either."""
    settings.posting.enabled = False
    await config.load_kube_config()  # type: ignore[no-untyped-call]
    memo.api = client.CustomObjectsApi(client.ApiClient())


@kopf.on.cleanup()
async def disconnect(memo: kopf.Memo, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Close the connections."""
    await memo.api.api_client.close()


@kopf.on.create(GROUP, VERSION, KIND)
async def create(
    spec: Mapping[str, Any],
    meta: kopf.Meta,
    patch: kopf.Patch,
    memo: kopf.Memo,
    **_: Any,  # noqa: ANN401 - kopf's
) -> None:
    """Make the organizations, write their statuses and the connector's own."""
    names: list[str] = spec["organizations"]["names"]
    for organization in names:
        manifest: dict[str, Any] = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "DevOpsOrganization",
            "metadata": {"name": f"{meta.name}-{organization}"},
            "spec": {"connectorRef": {"name": meta.name}, "organization": organization},
        }
        kopf.adopt(manifest)
        made = await memo.api.create_namespaced_custom_object(GROUP, VERSION, meta.namespace, ORGANIZATIONS, manifest)
        await memo.api.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            meta.namespace,
            ORGANIZATIONS,
            manifest["metadata"]["name"],
            {"status": _ready(made["metadata"]["generation"])},
            _content_type="application/merge-patch+json",
        )
    patch.status.update(_ready(meta["generation"]))


@kopf.on.update(GROUP, VERSION, KIND)
async def update(meta: kopf.Meta, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's
    """Say that the newest spec was seen."""
    patch.status.update(_ready(meta["generation"]))


@kopf.on.delete(GROUP, VERSION, KIND)
async def delete(**_: Any) -> None:  # noqa: ANN401 - kopf's
    """Let it go; that there is such a handler is why kopf puts a finalizer on, as the operator does."""


def _ready(generation: int) -> dict[str, Any]:
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"observedGeneration": generation, "conditions": [condition]}


if __name__ == "__main__":
    kopf.run(clusterwide=True, liveness_endpoint=f"http://127.0.0.1:{int(sys.argv[1])}/healthz", standalone=True)
