from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.conditions import (
    MESSAGE_MAX_BYTES,
    Condition,
    Conditions,
    find_condition,
    is_true,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    remove_condition,
    set_condition,
    truncate,
)
from defender_devops.api.reasons import ConditionType

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MARKS = {"Current": mark_ready, "InProgress": mark_reconciling, "Failed": mark_stalled}


def condition(
    condition_type: str = "Ready", status: str = "True", reason: str = "Ready", message: str = ""
) -> Condition:
    return Condition.model_validate({"type": condition_type, "status": status, "reason": reason, "message": message})


def kstatus(conditions: Conditions) -> str:
    """What sigs.k8s.io/cli-utils computes from conditions, once the generation is observed."""
    if is_true(conditions, "Reconciling"):
        return "InProgress"
    if is_true(conditions, "Stalled"):
        return "Failed"
    ready = find_condition(conditions, "Ready")
    return "Current" if ready is None or ready.is_true else "InProgress"


def test_a_new_condition_changed_now() -> None:
    (only,) = set_condition((), condition(), NOW)
    assert only.last_transition_time == NOW


@pytest.mark.parametrize(
    ("new", "since"),
    [
        (condition(status="True", reason="Other", message="new words"), NOW),
        (condition(status="False"), LATER),
        (condition(status="Unknown"), LATER),
    ],
)
def test_the_time_moves_with_the_status_only(new: Condition, since: datetime) -> None:
    before = set_condition((), condition(), NOW)
    (after,) = set_condition(before, new, LATER)
    assert after.last_transition_time == since
    assert (after.status, after.reason, after.message) == (new.status, new.reason, new.message)


def test_a_time_that_comes_with_the_new_condition_is_not_used() -> None:
    new = condition().model_copy(update={"last_transition_time": NOW - timedelta(days=1)})
    assert set_condition((), new, NOW)[0].last_transition_time == NOW


def test_setting_the_same_again_changes_nothing() -> None:
    before = set_condition((), condition(), NOW)
    assert set_condition(before, condition(), LATER) == before


def test_conditions_stand_in_one_order_whatever_the_order_of_setting() -> None:
    types = [*ConditionType, "Alien", "Zebra"]
    conditions: Conditions = ()
    for condition_type in reversed(types):
        conditions = set_condition(conditions, condition(condition_type), NOW)
    assert [each.type for each in conditions] == types


def test_a_condition_of_somebody_else_is_kept() -> None:
    before = set_condition((), condition("Alien"), NOW)
    assert find_condition(mark_ready(before, reason="Ready", message="", generation=1, now=LATER), "Alien") == before[0]


def test_removing_takes_the_types_named_and_no_other() -> None:
    conditions: Conditions = ()
    for condition_type in ("Ready", "Stalled", "Authorized"):
        conditions = set_condition(conditions, condition(condition_type), NOW)
    assert [each.type for each in remove_condition(conditions, "Stalled", "Reconciling")] == ["Ready", "Authorized"]


@given(st.lists(st.sampled_from(list(MARKS)), min_size=1, max_size=8))
def test_kstatus_reads_the_last_mark_whatever_came_before(marks: Sequence[str]) -> None:
    conditions: Conditions = ()
    for minute, mark in enumerate(marks):
        conditions = MARKS[mark](
            conditions, reason="Ready", message="m", generation=minute, now=NOW + timedelta(minutes=minute)
        )
        assert kstatus(conditions) == mark
        assert is_true(conditions, "Ready") is (mark == "Current")
        assert [each.type for each in conditions] == {
            "Current": ["Ready"],
            "InProgress": ["Ready", "Reconciling"],
            "Failed": ["Ready", "Stalled"],
        }[mark]
        assert {each.observed_generation for each in conditions} == {minute}


@given(st.lists(st.sampled_from(list(MARKS)), min_size=1, max_size=8))
def test_the_time_of_ready_is_that_of_its_last_flip(marks: Sequence[str]) -> None:
    conditions: Conditions = ()
    flipped, before = NOW, None
    for minute, mark in enumerate(marks):
        now = NOW + timedelta(minutes=minute)
        conditions = MARKS[mark](conditions, reason="R", message="", generation=1, now=now)
        if (mark == "Current") != before:
            flipped, before = now, mark == "Current"
        ready = find_condition(conditions, "Ready")
        assert ready is not None
        assert ready.last_transition_time == flipped


@pytest.mark.parametrize("mark", MARKS.values(), ids=list(MARKS))
def test_a_message_that_is_too_long_is_cut_wherever_it_is_set(mark: object) -> None:
    conditions = mark((), reason="R", message="ä" * 5000, generation=1, now=NOW)  # type: ignore[operator]
    assert all(len(each.message.encode()) <= MESSAGE_MAX_BYTES for each in conditions)
    assert all(each.message.endswith("ä…") for each in conditions)


@given(st.text(), st.integers(3, 40))
def test_a_cut_message_fits_and_is_the_beginning_of_the_whole(message: str, limit: int) -> None:
    short = truncate(message, limit)
    assert len(short.encode()) <= limit
    if short != message:
        assert short.endswith("…")
        assert message.startswith(short.removesuffix("…"))


def test_a_message_that_fits_is_left_alone() -> None:
    exact = "x" * MESSAGE_MAX_BYTES
    assert truncate(exact) == exact
    assert len(truncate(exact + "x").encode()) == MESSAGE_MAX_BYTES
