from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from defender_devops.workqueue.fair_queue import FairQueue

SLOTS, SLOTS_PER_GROUP = 4, 3
GROUPS = "ABC"


def _filled(turns: FairQueue[str], **groups: int) -> FairQueue[str]:
    for group, count in groups.items():
        for number in range(count):
            turns.add(f"{group}{number}", group)
    return turns


def _taken(turns: FairQueue[str], count: int) -> list[str]:
    return [turn[0] for _ in range(count) if (turn := turns.take())]


def test_groups_take_turns_however_many_each_has_waiting() -> None:
    turns = _filled(FairQueue[str](slots=6), A=100, B=2, C=1)
    assert _taken(turns, 6) == ["A0", "B0", "C0", "A1", "B1", "A2"]


def test_within_a_group_whoever_waited_longest_is_first() -> None:
    assert _taken(_filled(FairQueue[str](slots=3), A=3), 3) == ["A0", "A1", "A2"]


def test_a_slow_group_does_not_end_up_with_every_slot() -> None:
    """A never gives a slot back. B does at once, so rotation alone would leave it with nothing."""
    turns = _filled(FairQueue[str](slots=4), A=100, B=100)
    assert Counter(key[0] for key in _taken(turns, 4)) == {"A": 2, "B": 2}
    for _ in range(50):
        turns.finished("B")
        assert turns.take()[1] == "B"


def test_a_bound_for_each_group_keeps_slots_free_for_those_who_come_later() -> None:
    turns = _filled(FairQueue[str](slots=4, slots_per_group=3), A=100)
    assert len(_taken(turns, 4)) == 3
    turns.add("B0", "B")
    assert _taken(turns, 1) == ["B0"]


def test_a_key_that_waits_already_does_not_wait_twice() -> None:
    turns = FairQueue[str](slots=9)
    turns.add("k", "A")
    turns.add("k", "B")
    assert len(turns) == 1
    assert _taken(turns, 9) == ["k"]


def test_who_no_longer_waits_gets_no_turn() -> None:
    turns = _filled(FairQueue[str](slots=9), A=3)
    turns.discard("A1")
    turns.discard("unknown")
    assert _taken(turns, 9) == ["A0", "A2"]


class TurnsMachine(RuleBasedStateMachine):
    """Turns against a model that is slow and plain."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = FairQueue[int](SLOTS, SLOTS_PER_GROUP)
        self.waiting: dict[int, str] = {}
        self.running: list[str] = []

    @rule(key=st.integers(0, 20), group=st.sampled_from(GROUPS))
    def add(self, key: int, group: str) -> None:
        self.turns.add(key, group)
        self.waiting.setdefault(key, group)

    @rule(key=st.integers(0, 20))
    def discard(self, key: int) -> None:
        self.turns.discard(key)
        self.waiting.pop(key, None)

    @rule()
    def take(self) -> None:
        load = Counter(self.running)
        may = {group for group in self.waiting.values() if load[group] < SLOTS_PER_GROUP}
        turn = self.turns.take()
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
        self.turns.finished(group)

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.turns) == len(self.waiting)
        assert all(key in self.turns for key in self.waiting)


TestTurnsAgainstItsModel = TurnsMachine.TestCase
