from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from defender_devops.workqueue.fair_queue import FairQueue

SLOTS, SLOTS_PER_GROUP = 4, 3
GROUPS = "ABC"


def _queue_of(queue: FairQueue[str], **groups: int) -> FairQueue[str]:
    for group, count in groups.items():
        for number in range(count):
            queue.add(f"{group}{number}", group)
    return queue


def _take(queue: FairQueue[str], count: int) -> list[str]:
    return [turn[0] for _ in range(count) if (turn := queue.take())]


def test_groups_take_turns_however_many_each_has_waiting() -> None:
    queue = _queue_of(FairQueue[str](slots=6), A=100, B=2, C=1)
    assert _take(queue, 6) == ["A0", "B0", "C0", "A1", "B1", "A2"]


def test_within_a_group_the_key_that_waited_longest_is_first() -> None:
    assert _take(_queue_of(FairQueue[str](slots=3), A=3), 3) == ["A0", "A1", "A2"]


def test_a_slow_group_does_not_end_up_with_every_slot() -> None:
    """A never gives a slot back. B does at once, so rotation alone would leave it with nothing."""
    queue = _queue_of(FairQueue[str](slots=4), A=100, B=100)
    assert Counter(key[0] for key in _take(queue, 4)) == {"A": 2, "B": 2}
    for _ in range(50):
        queue.release("B")
        assert queue.take()[1] == "B"


def test_the_limit_of_a_group_reserves_slots_for_later_groups() -> None:
    queue = _queue_of(FairQueue[str](slots=4, slots_per_group=3), A=100)
    assert len(_take(queue, 4)) == 3
    queue.add("B0", "B")
    assert _take(queue, 1) == ["B0"]


def test_a_key_that_waits_already_does_not_wait_twice() -> None:
    queue = FairQueue[str](slots=9)
    queue.add("k", "A")
    queue.add("k", "B")
    assert len(queue) == 1
    assert _take(queue, 9) == ["k"]


def test_a_discarded_key_gets_no_slot() -> None:
    queue = _queue_of(FairQueue[str](slots=9), A=3)
    queue.discard("A1")
    queue.discard("unknown")
    assert _take(queue, 9) == ["A0", "A2"]


class FairQueueMachine(RuleBasedStateMachine):
    """The fair queue against a model that is slow and plain."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue[int](SLOTS, SLOTS_PER_GROUP)
        self.waiting: dict[int, str] = {}
        self.running: list[str] = []

    @rule(key=st.integers(0, 20), group=st.sampled_from(GROUPS))
    def add(self, key: int, group: str) -> None:
        self.queue.add(key, group)
        self.waiting.setdefault(key, group)

    @rule(key=st.integers(0, 20))
    def discard(self, key: int) -> None:
        self.queue.discard(key)
        self.waiting.pop(key, None)

    @rule()
    def take(self) -> None:
        load = Counter(self.running)
        may = {group for group in self.waiting.values() if load[group] < SLOTS_PER_GROUP}
        turn = self.queue.take()
        if len(self.running) == SLOTS or not may:
            assert turn is None
            return
        key, group = turn
        assert load[group] == min(load[other] for other in may)
        assert key == next(other for other, its in self.waiting.items() if its == group)
        del self.waiting[key]
        self.running.append(group)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(self.running))
        self.running.remove(group)
        self.queue.release(group)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert all(key in self.queue for key in self.waiting)


TestFairQueueAgainstItsModel = FairQueueMachine.TestCase
