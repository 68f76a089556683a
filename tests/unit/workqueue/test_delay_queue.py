from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from defender_devops.workqueue.delay_queue import DelayQueue

KEYS = st.sampled_from("abcde")
TIMES = st.floats(0, 100)
STEPS = st.lists(st.one_of(st.tuples(st.just("set"), KEYS, TIMES), st.tuples(st.just("discard"), KEYS, TIMES)))


def _queue_after(steps: list[tuple[str, str, float]]) -> tuple[DelayQueue[str], dict[str, float]]:
    delayed, model = DelayQueue[str](), {}
    for step, key, at in steps:
        if step == "set":
            delayed.set(key, at)
            model[key] = at
        else:
            delayed.discard(key)
            model.pop(key, None)
    return delayed, model


@given(STEPS)
def test_only_the_last_time_set_for_a_key_counts(steps: list[tuple[str, str, float]]) -> None:
    delayed, model = _queue_after(steps)
    assert len(delayed) == len(model)
    assert {key: at for key, (at, _) in delayed._current.items()} == model
    assert delayed.earliest() == min(model.values(), default=None)


@given(STEPS, TIMES)
def test_what_is_due_comes_out_in_order_and_once(steps: list[tuple[str, str, float]], now: float) -> None:
    delayed, model = _queue_after(steps)
    popped = list(delayed.pop_until(now))
    assert [model[key] for key in popped] == sorted(model[key] for key in popped)
    assert set(popped) == {key for key, at in model.items() if at <= now}
    assert list(delayed.pop_until(now)) == []
    assert len(delayed) == len(model) - len(popped)


def test_a_key_that_is_set_again_and_again_does_not_fill_the_memory() -> None:
    delayed = DelayQueue[str]()
    for count in range(100_000):
        delayed.set("far", 1e9 + count)
        delayed.set("away", 2e9 + count)
    assert len(delayed._heap) < 100


def test_keys_that_cannot_be_compared_may_be_due_at_the_same_time() -> None:
    delayed = DelayQueue[object]()
    first, second = object(), object()
    delayed.set(first, 1.0)
    delayed.set(second, 1.0)
    assert list(delayed.pop_until(1.0)) == [first, second]
