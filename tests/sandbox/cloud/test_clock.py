"""The clock: two readings, a speed, and moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.clock import Clock, azure_time, short_time
from sandbox.cloud.world.timers import Timers


class Real:
    """Real time, controlled by a test."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


def test_inner_time_runs_by_the_factor_and_wall_time_does_not() -> None:
    real = Real()
    clock = Clock(600, real)
    start = clock.now()
    real.time += 10
    assert clock.now() == start + 6000
    assert clock.wall() == start + 10


def test_a_clock_that_stands_still_moves_only_when_it_is_moved() -> None:
    real = Real()
    clock = Clock(0, real)
    readings = (clock.now(), clock.wall())
    real.time += 1000
    assert (clock.now(), clock.wall()) == readings
    clock.move(3600)
    assert (clock.now(), clock.wall()) == (readings[0] + 3600, readings[1])
    clock.move(0, wall=60)
    assert (clock.now(), clock.wall()) == (readings[0] + 3600, readings[1] + 60)


def test_a_change_of_speed_makes_no_jump() -> None:
    real = Real()
    clock = Clock(2, real)
    real.time += 5
    readings = (clock.now(), clock.wall())
    clock.set_speed(100)
    assert (clock.now(), clock.wall()) == readings
    real.time += 1
    assert clock.now() == readings[0] + 100


Step = tuple[str, float, float]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 1000), st.just(0.0)),
        st.tuples(st.just("speed"), st.sampled_from([0.0, 0.5, 1.0, 60.0, 3600.0]), st.just(0.0)),
        st.tuples(st.just("move"), st.floats(0, 100_000), st.floats(0, 1000)),
    ),
    max_size=12,
)


@given(STEPS)
def test_wall_times_keep_the_order_of_events_and_are_never_in_the_future(steps: list[Step]) -> None:
    real = Real()
    clock = Clock(1, real)
    moments = [clock.now()]
    for kind, amount, wall in steps:
        if kind == "pass":
            real.time += amount
        elif kind == "speed":
            clock.set_speed(amount)
        else:
            clock.move(amount, wall)
        moments += [(moments[-1] + clock.now()) / 2, clock.now()]
    wall_times = [clock.wall_of(moment) for moment in moments]
    assert wall_times == sorted(wall_times)
    assert wall_times[-1] <= clock.wall() + 1e-3


@pytest.mark.parametrize(("speed", "seconds", "expected"), [(1, 20, "20"), (60, 20, "1"), (2, 20, "10"), (0, 20, "20")])
def test_retry_after_is_in_whole_real_seconds(speed: float, seconds: float, expected: str) -> None:
    assert Clock(speed).retry_after(seconds) == expected


def test_times_are_written_as_azure_writes_them() -> None:
    assert azure_time(1_707_876_647.5) == "2024-02-14T02:10:47.5000000Z"
    assert short_time(1_707_876_647.9) == "2024-02-14T02:10:47Z"


def test_timers_run_in_the_order_of_their_times_and_so_do_those_they_schedule() -> None:
    timers, events = Timers(), list[tuple[str, float]]()
    timers.at(5, lambda moment: events.append(("later", moment)))

    def first(moment: float) -> None:
        events.append(("first", moment))
        timers.at(moment + 1, lambda caused_at: events.append(("caused", caused_at)))

    timers.at(1, first)
    timers.at(9, lambda moment: events.append(("never", moment)))
    timers.run_due(6)
    assert events == [("first", 1), ("caused", 2), ("later", 5)]
    assert len(timers) == 1


def test_before_the_start_both_readings_ran_alike() -> None:
    clock = Clock(600, Real())
    start = clock.now()
    clock.move(1000)
    assert clock.wall_of(start - 86400) == clock.wall_of(start) - 86400
