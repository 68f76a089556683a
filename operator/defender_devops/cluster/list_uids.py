"""List the uids of all objects of one kind, so that objects deleted while nobody watched are noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from defender_devops.api.names import API_VERSION
from defender_devops.cluster.client import KubernetesClient, api_path

__all__ = ["UidList", "list_uids"]

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Media type of a list without spec and status: a uid needs neither."""


@dataclass(frozen=True, slots=True)
class UidList:
    """The objects of one kind at one moment.

    Attributes:
        uids: the uid of each object.
        resource_version: the list's version; objects created later are not in the list.
    """

    uids: frozenset[str]
    resource_version: int


async def list_uids(client: KubernetesClient, plural: str, namespace: str | None) -> UidList:
    """List the objects of one of the operator's kinds.

    Args:
        client: Kubernetes API client.
        plural: plural name of the kind.
        namespace: namespace to list, or None for all.

    Raises:
        KubernetesError: the list failed.
    """
    uids: set[str] = set()
    resource_version = 0
    # All pages of a paginated list are consistent with the resourceVersion of its first page.
    async for page in client.pages(api_path(API_VERSION, plural, namespace), accept=_METADATA_ONLY):
        resource_version = resource_version or int(page["metadata"]["resourceVersion"])
        uids.update(item["metadata"]["uid"] for item in page.get("items") or ())
    return UidList(frozenset(uids), resource_version)
