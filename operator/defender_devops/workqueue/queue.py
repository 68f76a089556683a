"""The work queue: which resource is reconciled when.

A key (the uid of a resource) is at any time one of

    waiting    its turn comes as soon as a slot is free
    running    one reconcile works on it, and never two
    scheduled  it is due at a known time
    idle       nothing will happen until it is woken

An event wakes it. One that comes while it runs marks it dirty, so that exactly one more reconcile follows, however
many events there were. An event also ends a back-off: who edits a manifest to mend it must not wait for the delay that
the broken one earned.

Time is the event loop's (`loop.time()`, monotonic), so a test with a fake loop clock needs no real second.
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

__all__ = ["QueueObserver", "ResultLabel", "WorkQueue"]

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)

ResultLabel = Literal["success", "failure", "exception", "cancelled"]

_TIMER_TOLERANCE: Final = (
    0.001  # seconds that a look may come early: timers are no finer, and neighbours share one wake-up
)
_CANCEL_TIMEOUT: Final = 5.0  # seconds that a cancelled reconcile has to end

_log = structlog.get_logger(__name__)


class QueueObserver(Protocol[K_contra]):
    """Who wants to know what the queue does: metrics. Called within the event loop, so it must be quick."""

    def started(self, waited: float) -> None:
        """A reconcile starts, so many seconds after its turn could have come."""

    def finished(self, key: K_contra, result: ResultLabel, seconds: float) -> None:
        """A reconcile ended after so many seconds. `exception`: it raised, which none should."""


class _NoObserver:
    def started(self, waited: float) -> None:
        pass

    def finished(self, key: object, result: ResultLabel, seconds: float) -> None:
        pass


@dataclass(slots=True)
class _Entry:
    """What is remembered of a key besides its place in the queue.

    Attributes:
        group: at the last event; a due time does not ask again.
        failures: in a row, since the last success or event.
        waiting_since: loop time.
        begun: the reconcile under way has begun to look, so that it may have missed what happens from here on.
        dirty: an event came after that.
        forgotten: `forget` came during the reconcile.
    """

    group: Hashable
    failures: int = 0
    waiting_since: float = 0.0
    begun: bool = False
    requeue_after_run: bool = False
    forgotten: bool = False


class WorkQueue(Generic[K]):
    """Runs `reconcile(key)` when a key was woken or is due. All methods belong to the event loop's thread.

    Each call costs O(log n) for n keys.

    Args:
        reconcile: looks at one resource. Should not raise; if it does, it is logged, counted, and backed off from.
        concurrency: reconciles at once.
        backoff: delays after failures that name no next look.
        group_of: the group of a key (its subscription), between which turns are fair; called at each `wake`.
        concurrency_per_group: reconciles at once of one group; None sets no bound of its own.
        spread: the part of a next look that chance adds to it, so that what was started together drifts apart.
        grace: seconds that running reconciles get to end before they are cancelled, when the scheduler stops.
        observer: told of every reconcile.
        chance: random numbers in [0, 1).
    """

    def __init__(
        self,
        reconcile: Callable[[K], Awaitable[Result]],
        *,
        concurrency: int = 32,
        backoff: Backoff = Backoff(initial=2.0, maximum=300.0),  # noqa: B008 - frozen
        group_of: Callable[[K], Hashable] = lambda _key: None,
        concurrency_per_group: int | None = None,
        spread: float = 0.1,
        grace: float = 20.0,
        observer: QueueObserver[K] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._reconcile = reconcile
        self._backoff = backoff
        self._group_of = group_of
        self._spread = spread
        self._grace = grace
        self._observer: QueueObserver[K] = observer or _NoObserver()
        self._chance = chance
        self._entries: dict[K, _Entry] = {}
        self._due: DelayQueue[K] = DelayQueue()
        self._turns: FairQueue[K] = FairQueue(concurrency, concurrency_per_group)
        self._tasks: dict[K, asyncio.Task[Result]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.Context()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()

    def depth(self) -> dict[str, int]:
        """How many keys are in which state."""
        return {"waiting": len(self._turns), "running": len(self._tasks), "scheduled": len(self._due)}

    def due_in(self, key: K) -> float | None:
        """Seconds until `key` is due, or None if it is not scheduled (unknown, waiting, running or idle)."""
        at = self._due.get(key)
        return None if at is None else at - self._now()

    def enqueue(self, key: K) -> None:
        """Something happened to `key`: reconcile it as soon as possible, and once more if it is running already.

        May be called before `run`; the reconcile then waits for it.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(self._group_of(key))
        else:
            entry.group = self._group_of(key)
        entry.failures = 0
        if key in self._tasks:
            entry.requeue_after_run, entry.forgotten = entry.begun, False
            return
        self._due.discard(key)
        self._append(key, entry)
        self._pump()

    def forget(self, key: K) -> None:
        """`key` is gone: drop all that is known of it. A reconcile under way ends by itself and has no sequel."""
        self._due.discard(key)
        self._turns.discard(key)
        if key in self._tasks:
            entry = self._entries[key]
            entry.forgotten, entry.requeue_after_run = True, False
        else:
            self._entries.pop(key, None)

    async def run(self) -> None:
        """Reconcile until `stop` is called or this is cancelled, then end what is under way (see `grace`)."""
        if self._loop is not None:
            raise RuntimeError("this scheduler runs already")
        self._loop = asyncio.get_running_loop()
        # What the caller has bound belongs to every reconcile; what binds itself in one belongs to that one alone.
        self._context = contextvars.copy_context()
        self._pump()
        try:
            await self._stopping.wait()
        finally:
            self._loop = None
            await self._shut_down()

    def stop(self, *, grace: float | None = None) -> None:
        """Make `run` return. Starts nothing from here on; `grace` replaces the one that was set (0: cancel at once)."""
        if grace is not None:
            self._grace = grace
        self._stopping.set()

    def _now(self) -> float:
        return (self._loop or asyncio.get_running_loop()).time()

    def _append(self, key: K, entry: _Entry) -> None:
        if key not in self._turns:
            entry.waiting_since = self._now()
            self._turns.add(key, entry.group)

    def _pump(self) -> None:
        """Start whatever may start, and set the timer for what is due next."""
        if self._loop is None or self._stopping.is_set():
            return
        for key in self._due.pop_until(self._loop.time() + _TIMER_TOLERANCE):
            self._append(key, self._entries[key])
        while (turn := self._turns.take()) is not None:
            self._start(self._loop, *turn)
        self._set_timer(self._loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        earliest = self._due.earliest()
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() == earliest:
                return
            self._timer.cancel()
            self._timer = None
        if earliest is not None:
            self._timer = loop.call_at(earliest, self._timer_fired, context=self._context)

    def _timer_fired(self) -> None:
        self._timer = None
        self._pump()

    def _start(self, loop: asyncio.AbstractEventLoop, key: K, group: Hashable) -> None:
        entry = self._entries[key]
        entry.begun = False
        started = loop.time()
        # A copy of its own: otherwise it would inherit the context of whoever woke it, such as another reconcile.
        context = self._context.copy()
        task = loop.create_task(self._run_one(key, entry), context=context)
        self._tasks[key] = task
        task.add_done_callback(lambda task: self._finished(key, group, task, loop.time() - started), context=context)

    async def _run_one(self, key: K, entry: _Entry) -> Result:
        entry.begun = True
        begin_reconcile()
        self._observer.started(self._now() - entry.waiting_since)
        return await self._reconcile(key)

    def _finished(self, key: K, group: Hashable, task: asyncio.Task[Result], seconds: float) -> None:
        outcome, result = _result_of(task)
        entry = self._entries[key]
        del self._tasks[key]
        self._turns.finished(group)
        if entry.forgotten:
            del self._entries[key]
        elif entry.requeue_after_run:
            entry.requeue_after_run = False
            self._append(key, entry)
        else:
            self._schedule(key, entry, outcome)
        self._pump()
        self._observer.finished(key, result, seconds)

    def _schedule(self, key: K, entry: _Entry, outcome: Result) -> None:
        entry.failures = entry.failures + 1 if outcome.failed else 0
        if outcome.requeue_after is not None:
            delay = max(outcome.requeue_after, 0.0) * (1.0 + self._spread * self._chance())
        elif outcome.failed:
            delay = self._backoff.delay(entry.failures, self._chance())
        else:
            return
        self._due.set(key, self._now() + delay)

    async def _shut_down(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
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
                _log.error("reconcile does not end, although it was cancelled", key=str(key))


def _result_of(task: asyncio.Task[Result]) -> tuple[Result, ResultLabel]:
    """The outcome of a finished reconcile, whatever way it ended."""
    if task.cancelled():
        return Result(failed=True), "cancelled"
    error = task.exception()
    if error is None:
        outcome = task.result()
        return outcome, "failure" if outcome.failed else "success"
    _log.error("reconcile raised", exc_info=error)
    retry_after = error.retry_after if isinstance(error, OperatorError) else None
    return Result(requeue_after=retry_after, failed=True), "exception"
