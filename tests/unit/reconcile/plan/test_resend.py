"""What was asked for a moment ago is not asked for again, and what somebody undid is asked for at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from defender_devops.api.azure_types import ProvisioningState
from defender_devops.reconcile.facts.assessment import assess
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Timings
from defender_devops.reconcile.plan.diff import drop_fulfilled_requests
from defender_devops.reconcile.plan.plan import plan
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.cases import CODE, LISTED, SELECTED, change, only

OUT = "azure: {organizations: {fabrikam: null}, others: {fabrikam: Free}}"
ON = "spec: {pullRequestAnnotations: {mode: Enabled}}"
SCAN = "spec: {agentlessScanning: {mode: Enabled}}"
FAILED = "azure: {configuration: {state: Failed}}"
WORLDS = {
    "a list": (SELECTED, LISTED, OUT),
    "auto-discovery": (LISTED,),
    "annotations": (ON,),
    "scanning": (SCAN,),
    "what failed": (FAILED,),
}


def after(world: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
    """The snapshot with all that is planned folded in."""
    for step in plan(assess(world), now).actions:
        world = step.effect(world, now)
    return world


def ignored(world: ConnectorSnapshot, asked: ConnectorSnapshot) -> ConnectorSnapshot:
    """Azure has ended its operation and nothing has come of it; the operator remembers what it asked for."""
    assert asked.cloud.is_known
    assert world.cloud.is_known
    return drop_fulfilled_requests(
        replace(asked, cloud=replace(world.cloud, pending_requests=asked.cloud.pending_requests))
    )


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize(("minutes", "repeats"), [(0, False), (9, False), (11, True)])
def test_a_wish_is_repeated_once_a_check_interval_has_gone_by(
    world: tuple[str, ...], minutes: int, *, repeats: bool
) -> None:
    before = snapshot(*world)
    later = NOW + timedelta(minutes=minutes)
    assert plan(assess(before), NOW).actions
    assert bool(plan(assess(ignored(before, after(before, NOW))), later).actions) is repeats


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_it_is_not_repeated_more_than_once_a_minute_however_short_the_interval(world: tuple[str, ...]) -> None:
    before = snapshot(*world, timings=Timings(resend_interval=timedelta(seconds=1)))
    asked = ignored(before, after(before, NOW))
    assert not plan(assess(asked), NOW + timedelta(seconds=59)).actions
    assert plan(assess(asked), NOW + timedelta(seconds=61)).actions


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_restart_forgets_and_asks_again(world: tuple[str, ...]) -> None:
    before = snapshot(*world)
    asked = after(before, NOW)
    assert plan(assess(replace(asked, cloud=before.cloud)), NOW).actions


def test_another_wish_is_sent_at_once() -> None:
    before = snapshot(SELECTED, LISTED, OUT)
    asked = ignored(before, after(before, NOW))
    names = replace(asked, connector=snapshot("spec: {organizations: {mode: Selected, names: [fabrikam]}}").connector)
    assert [step.describe() for step in plan(assess(names), NOW).actions] == [change(only("fabrikam"))]


def test_scanning_is_sent_though_a_list_is_waiting() -> None:
    before = snapshot(SELECTED, LISTED, OUT)
    asked = ignored(before, after(before, NOW))
    with_scanning = replace(asked, connector=snapshot(SELECTED, SCAN).connector)
    assert [step.describe() for step in plan(assess(with_scanning), NOW).actions] == [
        change(f"{only('contoso', 'fabrikam')}; agentless scanning on")
    ]


def test_annotations_are_sent_though_a_list_is_waiting() -> None:
    before = snapshot(SELECTED, LISTED, OUT)
    asked = ignored(before, after(before, NOW))
    annotated = replace(asked, connector=snapshot(SELECTED, ON).connector)
    assert [step.describe() for step in plan(assess(annotated), NOW).actions] == [
        "turn pull request annotations on in contoso, from Medium up"
    ]


@pytest.mark.parametrize(
    ("drifted", "good"),
    [
        ((SELECTED, LISTED, OUT), (SELECTED, LISTED)),
        ((LISTED,), ()),
        ((ON,), (ON, "azure: {organizations: {contoso: {annotations: Medium}, fabrikam: {annotations: Medium}}}")),
        ((SCAN,), (SCAN, "azure: {configuration: {agentless: {}}}")),
    ],
    ids=["a list", "auto-discovery", "annotations", "scanning"],
)
def test_what_was_done_and_then_undone_is_asked_for_at_once(drifted: tuple[str, ...], good: tuple[str, ...]) -> None:
    asked = after(snapshot(*drifted), NOW)
    assert asked.cloud.is_known
    done = snapshot(*good)
    assert done.cloud.is_known
    seen = drop_fulfilled_requests(
        replace(done, cloud=replace(done.cloud, pending_requests=asked.cloud.pending_requests))
    )
    assert seen.cloud.is_known
    assert not seen.cloud.pending_requests
    undone = snapshot(*drifted)
    assert undone.cloud.is_known
    assert plan(
        assess(replace(undone, cloud=replace(undone.cloud, pending_requests=seen.cloud.pending_requests))), NOW
    ).actions


def test_an_organization_that_is_still_at_it_counts_as_asked() -> None:
    asked = after(snapshot(ON), NOW)
    assert asked.cloud.is_known
    assert {each.provisioning_state for each in asked.cloud.organizations} == {ProvisioningState.PENDING}
    assert asked.cloud.is_busy
    kept = drop_fulfilled_requests(asked)
    assert kept.cloud.is_known
    assert kept.cloud.pending_requests == asked.cloud.pending_requests


def test_nothing_is_forgotten_while_the_configuration_is_being_changed() -> None:
    asked = after(snapshot(SELECTED, LISTED, OUT), NOW)
    assert drop_fulfilled_requests(asked) is asked


def test_a_code_is_no_wish_that_could_be_held_back() -> None:
    """A new code goes out even where the same choice was asked for a moment ago."""
    before = snapshot(LISTED)
    asked = ignored(before, after(before, NOW))
    world = replace(asked, connector=snapshot(CODE).connector, code=snapshot("code: new").code)
    assert [step.describe() for step in plan(assess(world), NOW).actions] == [
        "record that the one-time code is used",
        "authorize Defender for Cloud with the one-time code (auto-discovery Enabled)",
    ]
