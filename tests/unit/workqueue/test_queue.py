from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog

from defender_devops.backoff import Backoff
from defender_devops.errors import KubernetesUnavailable
from defender_devops.telemetry.context import bind_resource, reconcile_id
from defender_devops.workqueue.queue import Result, ResultLabel, WorkQueue

pytestmark = pytest.mark.looptime

Reconcile = Callable[[str], Awaitable[Result]]

FAILED = Result(failed=True)
SUCCESS = Result()


class Work:
    """Reconciles that take `seconds` and return what the test sets; records starts and ends."""

    def __init__(self, *results: Result | Exception, seconds: float = 0.0) -> None:
        self.results = list(results)
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
        result = self.results.pop(0) if self.results else SUCCESS
        if isinstance(result, Exception):
            raise result
        return result

    def times(self, key: str = "a") -> list[float]:
        return [at for started, at in self.starts if started == key]


@contextlib.asynccontextmanager
async def _running(work: Reconcile, **options: Any) -> AsyncIterator[WorkQueue[str]]:  # noqa: ANN401 - WorkQueue's own
    options = {"chance": lambda: 0.0, "backoff": Backoff(2.0, 300.0), "grace": 0.0} | options
    queue = WorkQueue[str](work, **options)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    try:
        yield queue
    finally:
        queue.stop()
        await task


async def test_an_enqueued_key_is_reconciled_at_once() -> None:
    async with _running(work := Work()) as queue:
        queue.enqueue("a")
        await asyncio.sleep(100)
    assert work.starts == [("a", 0.0)]


async def test_keys_enqueued_before_the_queue_runs_are_reconciled_when_it_does() -> None:
    work = Work()
    queue = WorkQueue[str](work)
    queue.enqueue("a")
    await asyncio.sleep(5)
    assert (work.starts, queue.depth()["waiting"]) == ([], 1)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(1)
    assert work.starts == [("a", 5.0)]
    queue.stop()
    await task


@pytest.mark.parametrize("events", [1, 2, 50])
async def test_events_during_a_reconcile_cause_exactly_one_more_after_it(events: int) -> None:
    async with _running(work := Work(seconds=10)) as queue:
        queue.enqueue("a")
        for _ in range(events):
            await asyncio.sleep(0.1)
            queue.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 10.0]


async def test_events_before_a_reconcile_starts_are_one() -> None:
    async with _running(work := Work()) as queue:
        for _ in range(50):
            queue.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0]


async def test_a_key_is_requeued_after_the_delay_that_the_reconcile_returned() -> None:
    async with _running(work := Work(Result(requeue_after=20), Result(requeue_after=7))) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
        assert queue.depth() == {"waiting": 0, "running": 0, "scheduled": 1}
        await asyncio.sleep(99)
    assert work.times() == [0.0, 20.0, 27.0]


async def test_an_event_replaces_the_scheduled_reconcile() -> None:
    async with _running(work := Work(Result(requeue_after=20))) as queue:
        queue.enqueue("a")
        await asyncio.sleep(5)
        queue.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 5.0]


async def test_failures_are_backed_off_from_exponentially() -> None:
    async with _running(work := Work(*[FAILED] * 4)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 2.0, 6.0, 14.0, 30.0]


async def test_an_event_ends_a_backoff_and_starts_it_afresh() -> None:
    async with _running(work := Work(*[FAILED] * 9, SUCCESS)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(20)  # failures at 0, 2, 6, 14; the next would be at 30
        queue.enqueue("a")
        await asyncio.sleep(10)
    assert work.times() == [0.0, 2.0, 6.0, 14.0, 20.0, 22.0, 26.0]


async def test_a_success_starts_the_backoff_afresh() -> None:
    async with _running(work := Work(FAILED, FAILED, Result(requeue_after=10), FAILED, SUCCESS)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 2.0, 6.0, 16.0, 18.0]


async def test_a_failure_with_a_longer_requeue_after_gets_that_instead_of_the_backoff() -> None:
    async with _running(work := Work(Result(requeue_after=17, failed=True), FAILED, SUCCESS)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 17.0, 21.0]  # the failure counted: the second delay is 4 s


async def test_jitter_makes_delays_longer_never_shorter() -> None:
    async with _running(work := Work(Result(requeue_after=100)), chance=lambda: 0.999, spread=0.1) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, pytest.approx(109.99)]


async def test_a_reconcile_that_raises_stops_nothing_and_is_backed_off_from(capsys: pytest.CaptureFixture[str]) -> None:
    async with _running(work := Work(ValueError("boom"))) as queue:
        queue.enqueue("a")
        queue.enqueue("b")
        await asyncio.sleep(1000)
    assert (work.times("a"), work.times("b")) == ([0.0, 2.0], [0.0])
    assert "boom" in capsys.readouterr().out


async def test_the_retry_after_of_an_error_is_respected() -> None:
    async with _running(work := Work(KubernetesUnavailable("busy", retry_after=33))) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 33.0]


async def test_a_reconcile_that_was_cancelled_by_its_own_doing_is_repeated() -> None:
    async def cancels_itself(key: str) -> Result:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            asyncio.current_task().cancel()
            await asyncio.sleep(1)
        return SUCCESS

    times: list[float] = []
    async with _running(cancels_itself) as queue:
        queue.enqueue("a")
        await asyncio.sleep(100)
    assert times == [0.0, 2.0]


async def test_no_more_run_at_once_than_allowed_and_all_get_a_slot() -> None:
    async with _running(work := Work(seconds=1), concurrency=5) as queue:
        for number in range(42):
            queue.enqueue(str(number))
        assert queue.depth() == {"waiting": 37, "running": 5, "scheduled": 0}
        await asyncio.sleep(100)
    assert work.most_at_once == 5
    assert len(work.ends) == 42
    assert max(at for _, at in work.starts) == 8.0


async def test_a_thousand_keys_of_one_group_do_not_starve_another() -> None:
    async with _running(work := Work(seconds=1), concurrency=4, group_of=lambda key: key[0]) as queue:
        for number in range(1000):
            queue.enqueue(f"a{number}")
        queue.enqueue("b0")
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


async def test_a_forgotten_key_is_not_reconciled_again() -> None:
    async with _running(work := Work(Result(requeue_after=5)), concurrency=1) as queue:
        queue.enqueue("scheduled")
        await asyncio.sleep(1)
        queue.forget("scheduled")
        queue.forget("unknown")
        await asyncio.sleep(100)
        assert queue.depth() == {"waiting": 0, "running": 0, "scheduled": 0}
        assert queue._entries == {}
    assert work.starts == [("scheduled", 0.0)]


async def test_a_key_forgotten_while_it_waits_gets_no_slot() -> None:
    async with _running(work := Work(seconds=5), concurrency=1) as queue:
        queue.enqueue("a")
        queue.enqueue("b")
        queue.forget("b")
        await asyncio.sleep(100)
    assert work.ends == ["a"]


async def test_a_reconcile_of_a_forgotten_key_ends_by_itself_and_is_the_last() -> None:
    async with _running(work := Work(Result(requeue_after=1), seconds=5)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
        queue.enqueue("a")
        queue.forget("a")
        await asyncio.sleep(100)
        assert queue._entries == {}
    assert (work.starts, work.ends) == ([("a", 0.0)], ["a"])


async def test_a_key_that_comes_back_while_its_last_reconcile_runs_is_reconciled_after_it() -> None:
    async with _running(work := Work(seconds=5)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
        queue.forget("a")
        queue.enqueue("a")
        await asyncio.sleep(100)
    assert work.times() == [0.0, 5.0]


async def test_stopping_lets_reconciles_end_within_the_grace_and_starts_no_other() -> None:
    async with _running(work := Work(seconds=5), concurrency=1, grace=10) as queue:
        queue.enqueue("a")
        queue.enqueue("b")
        await asyncio.sleep(1)
    assert (work.ends, work.cancelled) == (["a"], [])
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)


async def test_stopping_cancels_what_does_not_end_within_the_grace() -> None:
    async with _running(work := Work(seconds=1000), grace=10) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
    assert (work.ends, work.cancelled) == ([], ["a"])
    assert asyncio.get_running_loop().time() == pytest.approx(11.0)


async def test_stopping_without_grace_cancels_at_once() -> None:
    async with _running(work := Work(seconds=1000), grace=10) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
        queue.stop(grace=0)
    assert work.cancelled == ["a"]
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


async def test_cancelling_the_queue_gives_the_grace_and_cancelling_it_again_ends_that() -> None:
    work = Work(seconds=1000)
    queue = WorkQueue[str](work, grace=10)
    task = asyncio.create_task(queue.run())
    queue.enqueue("a")
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
        return SUCCESS

    async with _running(stubborn) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
    assert "does not end" in capsys.readouterr().out
    release.set()
    await asyncio.sleep(0)


async def test_a_queue_that_runs_is_not_run_twice() -> None:
    async with _running(Work()) as queue:
        with pytest.raises(RuntimeError, match="runs already"):
            await queue.run()


async def test_each_reconcile_has_an_id_and_a_context_of_its_own() -> None:
    async def enqueues_the_other(key: str) -> Result:
        ids.append(reconcile_id())
        bind_resource("AzureDevOpsConnector", "security", key)
        if key == "a":
            queue.enqueue("b")
        await asyncio.sleep(1)
        ids_at_end.append(reconcile_id())
        return SUCCESS

    ids: list[str | None] = []
    ids_at_end: list[str | None] = []
    async with _running(enqueues_the_other) as queue:
        queue.enqueue("a")
        await asyncio.sleep(10)
    assert ids == ids_at_end
    assert len(set(ids)) == 2
    assert reconcile_id() is None


class RecordingObserver:
    def __init__(self) -> None:
        self.waited: list[float] = []
        self.frequent_requeues = 0
        self.results: list[tuple[str, ResultLabel, float]] = []

    def reconcile_started(self, waited: float) -> None:
        self.waited.append(round(waited, 3))

    def reconcile_finished(self, key: str, result: ResultLabel, seconds: float) -> None:
        self.results.append((key, result, round(seconds, 3)))

    def requeued_frequently(self) -> None:
        self.frequent_requeues += 1


async def test_an_observer_receives_how_long_each_waited_and_took_and_how_it_ended() -> None:
    work = Work(SUCCESS, FAILED, ValueError("boom"), seconds=3)
    async with _running(work, concurrency=1, observer=(observer := RecordingObserver())) as queue:
        for key in "abcd":
            queue.enqueue(key)
        await asyncio.sleep(10)
    assert observer.waited == [0.0, 3.0, 6.0, 9.0]
    results = ["success", "failure", "exception", "cancelled"]
    assert observer.results == list(zip("abcd", results, [3.0, 3.0, 3.0, 1.0], strict=True))


async def test_an_observer_that_fails_costs_no_slot(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(RecordingObserver):
        def reconcile_finished(self, key: str, result: ResultLabel, seconds: float) -> None:
            raise ValueError("broken gauge")

    async with _running(work := Work(), concurrency=1, observer=Broken()) as queue:
        for key in "abc":
            queue.enqueue(key)
        await asyncio.sleep(1)
    assert work.ends == ["a", "b", "c"]
    assert "broken gauge" in caplog.text


FLOOR = {"min_requeue_interval": 5.0, "terminal_retry_interval": 600.0}
TERMINAL = Result(failed=True, is_terminal=True)


@pytest.mark.parametrize(
    "result",
    [
        Result(requeue_after=0.0),
        Result(requeue_after=-3600.0),
        Result(requeue_after=0.1, failed=True),
        FAILED,
        KubernetesUnavailable("busy", retry_after=0.0),
        ValueError("boom"),
    ],
    ids=["due now", "overdue", "a short Retry-After", "a failure", "an error with a short Retry-After", "an exception"],
)
async def test_without_an_event_no_result_makes_a_key_run_again_sooner_than_the_floor(
    result: Result | Exception,
) -> None:
    async with _running(work := Work(*[result] * 100), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(60)
    delays = [later - earlier for earlier, later in itertools.pairwise(work.times())]
    assert delays
    assert min(delays) >= 5.0


async def test_an_event_is_not_held_up_by_the_floor() -> None:
    async with _running(work := Work(Result(requeue_after=0.0)), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1)
        queue.enqueue("a")
        await asyncio.sleep(1)
    assert work.times() == [0.0, 1.0]


async def test_a_service_that_always_asks_for_a_short_wait_is_backed_off_from() -> None:
    async with _running(work := Work(*[Result(1.0, failed=True)] * 4)) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 2.0, 6.0, 14.0, 30.0]


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0])
async def test_a_terminal_failure_is_retried_twice_in_the_first_minute_and_then_rarely(
    retry_after: float | None,
) -> None:
    result = Result(retry_after, failed=True, is_terminal=True)
    async with _running(work := Work(*[result] * 99), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(3600)
    assert work.times() == [0.0, 10.0, 40.0, 640.0, 1240.0, 1840.0, 2440.0, 3040.0]


async def test_an_event_after_a_terminal_failure_is_acted_on_at_once() -> None:
    async with _running(work := Work(*[TERMINAL] * 5), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(100)
        queue.enqueue("a")
        await asyncio.sleep(30)
    assert work.times() == [0.0, 10.0, 40.0, 100.0, 110.0]


async def test_a_longer_retry_after_of_a_terminal_failure_is_respected() -> None:
    result = Result(900.0, failed=True, is_terminal=True)
    async with _running(work := Work(result), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(1000)
    assert work.times() == [0.0, 900.0]


async def test_too_many_reconciles_without_an_event_are_counted_and_logged_once_a_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = Work(*[Result(requeue_after=0.0)] * 1000)
    async with _running(work, observer=(observer := RecordingObserver()), **FLOOR) as queue:
        queue.enqueue("a")
        await asyncio.sleep(121)
    # At 5, 10 ... 60: the first six within the minute are normal.
    assert observer.frequent_requeues == 12
    assert capsys.readouterr().out.count("reconciled too often without an event") == 2


async def test_reconciles_after_events_are_never_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    async with _running(Work(), observer=(observer := RecordingObserver()), **FLOOR) as queue:
        for _ in range(100):
            queue.enqueue("a")
            await asyncio.sleep(0.1)
    assert observer.frequent_requeues == 0
    assert "too often" not in capsys.readouterr().out


async def test_each_requeue_is_logged_at_debug_level_with_its_reason_and_delay() -> None:
    work = Work(Result(requeue_after=20.0, reason="the authorization is to be checked"))
    with structlog.testing.capture_logs() as lines:
        async with _running(work) as queue:
            queue.enqueue("a")
            await asyncio.sleep(1)
    assert lines == [
        {
            "event": "requeued",
            "log_level": "debug",
            "delay": 20.0,
            "reason": "the authorization is to be checked",
            "failures": 0,
        }
    ]


class _Handle:
    """A handle as uvloop returns it for a due time that has just passed: without `when`."""

    def __init__(self, handle: asyncio.Handle) -> None:
        self._handle = handle

    def cancel(self) -> None:
        self._handle.cancel()


async def test_a_timer_that_does_not_know_its_due_time_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(Result(requeue_after=100.0), Result(requeue_after=10.0))
    async with _running(work) as queue:
        loop = asyncio.get_running_loop()
        call_at = loop.call_at

        def call_at_of_uvloop(when: float, callback: Callable[..., None], *arguments: Any, **context: Any) -> Any:  # noqa: ANN401 - asyncio's own
            handle = call_at(when, callback, *arguments, **context)
            return _Handle(handle) if getattr(callback, "__self__", None) is queue else handle

        monkeypatch.setattr(loop, "call_at", call_at_of_uvloop)
        queue.enqueue("a")
        await asyncio.sleep(5)
        queue.enqueue("b")
        await asyncio.sleep(200)
    assert work.starts == [("a", 0.0), ("b", 5.0), ("b", 15.0), ("a", 100.0)]
