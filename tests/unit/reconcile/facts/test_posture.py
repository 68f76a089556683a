"""When recommendations of an organization have stopped changing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.reconcile.facts.posture import PostureObservation, add_change, is_stale

START = datetime(2026, 10, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def days(*numbers: float) -> tuple[datetime, ...]:
    return tuple(day(number) for number in numbers)


@pytest.mark.parametrize(
    ("times", "others", "now", "expected"),
    [
        ((), 9, 9, None),
        ((0,), 99, 99, None),
        ((0, 1), 99, 99, None),
        ((0, 1, 2), None, 99, None),
        ((0, 1, 2), 5, 5, False),
        ((0, 1, 2), 5.1, 5.1, True),
        ((0, 1, 4), 13, 13, False),
        ((0, 1, 4), 13.1, 13.1, True),
        ((0, 0.01, 0.02), 3, 3, False),
        ((0, 0.01, 0.02), 3.1, 3.1, True),
        ((0, 1, 2), 2, 9, None),
        ((0, 1, 2), 1, 3, False),
        ((0, 1, 2), 5.1, 2, True),
    ],
    ids=[
        "no change was seen",
        "one change",
        "two changes: one interval",
        "there is no other organization",
        "three intervals are not over",
        "three intervals are over",
        "three of the longest interval are not over",
        "three of the longest interval are over",
        "changes within a day are one evaluation",
        "changes within a day, and more than three days",
        "nothing else changes either",
        "it is the one that changed last",
        "the operator's clock is slow",
    ],
)
def test_staleness(times: tuple[float, ...], others: float | None, now: float, *, expected: bool | None) -> None:
    assert is_stale(days(*times), day(others) if others is not None else None, day(now)) is expected


@pytest.mark.parametrize(
    ("times", "latest", "expected"),
    [
        ((), 1, (1,)),
        ((1,), 2, (1, 2)),
        ((1, 2), 2, (1, 2)),
        ((1, 2), 1, (1, 2)),
        ((1, 2, 3, 4), 5, (2, 3, 4, 5)),
    ],
    ids=["the first", "a later one", "no change", "the last one has vanished", "only the last ones are kept"],
)
def test_times_of_changes(times: tuple[float, ...], latest: float, expected: tuple[float, ...]) -> None:
    assert add_change(days(*times), day(latest)) == days(*expected)


@given(st.lists(st.integers(0, 1000)))
def test_times_of_changes_only_increase_and_are_few(latest_changes: list[int]) -> None:
    times: tuple[datetime, ...] = ()
    for latest in latest_changes:
        times = add_change(times, day(latest))
        assert len(times) <= 4
        assert all(earlier < later for earlier, later in pairwise(times))
    assert not latest_changes or times[-1] == day(max(latest_changes))


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=3), st.integers(0, 5000))
def test_an_organization_that_changed_with_the_others_is_not_stale(gaps: list[int], elapsed: int) -> None:
    times = [START]
    for gap in gaps:
        times.append(times[-1] + timedelta(hours=gap))
    stale = is_stale(tuple(times), times[-1], times[-1] + timedelta(hours=elapsed))
    assert stale is (None if elapsed > 3 * max(24, *gaps) else False)


def test_without_time_only_shows_whether_there_was_an_answer() -> None:
    never, early, late = (PostureObservation(answered_at=time) for time in (None, day(0), day(1)))
    assert early.without_time() == late.without_time()
    assert never.without_time() != early.without_time()
