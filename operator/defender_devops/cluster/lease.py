"""Leader election with a Lease (coordination.k8s.io/v1): at most one replica writes, and a standby takes over soon.

No replica depends on another one's clock. A standby takes over when it has observed no change of the Lease for the
duration that the Lease itself states, measured with its own monotonic clock; the times in the Lease are informative.
The leader stops writing earlier than that, counted from before it sent the last successful renewal. So clocks need to
run at about the same rate, but need not agree.

A process that was frozen may resume long after another replica has taken its lease. Therefore every write first calls
`fence`, which compares times and does not depend on any task having run.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import structlog

from defender_devops.cluster.client import Body, KubernetesClient, api_path
from defender_devops.cluster.errors import require_object
from defender_devops.errors import (
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
    LeadershipLost,
)

__all__ = ["LeaderElection", "LeaseTimes", "Leases"]

_API: Final = "coordination.k8s.io/v1"

_TIMER_MARGIN: Final = 0.01
"""Seconds. Timers are not exact: a deadline that was waited for must have passed when the timer fires."""

_log: Final = structlog.get_logger(__name__)


def _clock() -> float:
    """Return seconds of a clock that continues while the machine is suspended, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. After a leader's sudden death a standby leads within `duration` plus `retry_interval`.

    Attributes:
        duration: how long a standby waits after the last observed change before it takes the lease.
        deadline: how long the leader leads after its last renewal. The difference to `duration` covers requests under
            way at that moment and clocks that run at different rates.
        renew_interval: between two renewals of the leader.
        retry_interval: between two attempts of a standby, and between a failed renewal and the next one.
    """

    duration: int = 10
    deadline: float = 7.0
    renew_interval: float = 2.0
    retry_interval: float = 1.0

    def __post_init__(self) -> None:
        if not self.duration > self.deadline > self.renew_interval + self.retry_interval:
            raise ValueError("a lease must outlive its deadline, and the deadline a renewal that fails once")


class LeaderElection:
    """One candidate.

    Args:
        client: Kubernetes API client of its own: renewals must neither queue behind other requests nor be fenced.
        namespace: namespace of the lease.
        name: name of the lease.
        identity: unique for this process, also different from its own identity after a restart.
        times: durations and intervals.
        on_lost: called immediately, and before anything else, when leadership is lost.
        clock: seconds of a monotonic clock.
        chance: source of random numbers in [0, 1), for jitter.
    """

    def __init__(
        self,
        client: KubernetesClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        times: LeaseTimes = LeaseTimes(),
        on_lost: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = _clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._collection_url = api_path(_API, "leases", namespace)
        self._url = api_path(_API, "leases", namespace, name)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._times = times
        self._on_lost = on_lost
        self._clock = clock
        self._chance = chance
        self._leads_until = float("-inf")
        self._own_lease: Body = {}
        self._observed: Body | None = None
        self._observed_at = 0.0

    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._clock() < self._leads_until

    @property
    def is_standby(self) -> bool:
        """Whether another process held the lease when it was last read."""
        holder = (self._observed or {}).get("holderIdentity")
        return not self.is_leader() and bool(self._observed) and holder not in ("", self._identity)

    def fence(self) -> None:
        """Return if this process leads.

        Raises:
            LeadershipLost: it does not lead, or no longer.
        """
        if not self.is_leader():
            raise LeadershipLost("Another replica leads, or may lead, so this one writes nothing.")

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Acquire the lease, run `work` while holding it, and release it when the work ends or this is cancelled.

        Raises:
            LeadershipLost: the lease was lost; the work was cancelled.
            KubernetesRefused: a permission to read or write the lease is missing.
        """
        while True:
            retry_in = await self._try_acquire()
            if self.is_leader():
                break
            await asyncio.sleep(retry_in * (1 + 0.1 * self._chance()))
        _log.info("leading", identity=self._identity)
        working = asyncio.ensure_future(work())
        renewing = asyncio.ensure_future(self._renew_until_lost())
        try:
            await asyncio.wait({working, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The work may take time to end; the lease is renewed in the meantime.
            await _cancel_and_wait(working)
            await _cancel_and_wait(renewing)
            if self.is_leader():
                await self._release()
        for task in (renewing, working):
            if not task.cancelled():
                task.result()

    async def _try_acquire(self) -> float:
        """Read the lease and take it if it is free; return the seconds until the next attempt otherwise."""
        try:
            try:
                lease: Body | None = self._lease(await self._client.get(self._url))
            except KubernetesNotFound:
                lease = None
            free_in = 0.0 if lease is None else self._observe(lease)
            if free_in <= 0:
                await self._write_as_holder(lease)
        except KubernetesConflict:
            return self._times.retry_interval  # another replica was faster
        except KubernetesRefused:
            raise
        except KubernetesError as error:
            _log.warning("lease not readable", cause=error.message)
            return self._times.retry_interval
        return min(max(free_in, 0.0), self._times.retry_interval)

    def _observe(self, lease: Body) -> float:
        """Record the lease and return the seconds until it may be taken if it does not change."""
        spec = _spec(lease)
        if self._observed != spec:
            self._observed, self._observed_at = spec, self._clock()
        if spec.get("holderIdentity") in (None, "", self._identity):
            return 0.0
        return self._observed_at + float(spec.get("leaseDurationSeconds") or 0) - self._clock()

    async def _write_as_holder(self, lease: Body | None) -> None:
        """Write this process into the lease as it was read."""
        requested_at, now = self._clock(), _micro_time()
        fields = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.duration,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        if lease is None:
            body = {"apiVersion": _API, "kind": "Lease", "metadata": self._metadata, "spec": fields}
            self._own_lease = self._lease(await self._client.create(self._collection_url, body))
        else:
            spec = _spec(lease)
            # The holder may be this process already: an earlier write succeeded, and its response was lost.
            is_holder = spec.get("holderIdentity") == self._identity
            fields["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (0 if is_holder else 1)
            body = {**lease, "spec": {**spec, **fields}}
            self._own_lease = self._lease(await self._client.replace(self._url, body))
        self._leads_until = requested_at + self._times.deadline

    async def _renew_until_lost(self) -> None:
        """Renew the lease again and again.

        Raises:
            LeadershipLost: renewal failed until the deadline, or another process holds the lease.
        """
        wait = self._times.renew_interval
        while True:
            await asyncio.sleep(min(wait, max(self._leads_until - self._clock(), 0.0) + _TIMER_MARGIN))
            try:
                async with asyncio.timeout(max(self._leads_until - self._clock(), 0.0)):
                    is_renewed = await self._renew()
            except TimeoutError:
                is_renewed = False
            if not self.is_leader():
                self._leads_until = float("-inf")
                _log.error("leadership lost", identity=self._identity)
                self._on_lost()
                raise LeadershipLost("The lease could not be renewed in time, or another replica has taken it.")
            wait = self._times.renew_interval if is_renewed else self._times.retry_interval

    async def _renew(self) -> bool:
        """Renew the lease and return whether that succeeded. Another holder ends leadership immediately."""
        requested_at = self._clock()
        if requested_at >= self._leads_until:
            return False  # frozen for longer than this process may lead: another one may hold the lease by now
        spec = {**_spec(self._own_lease), "renewTime": _micro_time()}
        try:
            self._own_lease = self._lease(await self._client.replace(self._url, {**self._own_lease, "spec": spec}))
        except KubernetesConflict:
            await self._reread()
            return False
        except KubernetesNotFound:
            self._leads_until = float("-inf")  # another replica may have created a new one
            return False
        except KubernetesError as error:
            _log.warning("lease not renewed", cause=error.message)
            return False
        self._leads_until = requested_at + self._times.deadline
        return True

    async def _reread(self) -> None:
        """Read the lease after somebody else wrote it; the next renewal is based on it if the holder is the same."""
        try:
            lease = self._lease(await self._client.get(self._url))
        except KubernetesError as error:
            _log.warning("lease not readable", cause=error.message)
            return
        if _spec(lease).get("holderIdentity") == self._identity:
            self._own_lease = lease
        else:
            self._leads_until = float("-inf")

    def _lease(self, body: Body) -> Body:
        """Return the lease in a response; whoever believes that another answer renews it may not be the leader."""
        return _require_lease(body, self._metadata["name"])

    async def _release(self) -> None:
        """Clear the holder so that a standby can lead at once. Nothing may be written from here on, even on failure."""
        timeout, self._leads_until = self._leads_until - self._clock(), float("-inf")
        spec = {**_spec(self._own_lease), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
        try:
            async with asyncio.timeout(timeout):
                await self._client.replace(self._url, {**self._own_lease, "spec": spec})
        except (KubernetesError, TimeoutError) as error:
            _log.warning("lease not released: it expires by itself", cause=str(error))
        else:
            _log.info("lease released", identity=self._identity)


class Leases:
    """Reads leases of other installations."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> Mapping[str, Any]:
        """Return the spec of a lease.

        Raises:
            KubernetesNotFound: there is none.
            KubernetesRefused: the permission to read it is missing.
            KubernetesError: the API server did not answer with it.
        """
        return _spec(_require_lease(await self._client.get(api_path(_API, "leases", namespace, name)), name))


async def _cancel_and_wait(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait until it has ended in whatever way."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # retrieved here, or asyncio logs that it never was


def _require_lease(body: Body, name: str) -> Body:
    """Return the lease in a response of the API server.

    Raises:
        KubernetesUnavailable: it is not that lease, so nothing follows from it.
    """
    spec = require_object(body, "Lease", name).get("spec") or {}
    is_valid = isinstance(spec.get("holderIdentity"), str | None) and all(
        isinstance(spec.get(field), int | None) for field in ("leaseDurationSeconds", "leaseTransitions")
    )
    if not is_valid:
        raise KubernetesUnavailable("The lease in the response of the Kubernetes API server is not valid.")
    return body


def _spec(lease: Body) -> dict[str, Any]:
    return cast("dict[str, Any]", lease.get("spec") or {})


def _micro_time() -> str:
    """Return the current time as metav1.MicroTime, which is UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
