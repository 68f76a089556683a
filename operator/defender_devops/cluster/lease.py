"""Leader election by a Lease (coordination.k8s.io/v1): at most one replica writes, and another takes over soon.

Nobody trusts anybody's clock. A standby takes over when it has seen no change of the record for as long as the record
itself says, by a clock of its own that only goes forward; the times in the record are for people. The leader in turn
stops believing in its lease earlier than that, counted from before the renewal was sent. So what counts is that two
clocks run about equally fast, not that they agree.

A process that was frozen may wake up long after its lease was taken. Therefore nothing may be written without asking
`fence` right before, which compares times and needs no task to have run since.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import structlog

from defender_devops.cluster.client import Body, KubernetesClient, path
from defender_devops.errors import (
    KubernetesConflict,
    KubernetesError,
    KubernetesNotFound,
    KubernetesRefused,
    LeadershipLost,
)

__all__ = ["LeaderElection", "LeaseTimes"]

_API: Final = "coordination.k8s.io/v1"

_PAST: Final = 0.01
"""Seconds: timers are not exact, and a deadline that is waited for should be over then."""

_log: Final = structlog.get_logger(__name__)


def _clock() -> float:
    """Seconds that go on while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. After a leader's sudden death another one leads within `duration` plus `retry_interval`.

    Attributes:
        duration: after the last change that it saw, a standby takes the lease.
        deadline: after its last renewal, the leader no longer leads. What is left of `duration` is for requests that
            are under way then, and for clocks that do not run equally fast.
        renew_interval: between two renewals of the leader.
        retry_interval: between two looks of a standby, and between a failed renewal and the next.
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
        client: the API; one of its own, since renewals must not queue up behind other requests, nor be fenced.
        namespace: of the lease.
        name: of the lease.
        identity: of this process, different from every other one's, also from its own after a restart.
        times: how long is what.
        on_lost: called at once, and before anything else, when the lease is lost.
        clock: seconds of a clock that never goes back.
        chance: random numbers in [0, 1).
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
        self._leases = path(_API, "leases", namespace)
        self._lease = path(_API, "leases", namespace, name)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._times = times
        self._lost = on_lost
        self._clock = clock
        self._chance = chance
        self._leads_until = float("-inf")
        self._held: Body = {}
        self._seen: Body | None = None
        self._seen_at = 0.0

    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._clock() < self._leads_until

    @property
    def is_standby(self) -> bool:
        """Whether another process was seen to hold the lease when it was last looked at."""
        return (
            not self.is_leader()
            and bool(self._seen)
            and (self._seen or {}).get("holderIdentity") not in ("", self._identity)
        )

    def fence(self) -> None:
        """Pass if this process leads.

        Raises:
            LeadershipLost: it does not, or not any more.
        """
        if not self.is_leader():
            raise LeadershipLost("Another replica leads, or may lead: nothing is written here any more.")

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, do the work while holding it, and give it back when the work ends or this is cancelled.

        Raises:
            LeadershipLost: the lease was lost; the work was cancelled.
            KubernetesRefused: the lease cannot be read or written for lack of rights.
        """
        await self._acquire()
        _log.info("leading", identity=self._identity)
        working = asyncio.ensure_future(work())
        keeping = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The work may take its time to end; meanwhile the lease is still renewed.
            await _ended(working)
            await _ended(keeping)
            if self.is_leader():
                await self._release()
        for task in (keeping, working):
            if not task.cancelled():
                task.result()

    async def _acquire(self) -> None:
        while True:
            wait = await self._try()
            if self.is_leader():
                return
            await asyncio.sleep(wait * (1 + 0.1 * self._chance()))

    async def _try(self) -> float:
        """Look at the lease and take it if it is free; gives the seconds until the next look, if it was not."""
        try:
            lease = await self._read()
            free_in = 0.0 if lease is None else self._free_in(lease)
            if free_in <= 0:
                await self._take(lease)
        except KubernetesConflict:
            return self._times.retry_interval  # another was faster
        except KubernetesRefused:
            raise
        except KubernetesError as error:
            _log.warning("the lease cannot be looked at", cause=error.message)
            return self._times.retry_interval
        return min(max(free_in, 0.0), self._times.retry_interval)

    async def _read(self) -> Body | None:
        try:
            return await self._client.get(self._lease)
        except KubernetesNotFound:
            return None

    def _free_in(self, lease: Body) -> float:
        """Seconds until the lease may be taken, as far as is known now."""
        spec = _spec(lease)
        if self._seen != spec:
            self._seen, self._seen_at = spec, self._clock()
        if spec.get("holderIdentity") in (None, "", self._identity):
            return 0.0
        return self._seen_at + float(spec.get("leaseDurationSeconds") or 0) - self._clock()

    async def _take(self, lease: Body | None) -> None:
        """Write ourselves into the lease as it was read."""
        asked_at, now = self._clock(), _micro_time()
        ours = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.duration,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        if lease is None:
            body = {"apiVersion": _API, "kind": "Lease", "metadata": self._metadata, "spec": ours}
            self._held = await self._client.create(self._leases, body)
        else:
            before = _spec(lease)
            is_ours = before.get("holderIdentity") == self._identity  # written before, and the answer was lost
            ours["leaseTransitions"] = int(before.get("leaseTransitions") or 0) + (0 if is_ours else 1)
            self._held = await self._client.replace(self._lease, {**lease, "spec": {**before, **ours}})
        self._leads_until = asked_at + self._times.deadline

    async def _keep(self) -> None:
        """Renew the lease again and again.

        Raises:
            LeadershipLost: that failed for too long, or somebody else holds it.
        """
        wait = self._times.renew_interval
        while True:
            await asyncio.sleep(min(wait, max(self._leads_until - self._clock(), 0.0) + _PAST))
            left = self._leads_until - self._clock()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    renewed = await self._renew()
            except TimeoutError:
                renewed = False
            if not self.is_leader():
                self._leads_until = float("-inf")
                _log.error("leadership is lost", identity=self._identity)
                self._lost()
                raise LeadershipLost("The lease could not be renewed in time, or another replica has taken it.")
            wait = self._times.renew_interval if renewed else self._times.retry_interval

    async def _renew(self) -> bool:
        """Renew the lease; gives whether it worked. Seeing another holder ends our leadership at once."""
        asked_at = self._clock()
        if asked_at >= self._leads_until:
            return False  # frozen for longer than we may lead: not even the lease is ours to write
        spec = {**_spec(self._held), "renewTime": _micro_time()}
        try:
            self._held = await self._client.replace(self._lease, {**self._held, "spec": spec})
        except KubernetesConflict:
            await self._look_again()
            return False
        except KubernetesNotFound:
            self._leads_until = float("-inf")  # whoever deleted it may have let another in
            return False
        except KubernetesError as error:
            _log.warning("the lease was not renewed", cause=error.message)
            return False
        self._leads_until = asked_at + self._times.deadline
        return True

    async def _look_again(self) -> None:
        """Somebody wrote the lease in between: the next renewal goes on from there, if it still is ours."""
        try:
            lease = await self._client.get(self._lease)
        except KubernetesError as error:
            _log.warning("the lease cannot be looked at", cause=error.message)
            return
        if _spec(lease).get("holderIdentity") == self._identity:
            self._held = lease
        else:
            self._leads_until = float("-inf")

    async def _release(self) -> None:
        """Let the next one in at once. From here on nothing may be written, whether that succeeds or not."""
        left, self._leads_until = self._leads_until - self._clock(), float("-inf")
        spec = {**_spec(self._held), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()}
        try:
            async with asyncio.timeout(left):
                await self._client.replace(self._lease, {**self._held, "spec": spec})
        except (KubernetesError, TimeoutError) as error:
            _log.warning("the lease was not given back: it runs out by itself", cause=str(error))
        else:
            _log.info("lease given back", identity=self._identity)


async def _ended(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait until it has ended, however."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # asyncio complains of one that nobody has looked at


def _spec(lease: Body) -> dict[str, Any]:
    return cast("dict[str, Any]", lease.get("spec") or {})


def _micro_time() -> str:
    """The moment as metav1.MicroTime, which is UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
