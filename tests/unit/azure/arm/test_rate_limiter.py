from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defender_devops.azure.arm.rate_limiter import OperationKind, RateLimiter, RateLimitKey
from defender_devops.clock import Clock
from defender_devops.errors import Throttled
from tests.unit.azure.fakes import FakeTime

READS = RateLimitKey("tenant/client", OperationKind.READS, "sub")
WRITES = RateLimitKey("tenant/client", OperationKind.WRITES, "sub")
GRAPH = RateLimitKey("tenant/client", OperationKind.RESOURCE_GRAPH)


async def spend(rate_limiter: RateLimiter, key: RateLimitKey, count: int = 1) -> None:
    for _ in range(count):
        async with rate_limiter.request(key):
            pass


def rate_limiter_with(timeout: float = 1e9) -> RateLimiter:
    """A rate limiter on the event loop's time, which looptime makes jump."""
    return RateLimiter(timeout=timeout, clock=Clock())


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("kind", "at_once", "more", "seconds"),
    [
        (OperationKind.READS, 240, 50, 2.0),
        (OperationKind.WRITES, 190, 50, 5.0),
        (OperationKind.DELETES, 190, 50, 5.0),
        (OperationKind.RESOURCE_GRAPH, 15, 15, 5.0),
    ],
)
async def test_each_kind_has_its_burst_and_then_its_rate(
    kind: OperationKind, at_once: int, more: int, seconds: float
) -> None:
    rate_limiter, key = rate_limiter_with(), RateLimitKey("p", kind, "s")
    started = now()
    await spend(rate_limiter, key, at_once)
    assert now() == started
    await spend(rate_limiter, key, more)
    assert now() - started == pytest.approx(seconds, abs=0.01)


@pytest.mark.looptime
async def test_subscriptions_principals_and_kinds_do_not_share_a_bucket() -> None:
    rate_limiter = rate_limiter_with()
    await spend(rate_limiter, WRITES, 190)
    started = now()
    for other in (
        READS,
        RateLimitKey("tenant/client", OperationKind.WRITES, "another"),
        RateLimitKey("tenant/other", OperationKind.WRITES, "sub"),
        RateLimitKey("tenant/client", OperationKind.DELETES, "sub"),
    ):
        await spend(rate_limiter, other)
    assert now() == started


@pytest.mark.looptime
async def test_callers_are_served_in_order() -> None:
    rate_limiter = rate_limiter_with()
    await spend(rate_limiter, WRITES, 190)
    served: list[int] = []

    async def caller(number: int) -> None:
        await spend(rate_limiter, WRITES)
        served.append(number)

    await asyncio.gather(*(caller(number) for number in range(20)))
    assert served == list(range(20))


@pytest.mark.looptime
@pytest.mark.parametrize("cancelled", [0, 1, 5, 9])
async def test_a_cancelled_caller_leaves_its_turn_to_the_next(cancelled: int) -> None:
    rate_limiter = rate_limiter_with()
    await spend(rate_limiter, WRITES, 190)
    served: list[int] = []

    async def caller(number: int) -> None:
        await spend(rate_limiter, WRITES)
        served.append(number)

    started = now()
    callers = [asyncio.create_task(caller(number)) for number in range(10)]
    await asyncio.sleep(0.01)
    callers[cancelled].cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert served == [number for number in range(10) if number != cancelled]
    assert now() - started == pytest.approx(0.9, abs=0.02)


@pytest.mark.looptime
async def test_a_cancelled_request_is_no_longer_in_flight() -> None:
    rate_limiter = rate_limiter_with()

    async def stuck() -> None:
        async with rate_limiter.request(READS):
            await asyncio.sleep(1000)

    task = asyncio.create_task(stuck())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    rate_limiter.update_remaining(READS, 100)
    assert rate_limiter.states()[0].available == pytest.approx(100)


@pytest.mark.looptime
async def test_the_remaining_count_of_azure_lowers_the_limit() -> None:
    rate_limiter = rate_limiter_with()
    await spend(rate_limiter, READS)
    rate_limiter.update_remaining(READS, 10)
    started = now()
    await spend(rate_limiter, READS, 10)
    assert now() == started
    await spend(rate_limiter, READS, 25)
    assert now() - started == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("remaining", [11_999, 250, 191])
async def test_the_remaining_count_of_azure_never_raises_the_limit(remaining: float) -> None:
    rate_limiter = RateLimiter(clock=FakeTime().clock)
    await spend(rate_limiter, READS, 50)
    rate_limiter.update_remaining(READS, remaining)
    assert rate_limiter.states()[0].available == 190


async def test_requests_in_flight_are_subtracted_from_the_remaining_count() -> None:
    rate_limiter = RateLimiter(clock=FakeTime().clock)
    async with rate_limiter.request(READS), rate_limiter.request(READS), rate_limiter.request(READS):
        rate_limiter.update_remaining(READS, 10)  # the answer to one of the three
    assert rate_limiter.states()[0].available == 8


@pytest.mark.looptime
async def test_retry_after_has_precedence_over_a_full_bucket() -> None:
    rate_limiter = rate_limiter_with()
    started = now()
    rate_limiter.block(READS, 30)
    await spend(rate_limiter, READS)
    assert now() - started == pytest.approx(30)
    assert rate_limiter.states()[0].blocked_seconds == 0


@pytest.mark.looptime
async def test_retry_after_delays_waiting_callers_as_well() -> None:
    rate_limiter = rate_limiter_with()
    await spend(rate_limiter, WRITES, 190)
    started = now()
    waiting = asyncio.create_task(spend(rate_limiter, WRITES))
    await asyncio.sleep(0.05)
    rate_limiter.block(WRITES, 10)
    await waiting
    assert now() - started == pytest.approx(10.05)


async def test_after_a_429_the_bucket_is_empty() -> None:
    time = FakeTime()
    rate_limiter = RateLimiter(clock=time.clock)
    rate_limiter.block(WRITES, 2)
    time.seconds += 2
    assert rate_limiter.states()[0].available == pytest.approx(20)


async def test_a_delay_beyond_the_timeout_is_raised_with_retry_after() -> None:
    time = FakeTime()
    rate_limiter = RateLimiter(timeout=10, clock=time.clock)
    rate_limiter.block(WRITES, 11)
    with pytest.raises(Throttled) as refused:
        await spend(rate_limiter, WRITES)
    assert refused.value.retry_after == pytest.approx(11)
    assert refused.value.status is None
    assert time.slept == []


@pytest.mark.looptime
async def test_the_queue_before_a_caller_counts_for_its_timeout() -> None:
    rate_limiter = rate_limiter_with(timeout=1.0)
    await spend(rate_limiter, WRITES, 190)
    waiting = [asyncio.create_task(spend(rate_limiter, WRITES)) for _ in range(10)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled) as refused:
        await spend(rate_limiter, WRITES)
    assert refused.value.retry_after == pytest.approx(1.1)
    await asyncio.gather(*waiting)


async def test_the_states_include_every_limit_that_was_used() -> None:
    rate_limiter = RateLimiter(clock=FakeTime().clock)
    await spend(rate_limiter, READS, 3)
    await spend(rate_limiter, GRAPH)
    rate_limiter.block(GRAPH, 5)
    states = {state.key: state for state in rate_limiter.states()}
    assert states[READS].available == 237
    assert states[GRAPH].blocked_seconds == 5


_STEPS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 60)), min_size=1, max_size=8)


@settings(max_examples=30)
@given(steps=_STEPS)
def test_no_window_of_five_seconds_ever_holds_more_than_fifteen_queries(steps: list[tuple[float, int]]) -> None:
    times = _simulate(GRAPH, steps)
    for index in range(len(times) - 15):
        assert times[index + 15] - times[index] >= 5 - 1e-5


@settings(max_examples=30)
@given(steps=_STEPS)
def test_no_span_of_time_ever_holds_more_writes_than_burst_and_rate_allow(steps: list[tuple[float, int]]) -> None:
    times = _simulate(WRITES, steps)
    # From any first to any last: last - first + 1 <= 190 + 10 * (time(last) - time(first)).
    headroom = float("-inf")
    for number, time in enumerate(times):
        headroom = max(headroom, 10 * time - number)
        assert 10 * time - number >= headroom - 190 + 1 - 1e-5


def _simulate(key: RateLimitKey, steps: list[tuple[float, int]]) -> list[float]:
    """When each request was let through, with some pause before each batch."""

    async def run() -> list[float]:
        time = FakeTime()
        rate_limiter = RateLimiter(timeout=1e9, clock=time.clock)
        times = []
        for pause, count in steps:
            time.seconds += pause
            for _ in range(count):
                async with rate_limiter.request(key):
                    times.append(time.seconds)
        return times

    return asyncio.run(run())
