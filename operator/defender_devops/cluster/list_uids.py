"""List uids and versions of all objects of one kind, so that what happened while nobody watched is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from defender_devops.api.names import API_VERSION
from defender_devops.cluster.client import KubernetesClient, api_path
from defender_devops.errors import KubernetesUnavailable

__all__ = ["ListedObject", "UidList", "list_uids"]

_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Media type of a list without spec and status: a uid needs neither."""


class ListedObject(NamedTuple):
    """One object of a list.

    Attributes:
        namespace: its namespace.
        name: its name.
        resource_version: its version.
    """

    namespace: str
    name: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class UidList:
    """The objects of one kind at one moment.

    Attributes:
        objects: the objects by uid.
        resource_version: the list's version; objects created later are not in the list.
    """

    objects: Mapping[str, ListedObject]
    resource_version: int


async def list_uids(client: KubernetesClient, plural: str, namespace: str | None) -> UidList:
    """List the objects of one of the operator's kinds.

    Args:
        client: Kubernetes API client.
        plural: plural name of the kind.
        namespace: namespace to list, or None for all.

    Raises:
        KubernetesError: the list failed, or lacks what every list has: it would remove every object from the cache.
    """
    objects: dict[str, ListedObject] = {}
    resource_version = 0
    # All pages of a paginated list are consistent with the resourceVersion of its first page.
    async for page in client.pages(api_path(API_VERSION, plural, namespace), accept=_METADATA_ONLY):
        resource_version = resource_version or _version(page["metadata"])
        for item in page.get("items") or ():
            metadata = item["metadata"]
            uid, name = metadata.get("uid"), metadata.get("name")
            if not (isinstance(uid, str) and uid and isinstance(name, str)):
                raise KubernetesUnavailable("An object in a list of the Kubernetes API server has no uid or name.")
            objects[uid] = ListedObject(str(metadata.get("namespace") or ""), name, _version(metadata))
    return UidList(objects, resource_version)


def _version(metadata: Mapping[str, Any]) -> int:
    version = metadata.get("resourceVersion")
    if not (isinstance(version, str) and version.isdecimal()):
        raise KubernetesUnavailable("A list of the Kubernetes API server has no resourceVersion.")
    return int(version)
