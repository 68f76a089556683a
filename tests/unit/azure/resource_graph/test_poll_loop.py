"""When a poller queries Resource Graph."""

from __future__ import annotations

import asyncio

import pytest

from defender_devops.azure.resource_graph.poll_loop import PollLoop, PollTimes
from defender_devops.clock import Clock
from tests.unit.azure.resource_graph.running import run_poller_during

pytestmark = pytest.mark.looptime


class Polls:
    """A loop, and the times of its polls."""

    def __init__(self) -> None:
        self.times: list[float] = []
        times = PollTimes(interval=300.0, batch_window=1.0, spacing=15.0)
        self.loop = PollLoop(self._poll, lambda: True, times, Clock())

    async def _poll(self) -> None:
        self.times.append(asyncio.get_running_loop().time())


async def requests(polls: Polls, number: int, *, spacing: float, is_awaited: bool) -> None:
    for _ in range(number):
        polls.loop.request(is_awaited=is_awaited)
        await asyncio.sleep(spacing)


async def test_one_awaited_poll_covers_all_that_arrive_until_it_starts() -> None:
    polls = Polls()

    async def start() -> None:
        await requests(polls, 8, spacing=0.5, is_awaited=True)
        await asyncio.sleep(60)

    await run_poller_during(polls.loop, start)
    assert polls.times == [pytest.approx(5.0)], "one window after the last request"


async def test_an_awaited_poll_does_not_wait_for_ever() -> None:
    polls = Polls()
    await run_poller_during(polls.loop, lambda: requests(polls, 30, spacing=0.5, is_awaited=True))
    assert polls.times[0] == pytest.approx(10.0)


async def test_requests_that_nobody_waits_for_are_not_collected_longer_than_a_window() -> None:
    polls = Polls()
    await run_poller_during(polls.loop, lambda: requests(polls, 8, spacing=0.5, is_awaited=False))
    assert polls.times == [pytest.approx(1.0)]


@pytest.mark.parametrize(("is_awaited", "after"), [(False, 15.0), (True, 1.0)])
async def test_a_poll_that_is_awaited_follows_an_earlier_one_soon(*, is_awaited: bool, after: float) -> None:
    polls = Polls()

    async def start() -> None:
        await requests(polls, 1, spacing=2.0, is_awaited=False)
        await requests(polls, 1, spacing=30.0, is_awaited=is_awaited)

    await run_poller_during(polls.loop, start)
    first, second = polls.times
    assert second == pytest.approx(first + after if not is_awaited else 2.0 + after)
