"""Namespaces: only to know which cluster this is."""

from __future__ import annotations

from defender_devops.cluster.client import KubernetesClient, path

__all__ = ["cluster_uid"]


async def cluster_uid(client: KubernetesClient) -> str:
    """The uid of the namespace kube-system, by which clusters are commonly told apart.

    Raises:
        KubernetesError: it cannot be read.
    """
    body = await client.get(path("v1", "namespaces") + "/kube-system")
    return str(body["metadata"]["uid"])
