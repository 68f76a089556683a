"""The limit on requests to the pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from defender_devops.signin.pages import rate_limit
from defender_devops.signin.pages.rate_limit import RateLimit
from tests.support.fakes.azure_devops import FakeMonotonicClock


def limit(ticks: FakeMonotonicClock, **changes: float) -> RateLimit:
    values = {"burst": 3.0, "per_second": 0.5, "all_burst": 5.0, "all_per_second": 1.0} | changes
    return RateLimit(**values, monotonic=ticks)


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    ticks = FakeMonotonicClock()
    allowed = limit(ticks)
    assert [allowed.acquire("a") for _ in range(4)] == [0, 0, 0, 2]
    ticks.now += 2
    assert [allowed.acquire("a") for _ in range(2)] == [0, 2]


def test_one_client_cannot_use_up_the_common_limit() -> None:
    allowed = limit(FakeMonotonicClock())
    assert [allowed.acquire("a") for _ in range(100)].count(0) == 3
    assert allowed.acquire("b") == 0


def test_all_clients_together_have_a_limit() -> None:
    allowed = limit(FakeMonotonicClock())
    assert [allowed.acquire(str(number)) for number in range(8)].count(0) == 5


def test_the_number_of_remembered_clients_is_bounded() -> None:
    allowed = limit(FakeMonotonicClock(), all_burst=1e9)
    for number in range(rate_limit._CLIENTS_MAX + 500):
        allowed.acquire(str(number))
    assert len(allowed._buckets) == rate_limit._CLIENTS_MAX


@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("abc")), max_size=200))
def test_no_client_gets_more_than_burst_and_rate_allow(steps: list[tuple[float, str]]) -> None:
    ticks = FakeMonotonicClock()
    allowed = limit(ticks, all_burst=1e9, all_per_second=1e9)
    start, counts = ticks.now, dict.fromkeys("abc", 0)
    for seconds, client in steps:
        ticks.now += seconds
        counts[client] += allowed.acquire(client) == 0
        assert counts[client] <= 3 + (ticks.now - start) * 0.5 + 1e-6
