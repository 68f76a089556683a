"""The queue against a model: any order of events, endings and passing time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from defender_devops.backoff import Backoff
from defender_devops.workqueue.queue import WorkQueue
from defender_devops.workqueue.result import Result

KEYS = st.integers(0, 5)
RESULTS = st.builds(
    Result, requeue_after=st.sampled_from([None, 0.0, 3.0, 50.0]), failed=st.booleans(), is_terminal=st.booleans()
)
SLOTS = 2
BACKOFF = Backoff(initial=2.0, maximum=16.0, jitter=0.0)
FLOOR, TERMINAL_INTERVAL = 1.0, 40.0
TICK = 0.01


class WorkQueueMachine(RuleBasedStateMachine):
    """Keeps, for each key, what has to happen next; the queue must agree whenever nothing is moving."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop()
        self.under_way: dict[int, asyncio.Future[Result]] = {}
        self.pending: set[int] = set()  # enqueued or due, and not started since
        self.due: dict[int, float] = {}
        self.failures: dict[int, int] = {}
        self.terminal_failures: dict[int, int] = {}
        self.forgotten: set[int] = set()  # forgotten while they ran
        self.queue = WorkQueue[int](
            self._reconcile,
            concurrency=SLOTS,
            backoff=BACKOFF,
            group_of=lambda key: key % 2,
            spread=0.0,
            grace=0.0,
            min_requeue_interval=FLOOR,
            terminal_retry_interval=TERMINAL_INTERVAL,
        )
        self.run = self.loop.create_task(self.queue.run())
        self._settle()

    async def _reconcile(self, key: int) -> Result:
        assert key not in self.under_way, "two reconciles of one key at once"
        assert len(self.under_way) < SLOTS, "more at once than allowed"
        if key not in self.pending:
            assert self.due.pop(key) <= self.loop.time() + TICK, "reconciled without a cause"
        self.pending.discard(key)
        self.under_way[key] = self.loop.create_future()
        return await self.under_way[key]

    def _settle(self, seconds: float = 0.0) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds + TICK))

    def _do(self, call: Callable[..., object], *args: object) -> None:
        self.loop.call_soon(call, *args)
        self._settle()

    @rule(key=KEYS)
    def enqueue(self, key: int) -> None:
        self.pending.add(key)
        self.due.pop(key, None)
        self.failures[key] = self.terminal_failures[key] = 0
        self.forgotten.discard(key)
        self._do(self.queue.enqueue, key)

    @rule(key=KEYS)
    def forget(self, key: int) -> None:
        self.pending.discard(key)
        self.due.pop(key, None)
        if key in self.under_way:
            self.forgotten.add(key)
        self._do(self.queue.forget, key)

    @precondition(lambda self: self.under_way)
    @rule(result=RESULTS, data=st.data())
    def finish(self, result: Result, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.under_way)))
        future = self.under_way.pop(key)
        if key in self.forgotten:
            self.forgotten.discard(key)
        elif key not in self.pending:
            self.failures[key] = self.failures[key] + 1 if result.failed else 0
            self.terminal_failures[key] = self.terminal_failures[key] if result.failed else 0
            delay = result.requeue_after
            if result.failed and result.is_terminal:
                self.terminal_failures[key] += 1
                retry = {1: 10.0, 2: 30.0}.get(self.terminal_failures[key], TERMINAL_INTERVAL)
                delay = max(delay or 0.0, retry)
            elif result.failed:
                delay = max(delay or 0.0, BACKOFF.delay(self.failures[key], 0.0))
            if delay is not None:
                self.due[key] = self.loop.time() + max(delay, FLOOR)
        self._do(future.set_result, result)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 60.0]))
    def advance_time(self, seconds: float) -> None:
        self._settle(seconds)

    @invariant()
    def slots_are_used_while_keys_wait(self) -> None:
        ready = {key for key, at in self.due.items() if at <= self.loop.time() - TICK} | self.pending
        ready -= set(self.under_way)
        assert not ready or len(self.under_way) == SLOTS

    @invariant()
    def numbers_agree(self) -> None:
        assert self.queue.depth()["running"] == len(self.under_way)
        assert not self.run.done()

    def teardown(self) -> None:
        self.queue.stop()
        self.loop.run_until_complete(self.run)
        self.loop.close()


WorkQueueMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestWorkQueueAgainstItsModel = WorkQueueMachine.TestCase
