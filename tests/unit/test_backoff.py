from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.backoff import Backoff

BACKOFF = Backoff(initial=2.0, maximum=300.0, jitter=0.5)


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [
        (1, 0.0, 2.0),
        (2, 0.0, 4.0),
        (3, 0.0, 8.0),
        (8, 0.0, 256.0),
        (9, 0.0, 300.0),
        (10_000, 0.0, 300.0),
        (1, 0.5, 1.5),
        (9, 0.5, 225.0),
    ],
)
def test_delays_double_up_to_the_maximum_and_chance_takes_a_part_away(
    failures: int, chance: float, seconds: float
) -> None:
    assert BACKOFF.delay(failures, chance) == pytest.approx(seconds)


@given(st.integers(1, 1_000_000), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_no_delay_is_longer_than_the_maximum_or_shorter_than_jitter_allows(
    failures: int, chance: float, jitter: float
) -> None:
    delay = Backoff(2.0, 300.0, jitter).delay(failures, chance)
    assert 2.0 * (1 - jitter) <= delay <= 300.0
