"""The limit on requests to the pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from defender_devops.signin.pages import rate_limit
from defender_devops.signin.pages.rate_limit import RateLimit
from tests.support.fakes.azure_devops import FakeMonotonicClock


def limit(monotonic: FakeMonotonicClock, **changes: float) -> RateLimit:
    chosen = {"burst": 3.0, "per_second": 0.5, "all_burst": 5.0, "all_per_second": 1.0} | changes
    return RateLimit(**chosen, monotonic=monotonic)


def test_a_burst_goes_through_and_then_the_rate_holds() -> None:
    monotonic = FakeMonotonicClock()
    allowed = limit(monotonic)
    assert [allowed.wait("a") for _ in range(4)] == [0, 0, 0, 2]
    monotonic.now += 2
    assert [allowed.wait("a") for _ in range(2)] == [0, 2]


def test_one_who_asks_without_end_does_not_spend_what_is_for_all() -> None:
    allowed = limit(FakeMonotonicClock())
    assert [allowed.wait("a") for _ in range(100)].count(0) == 3
    assert allowed.wait("b") == 0


def test_all_together_have_a_limit_too() -> None:
    allowed = limit(FakeMonotonicClock())
    assert [allowed.wait(str(number)) for number in range(8)].count(0) == 5


def test_askers_are_forgotten_but_never_without_bound() -> None:
    allowed = limit(FakeMonotonicClock(), all_burst=1e9)
    for number in range(rate_limit._KEYS_MAX + 500):
        allowed.wait(str(number))
    assert len(allowed._buckets) == rate_limit._KEYS_MAX


@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("abc")), max_size=200))
def test_no_asker_ever_gets_more_than_burst_and_rate_allow(steps: list[tuple[float, str]]) -> None:
    monotonic = FakeMonotonicClock()
    allowed = limit(monotonic, all_burst=1e9, all_per_second=1e9)
    began, counts = monotonic.now, dict.fromkeys("abc", 0)
    for seconds, asker in steps:
        monotonic.now += seconds
        counts[asker] += allowed.wait(asker) == 0
        assert counts[asker] <= 3 + (monotonic.now - began) * 0.5 + 1e-6
