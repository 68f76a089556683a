"""Pods: only the labels of the operator's own pod."""

from __future__ import annotations

from collections.abc import Mapping

from defender_devops.cluster.client import MERGE_PATCH, KubernetesClient, api_path

__all__ = ["label_pod"]


async def label_pod(client: KubernetesClient, namespace: str, name: str, labels: Mapping[str, str | None]) -> None:
    """Set labels of a pod; None removes a label.

    Raises:
        KubernetesError: the pod could not be patched.
    """
    await client.patch(api_path("v1", "pods", namespace, name), {"metadata": {"labels": dict(labels)}}, MERGE_PATCH)
