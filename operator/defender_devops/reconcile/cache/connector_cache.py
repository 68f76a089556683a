"""What is kept of each connector between two reconciles."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from defender_devops.api.azure_types import ConnectorRef, Counts
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.snapshot import AzureState

__all__ = ["ConnectorCache", "ConnectorCaches", "OrganizationCounts"]


@dataclass(slots=True)
class OrganizationCounts:
    """Counts of projects and repositories that Defender has discovered, by organization in lower case.

    Attributes:
        latest: the latest counts of each organization, from Resource Graph or by listing.
        missing_since: since when Resource Graph has had no row of an organization.
    """

    latest: dict[str, Counts] = field(default_factory=dict)
    missing_since: dict[str, datetime] = field(default_factory=dict)

    def keep_only(self, organizations: dict[str, str]) -> None:
        """Drop the counts of all other organizations."""
        for counts in (self.latest, self.missing_since):
            for key in counts.keys() - organizations.keys():
                del counts[key]


@dataclass(slots=True)
class ConnectorCache:
    """What is kept of one connector.

    Attributes:
        uid: uid of the resource; a new resource of the same name begins with an empty cache.
        ref: the connector that the rest is about; spec.azure can be corrected until the connector exists.
        azure_state: what Azure held at the last read, with our own writes applied.
        read_at: when all of it was last read from Azure Resource Manager.
        awaits_poll_since: since when its reconcile waits for the first poll of Resource Graph; None if it does not.
        is_confirmed: since the operator's start the API server has confirmed that the resource is the newest one.
        is_stale: there is evidence that Azure has changed since, so everything has to be read again.
        code: SHA-256 of the one-time code at the last reconcile.
        failures: failed reconciles in a row.
        poll_after: seconds between two reads of the operation under way, from the Retry-After of its start.
        counts: counts of its organizations.
        last_inputs: the inputs of the last reconcile, if that had nothing to do.
    """

    uid: str
    ref: ConnectorRef
    azure_state: AzureState | None = None
    read_at: datetime | None = None
    awaits_poll_since: datetime | None = None
    is_confirmed: bool = False
    is_stale: bool = False
    code: str | None = None
    failures: int = 0
    poll_after: float | None = None
    counts: OrganizationCounts = field(default_factory=OrganizationCounts)
    last_inputs: ReconcileInputs | None = None


class ConnectorCaches:
    """The cache of every connector."""

    def __init__(self) -> None:
        self._caches: dict[Key, ConnectorCache] = {}

    def get(self, key: Key) -> ConnectorCache | None:
        """Return the cache of a connector, or None if it has none yet."""
        return self._caches.get(key)

    def get_or_create(self, key: Key, uid: str, ref: ConnectorRef) -> ConnectorCache:
        """Return the cache of a resource; an empty one if the resource or its connector in Azure is another one."""
        cache = self._caches.get(key)
        if cache is None or cache.uid != uid or cache.ref != ref:
            cache = self._caches[key] = ConnectorCache(uid, ref)
        return cache

    def mark_stale(self, key: Key) -> None:
        """Make the next reconcile read everything from Azure, because something there has changed."""
        if (cache := self._caches.get(key)) is not None:
            cache.is_stale = True

    def remove(self, key: Key) -> None:
        """Drop the cache of a deleted resource."""
        self._caches.pop(key, None)
