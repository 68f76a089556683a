"""The id of the cluster: the uid of its namespace kube-system."""

from __future__ import annotations

from defender_devops.cluster.client import KubernetesClient, api_path
from defender_devops.cluster.errors import require_object

__all__ = ["cluster_uid"]


async def cluster_uid(client: KubernetesClient) -> str:
    """Return the uid of the namespace kube-system, which commonly serves as the id of a cluster.

    Raises:
        KubernetesError: the namespace cannot be read.
    """
    body = await client.get(api_path("v1", "namespaces") + "/kube-system")
    return str(require_object(body, "Namespace", "kube-system")["metadata"]["uid"])
