"""Which installation of the operator manages a connector, so that two that watch it never write against each other.

An installation claims a connector before it changes anything in Azure: by an annotation that is written together with
the finalizer, which the first status repeats in `status.operator`; where no finalizer is added, in `status.operator` at
once. Another one that finds the claim leaves the connector alone for as long as the lease of the first is renewed. The
times in a lease are those of another clock, so a lease counts as abandoned only once it was seen unchanged for long
enough here.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from defender_devops.api.connector import ManagementPolicy
from defender_devops.api.names import ANNOTATION_OPERATOR, FINALIZER
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.lease import Leases
from defender_devops.errors import KubernetesNotFound, KubernetesRefused
from defender_devops.reconcile.cache.resource_cache import Key
from defender_devops.reconcile.cache.write_through import WriteThrough

__all__ = ["RECHECK_SECONDS", "Installation", "OperatorClaims"]

RECHECK_SECONDS: Final = 300.0
"""Seconds after which a connector of another installation is reconciled again without an event."""

_LEASE_READ_INTERVAL: Final = 60.0
"""Seconds between two reads of one lease, however many connectors depend on it."""

_ABANDONED_AFTER: Final = 600.0
"""Seconds without a renewal after which the holder of a lease has stopped. A restart, an upgrade or the loss of a node
takes less."""

_FORGET_LEASE_AFTER: Final = 4 * RECHECK_SECONDS
"""Seconds after which the observation of a lease that no connector depends on any more is dropped."""

_LEASE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?", re.ASCII)
"""Namespace and name that a Lease can have. No other one is requested: `..` would lead to another path of the API, and
without a name, the request would list all leases, which is not permitted."""

_NAME_MAX: Final = 256
"""Longest name of an installation, as in the CRD. An annotation can be far longer, and the name labels a metric."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation of the operator, with all of its replicas.

    Attributes:
        name: identifies it in `status.operator`.
        lease: namespace and name of the Lease of its leader election, separated by a slash.
    """

    name: str
    lease: str

    @property
    def annotation(self) -> str:
        """Value of the annotation by which it claims a connector; a lease has no space in its name."""
        return f"{self.lease} {self.name}"

    def status(self) -> dict[str, str]:
        """Return `status.operator` of a connector that it manages."""
        return {"name": self.name, "lease": self.lease}


@dataclass(frozen=True, slots=True)
class _LeaseObservation:
    """What was last read of a lease.

    Attributes:
        renewal: holder and time of the last renewal; None if the lease may not be read.
        unchanged_since: when that renewal was first seen.
        read_at: when the lease was last read.
    """

    renewal: tuple[object, object] | None
    unchanged_since: float
    read_at: float


class OperatorClaims:
    """Claims connectors for this installation, and counts those of others.

    Args:
        installation: this one.
        connectors: writes claims.
        leases: reads the leases of other installations.
        write_through: stores what was written.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        installation: Installation,
        connectors: Connectors,
        leases: Leases,
        write_through: WriteThrough,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._installation = installation
        self._connectors = connectors
        self._leases = leases
        self._write_through = write_through
        self._monotonic = monotonic
        self._observations: dict[str, _LeaseObservation] = {}
        self._managed_elsewhere: dict[Key, str] = {}

    async def manages(self, key: Key, body: Mapping[str, Any]) -> bool:
        """Whether this installation manages a connector. One that no running installation manages is claimed.

        Raises:
            KubernetesConflict: another installation has claimed it in the meantime.
            KubernetesError: a lease could not be read, or the claim could not be written.
        """
        holder = _holder(body)
        if holder is not None and holder != self._installation and await self._is_running(holder.lease):
            if holder.name != self._installation.name:
                self._report(key, holder)
                return False
        elif holder != self._installation and not (holder is None and _awaits_finalizer(body)):
            self._write_through.connector(await self._connectors.claim(body, self._installation.status()))
        self.forget(key)
        return True

    def forget(self, key: Key) -> None:
        """Drop what is kept of a connector that was deleted, or that this installation manages."""
        self._managed_elsewhere.pop(key, None)

    def managed_elsewhere(self) -> Mapping[str, int]:
        """Return the number of connectors that other installations manage, by the installation's name."""
        return Counter(self._managed_elsewhere.values())

    async def _is_running(self, lease: str) -> bool:
        """Whether an installation renews its lease. One whose lease may not be read counts as running."""
        observation, now = self._observations.get(lease), self._monotonic()
        if observation is None or now - observation.read_at >= _LEASE_READ_INTERVAL:
            namespace, _, name = lease.partition("/")
            try:
                spec = await self._leases.read(namespace, name)
            except KubernetesNotFound:
                self._observations.pop(lease, None)
                return False
            except KubernetesRefused:
                observation = _LeaseObservation(None, now, now)
            else:
                renewal = (spec.get("holderIdentity"), spec.get("renewTime"))
                is_unchanged = observation is not None and observation.renewal == renewal
                since = observation.unchanged_since if observation is not None and is_unchanged else now
                observation = _LeaseObservation(renewal, since, now)
            self._keep(lease, observation)
        return observation.renewal is None or now - observation.unchanged_since < _ABANDONED_AFTER

    def _keep(self, lease: str, observation: _LeaseObservation) -> None:
        """Keep what was read of a lease; with a further one, drop those that no connector names any more."""
        if lease not in self._observations:
            oldest = observation.read_at - _FORGET_LEASE_AFTER
            self._observations = {key: value for key, value in self._observations.items() if value.read_at > oldest}
        self._observations[lease] = observation

    def _report(self, key: Key, holder: Installation) -> None:
        """Log the first connector of each other installation: the metric has the number of all."""
        if holder.name not in self._managed_elsewhere.values():
            observation = self._observations[holder.lease]
            cure = "Limit watchNamespaces of both installations, or uninstall one of them."
            if observation.renewal is None:
                cure += (
                    " This one may not read the other's lease. If that one no longer exists, set settings.operatorName"
                    f" to {holder.name} to take its connectors over."
                )
            _log.warning(
                "another installation of the operator manages connectors that this one watches, and writes nothing to",
                operator=holder.name,
                lease=holder.lease,
                fix=cure,
            )
        self._managed_elsewhere[key] = holder.name


def _awaits_finalizer(body: Mapping[str, Any]) -> bool:
    """Whether the next step adds the finalizer, and the claim with it, unless the manifest is invalid."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    return (
        FINALIZER not in (metadata.get("finalizers") or ())
        and not metadata.get("deletionTimestamp")
        and spec.get("suspend") is not True
        and spec.get("managementPolicy") != ManagementPolicy.OBSERVE
    )


def _holder(body: Mapping[str, Any]) -> Installation | None:
    """Return the installation that has claimed a connector; None if none has, or none that can exist."""
    claim = (body.get("status") or {}).get("operator") or {}
    name, lease = claim.get("name"), claim.get("lease")
    if not claim:
        annotations = body["metadata"].get("annotations") or {}
        lease, _, name = str(annotations.get(ANNOTATION_OPERATOR) or "").partition(" ")
    if not (isinstance(name, str) and isinstance(lease, str) and _LEASE.fullmatch(lease)):
        return None
    return Installation(name, lease) if 0 < len(name) <= _NAME_MAX else None
