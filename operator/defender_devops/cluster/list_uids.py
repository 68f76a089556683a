"""Who is there: the uids of all objects of a kind, and when that was so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from defender_devops.api.names import API_VERSION
from defender_devops.cluster.client import KubernetesClient, path

__all__ = ["Roll", "call_roll"]

_METADATA: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Without spec and status, which nobody needs here."""


@dataclass(frozen=True, slots=True)
class Roll:
    """All objects of a kind.

    Attributes:
        uids: of each.
        version: the list's resourceVersion: what was made later is not on it.
    """

    uids: frozenset[str]
    version: int


async def call_roll(client: KubernetesClient, plural: str, namespace: str | None) -> Roll:
    """List the objects of one of our kinds, in a namespace or in all.

    Raises:
        KubernetesError: they could not be listed.
    """
    uids: set[str] = set()
    version = 0
    # All pages of a list are of one moment, that of the first.
    async for page in client.pages(path(API_VERSION, plural, namespace), accept=_METADATA):
        version = version or int(page["metadata"]["resourceVersion"])
        uids.update(item["metadata"]["uid"] for item in page.get("items") or ())
    return Roll(frozenset(uids), version)
