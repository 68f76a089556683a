"""What the operator remembers of a connector between two reconciles. All of it can be lost: it is read again then."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from defender_devops.api.azure_types import Counts
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.cache.unchanged import ReconcileInputs
from defender_devops.reconcile.facts.snapshot import AzureState

__all__ = ["ConnectorCache", "ConnectorCaches", "OrganizationCounts"]


@dataclass(slots=True)
class OrganizationCounts:
    """What is remembered of a connector's counts.

    Attributes:
        known: the last counts of each organization, whatever their source.
        missing_since: since when Resource Graph has had no row of an organization.
    """

    known: dict[str, Counts] = field(default_factory=dict)
    missing_since: dict[str, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class ConnectorCache:
    """Of one connector.

    Attributes:
        uid: of the resource; another one of the same name starts anew.
        cloud: what Azure held when it was last read, with our own writes folded in.
        read_at: when all of it was last read from Azure Resource Manager.
        hinted: somebody says that Azure has changed since: everything is read afresh.
        generation: of the spec that was last reconciled.
        code: hash of the one-time code that was last seen.
        failures: failed reconciles in a row.
        poll_after: seconds between two looks at the operation under way, as Azure named them when it began.
        counted: projects and repositories of its organizations.
        rest: what the last look rested on, if that had nothing to do.
    """

    uid: str
    cloud: AzureState | None = None
    read_at: datetime | None = None
    is_stale: bool = False
    generation: int = 0
    code: str | None = None
    failures: int = 0
    poll_after: float | None = None
    counted: OrganizationCounts = field(default_factory=OrganizationCounts)
    last_inputs: ReconcileInputs | None = None

    def was_read_since(self, moment: datetime) -> bool:
        """Whether what is remembered is no older than that."""
        return self.read_at is not None and self.read_at > moment


class ConnectorCaches:
    """The memory of every connector."""

    def __init__(self) -> None:
        self._connector_caches: dict[Key, ConnectorCache] = {}

    def of(self, key: Key, uid: str) -> ConnectorCache:
        """The memory of a resource."""
        cache = self._connector_caches.get(key)
        if cache is None or cache.uid != uid:
            cache = self._connector_caches[key] = ConnectorCache(uid)
        return cache

    def cloud(self, key: Key) -> AzureState | None:
        """What Azure held when it was last read."""
        cache = self._connector_caches.get(key)
        return cache.cloud if cache is not None else None

    def mark_stale(self, key: Key) -> None:
        """Something in Azure has changed."""
        cache = self._connector_caches.get(key)
        if cache is not None:
            cache.is_stale = True

    def uid(self, key: Key) -> str | None:
        """The uid of the resource that is remembered by that name."""
        cache = self._connector_caches.get(key)
        return cache.uid if cache is not None else None

    def forget(self, key: Key) -> None:
        """The resource is gone."""
        self._connector_caches.pop(key, None)
