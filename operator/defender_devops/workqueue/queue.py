"""The work queue: which connector is reconciled when.

A key is at any time in one of four states:

    waiting    it is reconciled as soon as a slot is free
    running    one reconcile works on it, never two
    scheduled  it is reconciled at a known time
    idle       nothing happens until an event enqueues it

An event that arrives during a reconcile causes exactly one more reconcile after it, however many events there are. An
event also ends a back-off: whoever edits a manifest to correct it must not wait for the delay of the broken one.

A failure that only a person or a changed spec can solve is retried twice within the first minute, in case the cause was
transient after all, and then every `terminal_retry_interval`; an event is acted on at once.

Without an event a key is never reconciled again sooner than `min_requeue_interval`, whatever a reconcile returns: a due
time in the past that is returned again and again would otherwise use up the request limits of a subscription.

Time is the event loop's (`loop.time()`, monotonic, in seconds), so tests with a fake loop clock need no real time.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, Literal, Protocol, TypeVar

import structlog

from defender_devops.backoff import Backoff
from defender_devops.errors import OperatorError
from defender_devops.telemetry.context import begin_reconcile
from defender_devops.workqueue.delay_queue import DelayQueue
from defender_devops.workqueue.fair_queue import FairQueue
from defender_devops.workqueue.result import Result

__all__ = ["FREQUENT_REQUEUES", "QueueObserver", "ResultLabel", "WorkQueue"]

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

ResultLabel = Literal["success", "failure", "exception", "cancelled"]

FREQUENT_REQUEUES: Final = 6
"""Reconciles of one key within a minute and without an event that are still normal: an operation that Azure wants to be
polled every 10 seconds has so many, and so has the start of a back-off."""

_FREQUENT_REQUEUES_WINDOW: Final = 60.0  # seconds
_TERMINAL_RETRIES: Final = (10.0, 30.0)  # seconds before the first retries after a terminal failure
_TIMER_TOLERANCE: Final = 0.001  # seconds a key may be early: timers are no finer, and close due times share one timer
_CANCEL_TIMEOUT: Final = 5.0  # seconds a cancelled reconcile has to end

_log: Final = structlog.get_logger(__name__)


class QueueObserver(Protocol[K_contra]):
    """Receives what the queue does, for metrics. Called within the event loop, so it must be quick."""

    def reconcile_started(self, waited: float) -> None:
        """A reconcile starts, `waited` seconds after its key was ready to run."""

    def reconcile_finished(self, key: K_contra, result: ResultLabel, seconds: float) -> None:
        """A reconcile ended after `seconds`. The result `exception` means that it raised, which it should not."""

    def requeued_frequently(self) -> None:
        """A key was reconciled without an event more often than `FREQUENT_REQUEUES` within a minute."""


@dataclass(slots=True)
class _Entry:
    """What the queue keeps of a key besides its place in the queue.

    Attributes:
        group: as of the last event; a due time does not determine it anew.
        failures: in a row, since the last success or event.
        terminal_failures: those of them that were terminal.
        waiting_since: loop time.
        is_started: the reconcile under way has begun to read, so it may have missed what happens from now on.
        requeue_after_run: an event arrived after that.
        is_forgotten: `forget` was called during the reconcile.
        requeues: reconciles without an event since `requeues_since`.
        requeues_since: loop time at which the count of requeues began.
    """

    group: Hashable
    failures: int = 0
    terminal_failures: int = 0
    waiting_since: float = 0.0
    is_started: bool = False
    requeue_after_run: bool = False
    is_forgotten: bool = False
    requeues: int = 0
    requeues_since: float = 0.0


class WorkQueue(Generic[K]):
    """Runs `reconcile(key)` when a key was enqueued or is due. All methods belong to the event loop's thread.

    Each call costs O(log n) for n keys.

    Args:
        reconcile: reconciles one resource. Should not raise; an exception is logged, counted, and backed off from.
        concurrency: maximum number of reconciles at once.
        backoff: minimum delays after failures; a longer `requeue_after` is respected.
        group_of: returns the group of a key (its subscription); slots are shared fairly between groups. Called at each
            `enqueue`.
        concurrency_per_group: maximum number of reconciles at once of one group; None sets no limit of its own.
        min_requeue_interval: minimum seconds between two reconciles of a key that no event has enqueued.
        terminal_retry_interval: seconds between two retries after a terminal failure, beginning with the third.
        spread: the fraction of a delay that is added at random, so that keys that started together drift apart.
        grace: seconds that running reconciles get to end before they are cancelled when the queue stops.
        observer: receives each reconcile.
        chance: returns random numbers in [0, 1).
    """

    def __init__(
        self,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        concurrency: int = 32,
        backoff: Backoff = Backoff(initial=2.0, maximum=300.0),  # noqa: B008 - frozen
        group_of: Callable[[K], Hashable] = lambda _key: None,
        concurrency_per_group: int | None = None,
        min_requeue_interval: float = 0.0,
        terminal_retry_interval: float = 600.0,
        spread: float = 0.1,
        grace: float = 20.0,
        observer: QueueObserver[K] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reconcile = reconcile
        self._backoff = backoff
        self._group_of = group_of
        self._min_requeue_interval = min_requeue_interval
        self._terminal_retry_interval = terminal_retry_interval
        self._spread = spread
        self._grace = grace
        self._observer = observer
        self._chance = chance
        self._entries: dict[K, _Entry] = {}
        self._delayed: DelayQueue[K] = DelayQueue()
        self._ready: FairQueue[K] = FairQueue(concurrency, concurrency_per_group)
        self._tasks: dict[K, asyncio.Task[Result]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.Context()
        # The due time is kept beside it: for one that has just passed uvloop returns a handle that does not know it.
        self._timer: asyncio.Handle | None = None
        self._timer_due: float | None = None
        self._stopping = asyncio.Event()

    def depth(self) -> dict[str, int]:
        """Return the number of keys in each state."""
        return {"waiting": len(self._ready), "running": len(self._tasks), "scheduled": len(self._delayed)}

    def enqueue(self, key: K) -> None:
        """Reconcile `key` as soon as possible because of an event, and once more if it is running already.

        May be called before `run`; the reconcile then waits for it.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self._group_of(key))
        else:
            entry.group = self._group_of(key)
        entry.failures = entry.terminal_failures = entry.requeues = 0
        if key in self._tasks:
            entry.requeue_after_run, entry.is_forgotten = entry.is_started, False
            return
        self._delayed.discard(key)
        self._append(key, entry)
        self._pump()

    def forget(self, key: K) -> None:
        """Drop all state of `key`, whose resource is deleted. A running reconcile ends by itself and is the last."""
        self._delayed.discard(key)
        self._ready.discard(key)
        if key in self._tasks:
            entry = self._entries[key]
            entry.is_forgotten, entry.requeue_after_run = True, False
        else:
            self._entries.pop(key, None)

    async def run(self) -> None:
        """Reconcile until `stop` is called or this is cancelled, then end what is under way (see `grace`)."""
        if self._loop is not None:
            raise RuntimeError("this work queue runs already")
        self._loop = asyncio.get_running_loop()
        # What the caller has bound applies to every reconcile; what a reconcile binds applies to that one alone.
        self._context = contextvars.copy_context()
        self._pump()
        try:
            await self._stopping.wait()
        finally:
            self._loop = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            await self._end_running()

    def stop(self, *, grace: float | None = None) -> None:
        """Make `run` return and start no more reconciles; `grace` replaces the configured one (0 cancels at once)."""
        if grace is not None:
            self._grace = grace
        self._stopping.set()

    def _now(self) -> float:
        return (self._loop or asyncio.get_running_loop()).time()

    def _append(self, key: K, entry: _Entry) -> None:
        """Append a key to those that wait for a slot, unless it waits already."""
        if key not in self._ready:
            entry.waiting_since = self._now()
            self._ready.add(key, entry.group)

    def _pump(self) -> None:
        """Start whatever may start, and set the timer to the next due time."""
        loop = self._loop
        if loop is None or self._stopping.is_set():
            return
        for key in self._delayed.pop_until(loop.time() + _TIMER_TOLERANCE):
            entry = self._entries[key]
            self._count_requeue(key, entry)
            self._append(key, entry)
        while (next_key := self._ready.take()) is not None:
            self._start(loop, *next_key)
        earliest = self._delayed.earliest()
        if self._timer is not None:
            if self._timer_due == earliest:
                return
            self._timer.cancel()
            self._timer = None
        if earliest is not None:
            self._timer = loop.call_at(earliest, self._on_timer, context=self._context)
            self._timer_due = earliest

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _count_requeue(self, key: K, entry: _Entry) -> None:
        """Count a reconcile without an event, and report a key that has too many of them."""
        now = self._now()
        if entry.requeues == 0 or now - entry.requeues_since >= _FREQUENT_REQUEUES_WINDOW:
            entry.requeues, entry.requeues_since = 0, now
        entry.requeues += 1
        if entry.requeues > FREQUENT_REQUEUES and self._observer is not None:
            self._observer.requeued_frequently()
        if entry.requeues == FREQUENT_REQUEUES + 1:  # once in each window, or the log would grow with the fault
            _log.warning(
                "reconciled too often without an event",
                key=str(key),
                reconciles=entry.requeues,
                seconds=round(now - entry.requeues_since, 1),
            )

    def _start(self, loop: asyncio.AbstractEventLoop, key: K, group: Hashable) -> None:
        entry = self._entries[key]
        entry.is_started = False
        start = loop.time()
        # A copy for each reconcile: otherwise it would inherit the context of its caller, such as another reconcile.
        context = self._context.copy()

        async def reconcile() -> Result:
            entry.is_started = True
            begin_reconcile()
            if self._observer is not None:
                self._observer.reconcile_started(self._now() - entry.waiting_since)
            return await self._reconcile(key)

        task = loop.create_task(reconcile(), context=context)
        self._tasks[key] = task
        task.add_done_callback(lambda task: self._on_finished(key, group, task, loop.time() - start), context=context)

    def _on_finished(self, key: K, group: Hashable, task: asyncio.Task[Result], seconds: float) -> None:
        label: ResultLabel
        if task.cancelled():
            result, label = Result(failed=True, reason="cancelled"), "cancelled"
        elif (error := task.exception()) is not None:
            _log.error("reconcile raised", exc_info=error)
            retry_after = error.retry_after if isinstance(error, OperatorError) else None
            is_terminal = isinstance(error, OperatorError) and error.terminal
            result = Result(retry_after, failed=True, is_terminal=is_terminal, reason="exception")
            label = "exception"
        else:
            result = task.result()
            label = "failure" if result.failed else "success"
        entry = self._entries[key]
        del self._tasks[key]
        self._ready.release(group)
        if entry.is_forgotten:
            del self._entries[key]
        elif entry.requeue_after_run:
            entry.requeue_after_run = False
            _log.debug("requeued", delay=0.0, reason="an event arrived during the reconcile")
            self._append(key, entry)
        else:
            self._schedule(key, entry, result)
        self._pump()
        if self._observer is not None and not result.is_deferred:
            self._observer.reconcile_finished(key, label, seconds)

    def _schedule(self, key: K, entry: _Entry, result: Result) -> None:
        """Schedule the next reconcile without an event, if there has to be one."""
        entry.failures = entry.failures + 1 if result.failed else 0
        delay = max(result.requeue_after or 0.0, self._min_requeue_interval) * (1.0 + self._spread * self._chance())
        if not result.failed:
            entry.terminal_failures = 0
            if result.requeue_after is None:
                return
        elif result.is_terminal:
            retries = (*_TERMINAL_RETRIES, self._terminal_retry_interval)
            retry = min(retries[min(entry.terminal_failures, len(_TERMINAL_RETRIES))], self._terminal_retry_interval)
            entry.terminal_failures += 1
            delay = max(delay, retry * (1.0 + self._spread * self._chance()))
        else:
            # A service that is down for long and always asks for a second must not be asked each second.
            delay = max(delay, self._backoff.delay(entry.failures, self._chance()))
        _log.debug("requeued", delay=round(delay, 3), reason=result.reason, failures=entry.failures)
        self._delayed.set(key, self._now() + delay)

    async def _end_running(self) -> None:
        """Wait for running reconciles for the grace period, then cancel them."""
        tasks = set(self._tasks.values())
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=self._grace)
        finally:
            for task in tasks:
                task.cancel()
            _, stuck = await asyncio.wait(tasks, timeout=_CANCEL_TIMEOUT)
            for key in [key for key, task in self._tasks.items() if task in stuck]:
                _log.error("reconcile does not end although it was cancelled", key=str(key))
