"""The pace of requests that are not urgent."""

from __future__ import annotations

import pytest

from defender_devops.azuredevops.pipelines.pace import Pace, Paces
from defender_devops.azuredevops.rate_limiter import RateLimiter
from defender_devops.clock import Clock
from tests.support.fakes.azure_devops import FakeMonotonicClock


@pytest.fixture
def time() -> FakeMonotonicClock:
    return FakeMonotonicClock()


def limiter(time: FakeMonotonicClock) -> RateLimiter:
    return RateLimiter(monotonic=time, wall=time, sleep=time.sleep)


def pace(time: FakeMonotonicClock, share: float = 0.5) -> Pace:
    return Pace(2.0, share, Clock(time, time, time.sleep))


async def test_turns_come_at_the_interval(time: FakeMonotonicClock) -> None:
    subject, rate_limiter = pace(time), limiter(time)
    for _ in range(3):
        await subject.wait_for_turn(rate_limiter)
    assert time.sleeps == [2.0, 2.0]


async def test_a_rounding_error_of_the_clock_is_not_waited_for(time: FakeMonotonicClock) -> None:
    """After the sleep of these times 4e-16 s remain, and a loop that sleeps for that on a coarse clock never ends."""
    time.now = 1.1047596018113115
    subject, rate_limiter = Pace(2.2933638905964817, 0.5, Clock(time, time, time.sleep)), limiter(time)
    await subject.wait_for_turn(rate_limiter)
    time.now = 1.164238710360442
    await subject.wait_for_turn(rate_limiter)
    assert len(time.sleeps) == 1


async def test_a_turn_waits_as_long_as_the_service_demands(time: FakeMonotonicClock) -> None:
    subject, rate_limiter = pace(time), limiter(time)
    rate_limiter.update({"Retry-After": "120"})
    await subject.wait_for_turn(rate_limiter)
    assert time.now == 1120


@pytest.mark.parametrize(("share", "remaining", "waits"), [(0.5, 99, True), (0.5, 100, False), (1.0, 1, False)])
async def test_only_the_share_of_the_limit_is_used(
    time: FakeMonotonicClock, share: float, remaining: int, *, waits: bool
) -> None:
    subject, rate_limiter = pace(time, share), limiter(time)
    rate_limiter.update(
        {
            "X-RateLimit-Resource": "ip",
            "X-RateLimit-Limit": "200",
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": "1250",
        }
    )
    await subject.wait_for_turn(rate_limiter)
    assert (time.now == 1250) is waits


async def test_headers_are_too_old_after_the_window(time: FakeMonotonicClock) -> None:
    subject, rate_limiter = pace(time), limiter(time)
    headers = {"Limit": "200", "Remaining": "1", "Reset": "9999999999", "Resource": "ip"}
    rate_limiter.update({f"X-RateLimit-{name}": value for name, value in headers.items()})
    await subject.wait_for_turn(rate_limiter)
    assert time.now == 1300


async def test_other_requests_of_the_account_come_first(time: FakeMonotonicClock) -> None:
    rate_limiter = limiter(time)
    for _ in range(4):
        await rate_limiter.concurrency.acquire()

    async def sleep_until_one_ends(seconds: float) -> None:
        await time.sleep(seconds)
        rate_limiter.concurrency.release()

    await Pace(2.0, 0.5, Clock(time, time, sleep_until_one_ends)).wait_for_turn(rate_limiter)
    assert time.sleeps == [1.0]


async def test_organizations_of_one_account_share_a_pace(time: FakeMonotonicClock) -> None:
    paces = Paces(2.0, 0.5, Clock(time, time, time.sleep))
    first, second = limiter(time), limiter(time)
    assert paces.pace(first) is paces.pace(first)
    assert paces.pace(first) is not paces.pace(second)
