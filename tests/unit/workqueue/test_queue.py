from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from defender_devops.backoff import Backoff
from defender_devops.errors import KubernetesUnavailable
from defender_devops.telemetry.context import bind_resource, reconcile_id
from defender_devops.workqueue.queue import Result, ResultLabel, WorkQueue

pytestmark = pytest.mark.looptime

Reconcile = Callable[[str], Awaitable[Result]]

FAILED = Result(failed=True)
DONE = Result()


class Work:
    """Reconciles that take `seconds` and end as the test says, and what was seen of them."""

    def __init__(self, *outcomes: Result | Exception, seconds: float = 0.0) -> None:
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.starts: list[tuple[str, float]] = []
        self.ends: list[str] = []
        self.running: Counter[str] = Counter()
        self.most_at_once = 0
        self.cancelled: list[str] = []

    async def __call__(self, key: str) -> Result:
        self.starts.append((key, round(asyncio.get_running_loop().time(), 3)))
        self.running[key] += 1
        assert self.running[key] == 1, f"two reconciles for {key} at once"
        self.most_at_once = max(self.most_at_once, self.running.total())
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        finally:
            self.running[key] -= 1
        self.ends.append(key)
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def times(self, key: str = "a") -> list[float]:
        return [at for started, at in self.starts if started == key]


@contextlib.asynccontextmanager
async def _running(work: Reconcile, **options: Any) -> AsyncIterator[WorkQueue[str]]:  # noqa: ANN401 - WorkQueue's own
    options = {"chance": lambda: 0.0, "backoff": Backoff(2.0, 300.0), "grace": 0.0} | options
    scheduler = WorkQueue[str](work, **options)
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    try:
        yield scheduler
    finally:
        scheduler.stop()
        await task


async def test_a_woken_key_is_reconciled_at_once() -> None:
    async with _running(work := Work()) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert work.starts == [("a", 0.0)]


async def test_keys_woken_before_the_scheduler_runs_are_reconciled_when_it_does() -> None:
    work = Work()
    scheduler = WorkQueue[str](work)
    scheduler.enqueue("a")
    await asyncio.sleep(5)
    assert (work.starts, scheduler.depth()["waiting"]) == ([], 1)
    task = asyncio.create_task(scheduler.run())
    await asyncio.sleep(1)
    assert work.starts == [("a", 5.0)]
    scheduler.stop()
    await task


@pytest.mark.parametrize("events", [1, 2, 50])
async def test_events_during_a_reconcile_cause_exactly_one_more_after_it(events: int) -> None:
    async with _running(work := Work(seconds=10)) as scheduler:
        scheduler.enqueue("a")
        for _ in range(events):
            await asyncio.sleep(0.1)
            scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 10.0]


async def test_events_before_a_reconcile_starts_are_one() -> None:
    async with _running(work := Work()) as scheduler:
        for _ in range(50):
            scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0]


async def test_the_next_look_comes_when_the_reconcile_asked_for_it() -> None:
    async with _running(work := Work(Result(requeue_after=20), Result(requeue_after=7))) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
        assert scheduler.due_in("a") == pytest.approx(19)
        await asyncio.sleep(99)
    assert work.times() == [0.0, 20.0, 27.0]


async def test_an_event_brings_the_next_look_forward_and_replaces_it() -> None:
    async with _running(work := Work(Result(requeue_after=20))) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(5)
        scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 5.0]


async def test_failures_are_backed_off_from_exponentially() -> None:
    async with _running(work := Work(*[FAILED] * 4)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 2.0, 6.0, 14.0, 30.0]


async def test_an_event_ends_a_backoff_and_starts_it_afresh() -> None:
    async with _running(work := Work(*[FAILED] * 9, DONE)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(20)  # failures at 0, 2, 6, 14; the next would be at 30
        scheduler.enqueue("a")
        await asyncio.sleep(10)
    assert work.times() == [0.0, 2.0, 6.0, 14.0, 20.0, 22.0, 26.0]


async def test_a_success_starts_the_backoff_afresh() -> None:
    async with _running(work := Work(FAILED, FAILED, Result(requeue_after=10), FAILED, DONE)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 2.0, 6.0, 16.0, 18.0]


async def test_a_failure_that_names_its_next_look_gets_that_instead_of_the_backoff() -> None:
    async with _running(work := Work(Result(requeue_after=17, failed=True), FAILED, DONE)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 17.0, 21.0]  # the failure counted: the second delay is 4 s


async def test_chance_makes_next_looks_later_never_earlier() -> None:
    async with _running(work := Work(Result(requeue_after=100)), chance=lambda: 0.999, spread=0.1) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, pytest.approx(109.99)]


async def test_a_reconcile_that_raises_stops_nothing_and_is_backed_off_from(capsys: pytest.CaptureFixture[str]) -> None:
    async with _running(work := Work(ValueError("boom"))) as scheduler:
        scheduler.enqueue("a")
        scheduler.enqueue("b")
        await asyncio.sleep(1000)
    assert (work.times("a"), work.times("b")) == ([0.0, 2.0], [0.0])
    assert "boom" in capsys.readouterr().out


async def test_an_error_that_says_when_to_come_back_is_believed() -> None:
    async with _running(work := Work(KubernetesUnavailable("busy", retry_after=33))) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 33.0]


async def test_a_reconcile_that_was_cancelled_by_its_own_doing_is_repeated() -> None:
    async def cancels_itself(key: str) -> Result:
        seen.append(asyncio.get_running_loop().time())
        if len(seen) == 1:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        return DONE

    seen: list[float] = []
    async with _running(cancels_itself) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert seen == [0.0, 2.0]


async def test_no_more_run_at_once_than_allowed_and_all_get_their_turn() -> None:
    async with _running(work := Work(seconds=1), concurrency=5) as scheduler:
        for number in range(42):
            scheduler.enqueue(str(number))
        assert scheduler.depth() == {"waiting": 37, "running": 5, "scheduled": 0}
        await asyncio.sleep(100)
    assert work.most_at_once == 5
    assert len(work.ends) == 42
    assert max(at for _, at in work.starts) == 8.0


async def test_a_thousand_of_one_group_do_not_shut_out_another() -> None:
    async with _running(work := Work(seconds=1), concurrency=4, group_of=lambda key: key[0]) as scheduler:
        for number in range(1000):
            scheduler.enqueue(f"a{number}")
        scheduler.enqueue("b0")
        await asyncio.sleep(2)
    assert work.times("b0") == [1.0]


async def test_a_key_goes_with_the_group_of_its_last_event() -> None:
    group = {"a": "one"}
    async with _running(
        work := Work(seconds=1), concurrency_per_group=1, group_of=lambda key: group.get(key, "two")
    ) as s:
        s.enqueue("x")
        s.enqueue("a")
        await asyncio.sleep(5)
        group["a"] = "two"
        s.enqueue("x")
        s.enqueue("a")
        await asyncio.sleep(5)
    assert work.times("a") == [0.0, 6.0]


async def test_a_forgotten_key_is_not_looked_at_again() -> None:
    async with _running(work := Work(Result(requeue_after=5)), concurrency=1) as scheduler:
        scheduler.enqueue("scheduled")
        await asyncio.sleep(1)
        scheduler.forget("scheduled")
        scheduler.forget("unknown")
        await asyncio.sleep(100)
        assert scheduler.depth() == {"waiting": 0, "running": 0, "scheduled": 0}
        assert scheduler._entries == {}
    assert work.starts == [("scheduled", 0.0)]


async def test_a_key_forgotten_while_it_waits_gets_no_turn() -> None:
    async with _running(work := Work(seconds=5), concurrency=1) as scheduler:
        scheduler.enqueue("a")
        scheduler.enqueue("b")
        scheduler.forget("b")
        await asyncio.sleep(100)
    assert work.ends == ["a"]


async def test_a_reconcile_of_a_forgotten_key_ends_by_itself_and_has_no_sequel() -> None:
    async with _running(work := Work(Result(requeue_after=1), seconds=5)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
        scheduler.enqueue("a")
        scheduler.forget("a")
        await asyncio.sleep(100)
        assert scheduler._entries == {}
    assert (work.starts, work.ends) == ([("a", 0.0)], ["a"])


async def test_a_key_that_comes_back_while_its_last_reconcile_runs_is_reconciled_after_it() -> None:
    async with _running(work := Work(seconds=5)) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
        scheduler.forget("a")
        scheduler.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 5.0]


async def test_stopping_lets_reconciles_end_within_the_grace_and_starts_no_other() -> None:
    async with _running(work := Work(seconds=5), concurrency=1, grace=10) as scheduler:
        scheduler.enqueue("a")
        scheduler.enqueue("b")
        await asyncio.sleep(1)
    assert (work.ends, work.cancelled) == (["a"], [])
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)


async def test_stopping_cancels_what_does_not_end_within_the_grace() -> None:
    async with _running(work := Work(seconds=1000), grace=10) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
    assert (work.ends, work.cancelled) == ([], ["a"])
    assert asyncio.get_running_loop().time() == pytest.approx(11.0)


async def test_stopping_without_grace_cancels_at_once() -> None:
    async with _running(work := Work(seconds=1000), grace=10) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
        scheduler.stop(grace=0)
    assert work.cancelled == ["a"]
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


async def test_cancelling_the_scheduler_gives_the_grace_and_cancelling_it_again_ends_that() -> None:
    work = Work(seconds=1000)
    scheduler = WorkQueue[str](work, grace=10)
    task = asyncio.create_task(scheduler.run())
    scheduler.enqueue("a")
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    assert work.cancelled == []
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.cancelled == ["a"]


async def test_a_reconcile_that_does_not_let_itself_be_cancelled_does_not_hold_up_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    release = asyncio.Event()

    async def stubborn(key: str) -> Result:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return DONE

    async with _running(stubborn) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(1)
    assert "does not end" in capsys.readouterr().out
    release.set()
    await asyncio.sleep(0)


async def test_a_scheduler_that_runs_is_not_run_twice() -> None:
    async with _running(Work()) as scheduler:
        with pytest.raises(RuntimeError, match="runs already"):
            await scheduler.run()


async def test_each_reconcile_has_an_id_and_a_context_of_its_own() -> None:
    async def wakes_the_other(key: str) -> Result:
        ids.append(reconcile_id())
        bind_resource("AzureDevOpsConnector", "security", key)
        if key == "a":
            scheduler.enqueue("b")
        await asyncio.sleep(1)
        seen.append(reconcile_id())
        return DONE

    ids: list[str | None] = []
    seen: list[str | None] = []
    async with _running(wakes_the_other) as scheduler:
        scheduler.enqueue("a")
        await asyncio.sleep(10)
    assert ids == seen
    assert len(set(ids)) == 2
    assert reconcile_id() is None


class Notes:
    def __init__(self) -> None:
        self.waited: list[float] = []
        self.results: list[tuple[str, ResultLabel, float]] = []

    def started(self, waited: float) -> None:
        self.waited.append(round(waited, 3))

    def finished(self, key: str, result: ResultLabel, seconds: float) -> None:
        self.results.append((key, result, round(seconds, 3)))


async def test_an_observer_is_told_how_long_each_waited_and_took_and_how_it_ended() -> None:
    work = Work(DONE, FAILED, ValueError("boom"), seconds=3)
    async with _running(work, concurrency=1, observer=(notes := Notes())) as scheduler:
        for key in "abcd":
            scheduler.enqueue(key)
        await asyncio.sleep(10)
    assert notes.waited == [0.0, 3.0, 6.0, 9.0]
    results = ["success", "failure", "exception", "cancelled"]
    assert notes.results == list(zip("abcd", results, [3.0, 3.0, 3.0, 1.0], strict=True))


async def test_an_observer_that_fails_takes_no_slot_with_it(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Notes):
        def finished(self, key: str, result: ResultLabel, seconds: float) -> None:
            raise ValueError("broken gauge")

    async with _running(work := Work(), concurrency=1, observer=Broken()) as scheduler:
        for key in "abc":
            scheduler.enqueue(key)
        await asyncio.sleep(1)
    assert work.ends == ["a", "b", "c"]
    assert "broken gauge" in caplog.text
