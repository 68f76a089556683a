from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from defender_devops.cluster.lease import LeaderElection, LeaseTimes
from defender_devops.errors import (
    KubernetesConflict,
    KubernetesNotFound,
    KubernetesRefused,
    KubernetesUnavailable,
    LeadershipLost,
)

pytestmark = pytest.mark.looptime

TIMES = LeaseTimes(duration=10, deadline=7.0, renew_interval=2.0, retry_interval=1.0)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/operator/leases/it"


def _now() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """Stores one lease, with the API server's rules for resourceVersion."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.holders: list[tuple[str, float]] = []

    def store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **copy.deepcopy(body)}
        self.lease["metadata"] |= {"uid": "u", "resourceVersion": str(self.version)}
        holder = body["spec"]["holderIdentity"]
        if not self.holders or self.holders[-1][0] != holder:
            self.holders.append((holder, round(_now(), 1)))
        return copy.deepcopy(self.lease)


class Client:
    """One candidate's connection to the server, which may be slow or broken."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seconds = 0.01
        self.error: Exception | None = None
        self.answers_are_lost = False
        self.garbage: dict[str, Any] | None = None
        self.writes: list[float] = []

    async def _travel(self) -> None:
        if self.seconds:  # a request on an open connection is sent before anything else can run
            await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error

    async def get(self, url: str) -> dict[str, Any]:
        assert url == LEASE
        await self._travel()
        if self.garbage is not None:
            return self.garbage
        if self.server.lease is None:
            raise KubernetesNotFound("no lease")
        return copy.deepcopy(self.server.lease)

    async def create(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._travel()
        if self.server.lease is not None:
            raise KubernetesConflict("exists")
        return self._store(body)

    async def replace(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        await self._travel()
        if self.server.lease is None:
            raise KubernetesNotFound("no lease")
        if body["metadata"]["resourceVersion"] != self.server.lease["metadata"]["resourceVersion"]:
            raise KubernetesConflict("modified")
        return self._store(body)

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append(round(_now(), 1))
        stored = self.server.store(body)
        if self.answers_are_lost:
            raise KubernetesUnavailable("connection reset")
        return stored if self.garbage is None else self.garbage


class Clock:
    """The loop's time as a clock with another rate shows it."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate

    def __call__(self) -> float:
        return _now() * self.rate


class Candidate:
    """A replica that leads until it is stopped, and records when it did."""

    def __init__(
        self, server: Server, name: str, *, clock: Callable[[], float] | None = None, ending: float = 0.0
    ) -> None:
        self.client = Client(server)
        self.ending = ending
        self.lost_at: list[float] = []
        self.led: list[tuple[float, float]] = []
        self.election = LeaderElection(
            self.client,
            "operator",
            "it",
            name,
            times=TIMES,
            on_lost=lambda: self.lost_at.append(round(_now(), 1)),
            clock=clock or Clock(),
            chance=lambda: 0.0,
        )
        self.leading = asyncio.Event()
        self.task = asyncio.create_task(self.election.lead(self._work))

    async def _work(self) -> None:
        began = round(_now(), 1)
        self.leading.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self.ending)
            self.led.append((began, round(_now(), 1)))

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LeadershipLost, KubernetesRefused):
            await self.task

    async def kill(self) -> None:
        """As kill -9 does: nothing is released."""
        self.client.error = KubernetesUnavailable("dead")
        await self.stop()


@pytest.fixture
async def server() -> Server:
    return Server()


@contextlib.asynccontextmanager
async def _candidates(server: Server, *names: str, **options: Any) -> AsyncIterator[list[Candidate]]:  # noqa: ANN401
    candidates = []
    for name in names:
        candidates.append(Candidate(server, name, **options))
        await asyncio.sleep(0.1)
    try:
        yield candidates
    finally:
        for candidate in candidates:
            await candidate.stop()


async def test_the_first_candidate_creates_the_lease_and_leads_immediately(server: Server) -> None:
    async with _candidates(server, "a") as (a,):
        await a.leading.wait()
        assert server.lease["spec"] | {"acquireTime": 0, "renewTime": 0} == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 10,
            "acquireTime": 0,
            "renewTime": 0,
            "leaseTransitions": 0,
        }
        assert a.election.is_leader()
        a.election.fence()


async def test_times_in_the_lease_are_utc_to_the_microsecond(server: Server) -> None:
    async with _candidates(server, "a") as (a,):
        await a.leading.wait()
        for key in ("acquireTime", "renewTime"):
            assert len(server.lease["spec"][key]) == len("2026-11-24T05:00:00.123456Z")
            assert server.lease["spec"][key].endswith("Z")


async def test_a_leader_holds_its_lease_as_long_as_it_runs(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(1000)
        assert (a.election.is_leader(), b.election.is_leader()) == (True, False)
        assert server.holders == [("a", 0.0)]
        assert server.lease["spec"]["acquireTime"] != server.lease["spec"]["renewTime"]


async def test_a_standby_is_fenced(server: Server) -> None:
    async with _candidates(server, "a", "b") as (_, b):
        await asyncio.sleep(5)
        with pytest.raises(LeadershipLost):
            b.election.fence()


@pytest.mark.parametrize("seconds", [3.0, 4.0, 4.9])
async def test_a_standby_takes_over_soon_after_a_sudden_death(server: Server, seconds: float) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(seconds)
        died_at = _now()
        await a.kill()
        await b.leading.wait()
        assert 7 <= _now() - died_at <= 12
        assert server.lease["spec"]["leaseTransitions"] == 1


async def test_a_standby_takes_over_immediately_after_a_clean_end(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        await a.stop()
        ended_at = _now()
        assert server.lease["spec"]["holderIdentity"] == ""
        await b.leading.wait()
        assert _now() - ended_at <= 1.1
        assert [holder for holder, _ in server.holders] == ["a", "", "b"]


async def test_the_lease_is_renewed_until_the_work_has_ended(server: Server) -> None:
    async with _candidates(server, "a", "b", ending=60.0) as (a, b):
        await asyncio.sleep(5)
        await a.stop()
        assert not b.election.is_leader()
        await b.leading.wait()
        ((_, ended),) = a.led
        assert server.holders[1] == ("", ended)


async def test_the_lease_is_released_when_the_work_ends(server: Server) -> None:
    async def work() -> None:
        await asyncio.sleep(5)

    election = LeaderElection(Client(server), "operator", "it", "a", times=TIMES, clock=Clock())
    await election.lead(work)
    assert server.lease["spec"]["holderIdentity"] == ""
    assert not election.is_leader()


async def test_a_failure_of_the_work_releases_the_lease_and_is_raised(server: Server) -> None:
    async def work() -> None:
        await asyncio.sleep(5)
        raise ValueError("broken")

    election = LeaderElection(Client(server), "operator", "it", "a", times=TIMES, clock=Clock())
    with pytest.raises(ValueError, match="broken"):
        await election.lead(work)
    assert server.lease["spec"]["holderIdentity"] == ""


GARBAGE: dict[str, dict[str, Any]] = {
    "an empty object": {},
    "a Status": {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"},
    "another lease": {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "other", "uid": "u", "resourceVersion": "9"},
        "spec": {"holderIdentity": "a"},
    },
    "another type": {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "it", "uid": "u", "resourceVersion": "9"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": "soon"},
    },
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_nobody_leads_by_an_answer_that_is_not_the_lease(server: Server, garbage: dict[str, Any]) -> None:
    async with _candidates(server, "a") as (a,):
        a.client.garbage = garbage
        await asyncio.sleep(60)
        assert not a.election.is_leader()
        a.client.garbage = None
        await a.leading.wait()


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_an_answer_that_is_not_the_lease_renews_nothing(server: Server, garbage: dict[str, Any]) -> None:
    async with _candidates(server, "a") as (a,):
        await a.leading.wait()
        a.client.garbage = garbage
        await asyncio.sleep(60)
        (lost_at,) = a.lost_at
        assert lost_at <= TIMES.renew_interval + TIMES.deadline + 1.0
        assert not a.election.is_leader()


async def test_one_answer_that_is_not_the_lease_costs_no_leadership(server: Server) -> None:
    async with _candidates(server, "a") as (a,):
        await a.leading.wait()
        a.client.garbage = {}
        await asyncio.sleep(TIMES.renew_interval + 0.5)
        a.client.garbage = None
        await asyncio.sleep(60)
        assert (a.lost_at, a.election.is_leader()) == ([], True)


async def test_a_leader_that_cannot_renew_stops_before_a_standby_may_lead(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        a.client.error = KubernetesUnavailable("cut off")
        await b.leading.wait()
        (lost_at,) = a.lost_at
        ((_, ended),) = a.led
        assert lost_at == ended
        assert 2.5 <= server.holders[1][1] - ended <= 5
        with pytest.raises(LeadershipLost):
            await a.task


async def test_a_leader_whose_renewals_hang_stops_in_time(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        a.client.seconds = 1000.0
        await b.leading.wait()
        ((_, ended),) = a.led
        assert ended < server.holders[1][1] - 2.5


@pytest.mark.parametrize("outage", [1.0, 3.0, 4.5])
async def test_a_short_outage_does_not_change_the_holder(server: Server, outage: float) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        a.client.error = b.client.error = KubernetesUnavailable("restarting")
        await asyncio.sleep(outage)
        a.client.error = b.client.error = None
        await asyncio.sleep(60)
        assert server.holders == [("a", 0.0)]
        assert a.election.is_leader()


@pytest.mark.parametrize("rate", [0.9, 1.1])
async def test_clocks_with_rates_a_tenth_apart_never_cause_two_leaders(server: Server, rate: float) -> None:
    a = Candidate(server, "a", clock=Clock())
    await a.leading.wait()
    b = Candidate(server, "b", clock=Clock(rate))
    for _ in range(5):
        await asyncio.sleep(7)
        a.client.error = KubernetesUnavailable("cut off")
        while not b.election.is_leader():
            assert not (a.election.is_leader() and b.election.is_leader())
            await asyncio.sleep(0.1)
        assert not a.election.is_leader()
        await b.kill()
        a.client.error = None
        with contextlib.suppress(LeadershipLost):
            await a.task
        a = Candidate(server, "a", clock=Clock())
        await a.leading.wait()
        b = Candidate(server, "b", clock=Clock(rate))
    await a.stop()
    await b.stop()


async def test_a_wrong_wall_clock_of_the_holder_has_no_effect(server: Server) -> None:
    for renewed in ("1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"):
        server.holders.clear()
        spec = {"holderIdentity": "x", "leaseDurationSeconds": 10, "renewTime": renewed, "leaseTransitions": 3}
        server.store({"metadata": {"name": "it"}, "spec": spec})
        began = _now()
        async with _candidates(server, "a") as (a,):
            await a.leading.wait()
            assert 9.5 <= _now() - began <= 11
            assert server.lease["spec"]["leaseTransitions"] == 4
        server.lease = None


class FrozenClock:
    """The clock of a frozen process: it advances while the process's tasks do not run."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return _now() + self.slept


async def test_a_frozen_leader_is_fenced_before_any_of_its_tasks_runs(server: Server) -> None:
    clock = FrozenClock()
    async with _candidates(server, "a", clock=clock) as (a,):
        await asyncio.sleep(5)
        a.election.fence()
        a.client.seconds = 0.0
        clock.slept = 60.0
        with pytest.raises(LeadershipLost):
            a.election.fence()
        writes = list(a.client.writes)
        await asyncio.sleep(10)
        assert a.client.writes == writes, "it must not renew what may be another's by now"
        assert len(a.lost_at) == 1
        with pytest.raises(LeadershipLost):
            await a.task


async def test_a_leader_stops_immediately_when_the_lease_has_another_holder(server: Server) -> None:
    async with _candidates(server, "a") as (a,):
        await asyncio.sleep(5)
        server.store({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "x"}})
        await asyncio.sleep(2.1)
        assert (a.election.is_leader(), len(a.lost_at)) == (False, 1)


async def test_an_annotation_on_the_lease_does_not_disturb_the_leader(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, _):
        await asyncio.sleep(5)
        for _ in range(20):
            annotated = {**server.lease["metadata"], "annotations": {"note": str(_now())}}
            server.store({**server.lease, "metadata": annotated})
            await asyncio.sleep(1.7)
        assert server.holders == [("a", 0.0)]
        assert a.election.is_leader()


async def test_an_annotation_on_a_dead_leaders_lease_does_not_extend_it(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        await a.kill()
        died_at = _now()
        while not b.leading.is_set():
            annotated = {**server.lease["metadata"], "annotations": {"note": str(_now())}}
            server.store({**server.lease, "metadata": annotated})
            await asyncio.sleep(1.7)
        assert _now() - died_at < 15


async def test_a_deleted_lease_is_lost_and_acquired_by_one_candidate(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        server.lease = None
        await asyncio.sleep(5)
        assert [a.election.is_leader(), b.election.is_leader()].count(True) == 1


async def test_a_lease_taken_without_a_response_is_recognized_as_own(server: Server) -> None:
    server.store({"metadata": {"name": "it"}, "spec": {"holderIdentity": "", "leaseTransitions": 3}})
    a = Candidate(server, "a")
    a.client.answers_are_lost = True
    await asyncio.sleep(0.5)
    a.client.answers_are_lost = False
    await a.leading.wait()
    assert server.lease["spec"]["leaseTransitions"] == 4
    await a.stop()


async def test_stopping_a_disconnected_leader_is_not_delayed(server: Server) -> None:
    async with _candidates(server, "a") as (a,):
        await asyncio.sleep(5)
        a.client.seconds = 1000.0
        began = _now()
        await a.stop()
        assert _now() - began <= 7
        assert not a.election.is_leader()


async def test_missing_permissions_are_an_error_and_no_endless_wait(server: Server) -> None:
    a = Candidate(server, "a")
    a.client.error = KubernetesRefused("leases.coordination.k8s.io is forbidden", status=403)
    with pytest.raises(KubernetesRefused):
        await a.task


async def test_twenty_deaths_in_a_row_and_never_two_leaders(server: Server) -> None:
    living = [Candidate(server, str(number)) for number in range(3)]
    for number in range(20):
        await asyncio.wait(
            [asyncio.create_task(candidate.leading.wait()) for candidate in living], return_when="FIRST_COMPLETED"
        )
        (leader,) = [candidate for candidate in living if candidate.election.is_leader()]
        await asyncio.sleep(0.37 * number)
        assert [candidate for candidate in living if candidate.election.is_leader()] == [leader]
        living.remove(leader)
        await leader.kill()
        living.append(Candidate(server, f"new-{number}"))
    assert server.lease["spec"]["leaseTransitions"] >= 19
    for candidate in living:
        await candidate.stop()


@pytest.mark.parametrize("times", [(7, 7.0, 2.0, 1.0), (10, 3.0, 2.0, 1.0), (10, 11.0, 2.0, 1.0)])
def test_inconsistent_times_are_rejected(times: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match="outlive"):
        LeaseTimes(*times)


async def test_a_candidate_knows_whether_another_one_leads(server: Server) -> None:
    async with _candidates(server, "a", "b") as (a, b):
        await asyncio.sleep(5)
        assert (a.election.is_standby, b.election.is_standby) == (False, True)
        await a.stop()
        await b.leading.wait()
        assert not b.election.is_standby


async def test_a_candidate_that_has_not_read_the_lease_is_no_standby(server: Server) -> None:
    a = Candidate(server, "a")
    a.client.error = KubernetesUnavailable("starting")
    await asyncio.sleep(5)
    assert not a.election.is_standby
    await a.stop()
