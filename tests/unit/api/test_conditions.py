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
    truncate_message,
    update_condition,
)
from defender_devops.api.reasons import ConditionType
from defender_devops.text import printable

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MARKS = {"Current": mark_ready, "InProgress": mark_reconciling, "Failed": mark_stalled}


def condition(
    condition_type: str = "Ready", status: str = "True", reason: str = "Ready", message: str = ""
) -> Condition:
    return Condition.model_validate({"type": condition_type, "status": status, "reason": reason, "message": message})


def set_condition(conditions: Conditions, new: Condition, now: datetime) -> Conditions:
    """Add a condition of `condition`, or replace the one of its type."""
    return update_condition(
        conditions,
        new.type,
        new.status,
        reason=new.reason,
        message=new.message,
        generation=new.observed_generation,
        now=now,
    )


def kstatus(conditions: Conditions) -> str:
    """What sigs.k8s.io/cli-utils computes from conditions, once the generation is observed."""
    if is_true(conditions, "Reconciling"):
        return "InProgress"
    if is_true(conditions, "Stalled"):
        return "Failed"
    ready = find_condition(conditions, "Ready")
    return "Current" if ready is None or ready.is_true else "InProgress"


def test_a_new_condition_has_the_present_time() -> None:
    (only,) = set_condition((), condition(), NOW)
    assert only.last_transition_time == NOW


@pytest.mark.parametrize(
    ("new", "since"),
    [
        (condition(status="True", reason="Other", message="new message"), NOW),
        (condition(status="False"), LATER),
        (condition(status="Unknown"), LATER),
    ],
)
def test_the_time_changes_with_the_status_only(new: Condition, since: datetime) -> None:
    previous = set_condition((), condition(), NOW)
    (updated,) = set_condition(previous, new, LATER)
    assert updated.last_transition_time == since
    assert (updated.status, updated.reason, updated.message) == (new.status, new.reason, new.message)


def test_the_time_of_the_new_condition_is_not_used() -> None:
    new = condition().model_copy(update={"last_transition_time": NOW - timedelta(days=1)})
    assert set_condition((), new, NOW)[0].last_transition_time == NOW


def test_setting_an_equal_condition_changes_nothing() -> None:
    previous = set_condition((), condition(), NOW)
    assert set_condition(previous, condition(), LATER) == previous


def test_conditions_have_a_fixed_order() -> None:
    types = [*ConditionType, "Alien", "Zebra"]
    conditions: Conditions = ()
    for condition_type in reversed(types):
        conditions = set_condition(conditions, condition(condition_type), NOW)
    assert [entry.type for entry in conditions] == types


def test_an_unknown_condition_is_kept() -> None:
    previous = set_condition((), condition("Alien"), NOW)
    assert (
        find_condition(mark_ready(previous, reason="Ready", message="", generation=1, now=LATER), "Alien")
        == previous[0]
    )


def test_only_the_named_types_are_removed() -> None:
    conditions: Conditions = ()
    for condition_type in ("Ready", "Stalled", "Authorized"):
        conditions = set_condition(conditions, condition(condition_type), NOW)
    assert [entry.type for entry in remove_condition(conditions, "Stalled", "Reconciling")] == ["Ready", "Authorized"]


@given(st.lists(st.sampled_from(list(MARKS)), min_size=1, max_size=8))
def test_kstatus_follows_the_last_mark(marks: Sequence[str]) -> None:
    conditions: Conditions = ()
    for minute, mark in enumerate(marks):
        conditions = MARKS[mark](
            conditions, reason="Ready", message="m", generation=minute, now=NOW + timedelta(minutes=minute)
        )
        assert kstatus(conditions) == mark
        assert is_true(conditions, "Ready") is (mark == "Current")
        assert [entry.type for entry in conditions] == {
            "Current": ["Ready"],
            "InProgress": ["Ready", "Reconciling"],
            "Failed": ["Ready", "Stalled"],
        }[mark]
        assert {entry.observed_generation for entry in conditions} == {minute}


@given(st.lists(st.sampled_from(list(MARKS)), min_size=1, max_size=8))
def test_the_time_of_ready_is_that_of_its_last_change(marks: Sequence[str]) -> None:
    conditions: Conditions = ()
    changed_at, previous = NOW, None
    for minute, mark in enumerate(marks):
        now = NOW + timedelta(minutes=minute)
        conditions = MARKS[mark](conditions, reason="R", message="", generation=1, now=now)
        if (mark == "Current") != previous:
            changed_at, previous = now, mark == "Current"
        ready = find_condition(conditions, "Ready")
        assert ready is not None
        assert ready.last_transition_time == changed_at


@pytest.mark.parametrize("mark", MARKS.values(), ids=list(MARKS))
def test_a_long_message_is_truncated_by_every_mark(mark: object) -> None:
    conditions = mark((), reason="R", message="ä" * 5000, generation=1, now=NOW)  # type: ignore[operator]
    assert all(len(entry.message.encode()) <= MESSAGE_MAX_BYTES for entry in conditions)
    assert all(entry.message.endswith("ä…") for entry in conditions)


@given(st.text(), st.integers(3, 40))
def test_a_truncated_message_fits_and_is_the_beginning_of_the_whole(message: str, limit: int) -> None:
    whole, short = printable(message), truncate_message(message, limit)
    assert len(short.encode()) <= limit
    if short != whole:
        assert short.endswith("…")
        assert whole.startswith(short.removesuffix("…"))


def test_a_message_that_fits_is_unchanged() -> None:
    exact = "x" * MESSAGE_MAX_BYTES
    assert truncate_message(exact) == exact
    assert len(truncate_message(exact + "x").encode()) == MESSAGE_MAX_BYTES
