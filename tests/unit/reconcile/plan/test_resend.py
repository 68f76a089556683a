"""What was asked for a moment ago is not asked for again, and what somebody undid is asked for at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from defender_devops.api.azure_types import ProvisioningState
from defender_devops.api.conditions import find_condition
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Timings
from defender_devops.reconcile.plan.diff import drop_fulfilled_requests, next_request_at
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import report
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
}
FAILS = {**WORLDS, "what failed": (FAILED,)}


def after(world: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
    """The snapshot with all that is planned folded in."""
    for step in plan(Assessment(world), now).actions:
        world = step.effect(world, now)
    return world


def ignored(world: ConnectorSnapshot, requested: ConnectorSnapshot, now: datetime = NOW) -> ConnectorSnapshot:
    """Azure has ended its operation and nothing has come of it; the operator remembers what it asked for."""
    assert requested.cloud.is_known
    assert world.cloud.is_known
    return drop_fulfilled_requests(
        replace(requested, cloud=replace(world.cloud, pending_requests=requested.cloud.pending_requests)), now
    )


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize(("minutes", "repeats"), [(0, False), (9, False), (11, True)])
def test_a_request_is_repeated_after_the_resend_interval(
    world: tuple[str, ...], minutes: int, *, repeats: bool
) -> None:
    initial = snapshot(*world)
    later = NOW + timedelta(minutes=minutes)
    assert plan(Assessment(initial), NOW).actions
    assert bool(plan(Assessment(ignored(initial, after(initial, NOW))), later).actions) is repeats


def test_what_failed_in_azure_is_requested_again_after_a_minute_and_then_ever_more_rarely() -> None:
    world, now = snapshot(FAILED), NOW
    for minutes in (1, 2, 4, 8, *[10] * 2000):
        world = ignored(world, after(world, now), now)
        due_at = now + timedelta(minutes=minutes)
        assert next_request_at(Assessment(world), now) == due_at
        assert not plan(Assessment(world), due_at - timedelta(seconds=1)).actions
        assert plan(Assessment(world), due_at).actions
        now = due_at


TAGS = "spec: {azure: {tags: {team: red}}}"
READERS = "spec: {securityReaders: [{objectId: 44444444-4444-4444-4444-444444444444, principalType: Group}]}"
LAGGING = {
    "tags": (TAGS,),
    "a reader": (READERS, "azure: {readers: {}}"),
    "a reader that left": ("azure: {readers: {44444444-4444-4444-4444-444444444444: ours}}",),
}


@pytest.mark.parametrize("world", LAGGING.values(), ids=LAGGING)
@pytest.mark.parametrize(("seconds", "repeats"), [(0, False), (9, False), (11, True)])
def test_a_completed_write_is_not_repeated_while_azure_may_return_the_state_before_it(
    world: tuple[str, ...], seconds: int, *, repeats: bool
) -> None:
    initial = snapshot(*world)
    assert plan(Assessment(initial), NOW).writes_to_azure
    requested = ignored(initial, after(initial, NOW))
    later = plan(Assessment(requested), NOW + timedelta(seconds=seconds))
    assert later.writes_to_azure is repeats
    assert next_request_at(Assessment(requested), NOW) == NOW + timedelta(seconds=10)


@pytest.mark.parametrize("world", LAGGING.values(), ids=LAGGING)
@pytest.mark.parametrize(("seconds", "is_pending"), [(0, True), (9, True), (11, False)])
def test_a_completed_write_stays_pending_although_azure_returned_its_result_once(
    world: tuple[str, ...], seconds: int, *, is_pending: bool
) -> None:
    requested = after(snapshot(*world), NOW)
    remaining = drop_fulfilled_requests(requested, NOW + timedelta(seconds=seconds))
    assert bool(remaining.cloud.pending_requests) is is_pending


def test_other_tags_are_set_at_once() -> None:
    initial = snapshot(TAGS)
    requested = ignored(initial, after(initial, NOW))
    edited = replace(requested, connector=snapshot("spec: {azure: {tags: {team: blue}}}").connector)
    assert plan(Assessment(edited), NOW).writes_to_azure


def test_what_was_not_requested_is_due_at_no_time() -> None:
    assert next_request_at(Assessment(snapshot(TAGS)), NOW) is None


def test_what_is_due_and_has_to_wait_for_something_else_wakes_nobody_up() -> None:
    initial = snapshot(SELECTED, LISTED, OUT)
    requested = ignored(initial, after(initial, NOW))
    assert next_request_at(Assessment(requested), NOW) == NOW + timedelta(minutes=10)
    assert next_request_at(Assessment(requested), NOW + timedelta(minutes=10)) is None


@pytest.mark.parametrize("world", FAILS.values(), ids=FAILS)
def test_a_request_is_repeated_at_most_once_a_minute(world: tuple[str, ...]) -> None:
    initial = snapshot(*world, timings=Timings(resend_interval=timedelta(seconds=1)))
    requested = ignored(initial, after(initial, NOW))
    assert not plan(Assessment(requested), NOW + timedelta(seconds=59)).actions
    assert plan(Assessment(requested), NOW + timedelta(seconds=61)).actions


@pytest.mark.parametrize("world", FAILS.values(), ids=FAILS)
def test_a_request_is_repeated_after_a_restart(world: tuple[str, ...]) -> None:
    initial = snapshot(*world)
    requested = after(initial, NOW)
    assert plan(Assessment(replace(requested, cloud=initial.cloud)), NOW).actions


def test_a_different_request_is_sent_at_once() -> None:
    initial = snapshot(SELECTED, LISTED, OUT)
    requested = ignored(initial, after(initial, NOW))
    names = replace(
        requested, connector=snapshot("spec: {organizations: {mode: Selected, names: [fabrikam]}}").connector
    )
    assert [step.describe() for step in plan(Assessment(names), NOW).actions] == [change(only("fabrikam"))]


def test_scanning_is_sent_while_a_list_is_pending() -> None:
    initial = snapshot(SELECTED, LISTED, OUT)
    requested = ignored(initial, after(initial, NOW))
    with_scanning = replace(requested, connector=snapshot(SELECTED, SCAN).connector)
    assert [step.describe() for step in plan(Assessment(with_scanning), NOW).actions] == [
        change(f"{only('contoso', 'fabrikam')}; agentless scanning on")
    ]


def test_annotations_are_sent_while_a_list_is_pending() -> None:
    initial = snapshot(SELECTED, LISTED, OUT)
    requested = ignored(initial, after(initial, NOW))
    annotated = replace(requested, connector=snapshot(SELECTED, ON).connector)
    assert [step.describe() for step in plan(Assessment(annotated), NOW).actions] == [
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
def test_drift_after_a_fulfilled_request_is_corrected_at_once(drifted: tuple[str, ...], good: tuple[str, ...]) -> None:
    requested = after(snapshot(*drifted), NOW)
    assert requested.cloud.is_known
    fulfilled = snapshot(*good)
    assert fulfilled.cloud.is_known
    observed = drop_fulfilled_requests(
        replace(fulfilled, cloud=replace(fulfilled.cloud, pending_requests=requested.cloud.pending_requests)), NOW
    )
    assert observed.cloud.is_known
    assert not observed.cloud.pending_requests
    undone = snapshot(*drifted)
    assert undone.cloud.is_known
    assert plan(
        Assessment(replace(undone, cloud=replace(undone.cloud, pending_requests=observed.cloud.pending_requests))), NOW
    ).actions


def test_a_request_of_an_organization_in_progress_stays_pending() -> None:
    requested = after(snapshot(ON), NOW)
    assert requested.cloud.is_known
    assert {organization.provisioning_state for organization in requested.cloud.organizations} == {
        ProvisioningState.PENDING
    }
    assert requested.cloud.is_busy
    remaining = drop_fulfilled_requests(requested, NOW)
    assert remaining.cloud.is_known
    assert remaining.cloud.pending_requests == requested.cloud.pending_requests


def test_requests_stay_pending_while_the_configuration_changes() -> None:
    requested = after(snapshot(SELECTED, LISTED, OUT), NOW)
    assert drop_fulfilled_requests(requested, NOW) is requested


def test_a_new_code_is_sent_while_an_equal_choice_is_pending() -> None:
    """A new code goes out even where the same choice was asked for a moment ago."""
    initial = snapshot(LISTED)
    requested = ignored(initial, after(initial, NOW))
    world = replace(requested, connector=snapshot(CODE).connector, code=snapshot("code: new").code)
    assert [step.describe() for step in plan(Assessment(world), NOW).actions] == [
        "record that the one-time code is used",
        "authorize Defender for Cloud with the one-time code (auto-discovery Enabled)",
    ]


EXCLUDING = "spec: {organizations: {exclude: [fabrikam]}}"
MANUAL = "azure: {configuration: {autoDiscovery: Disabled}}"


def test_an_organization_that_azure_keeps_although_the_list_lacks_it_is_named() -> None:
    world = snapshot(EXCLUDING, LISTED, MANUAL)
    kept = ignored(world, after(world, NOW))
    result = report(Assessment(kept), None, NOW)
    provisioned = find_condition(result.status.conditions, "Provisioned")
    assert provisioned is not None
    assert (provisioned.status, provisioned.reason) == ("False", "Provisioning")
    assert "still has fabrikam onboarded" in provisioned.message
    onboarded = {
        resource.spec.organization: find_condition(status.conditions, "Onboarded")
        for resource, status in result.organizations
    }
    assert onboarded["fabrikam"] is not None
    assert "although it is excluded" in onboarded["fabrikam"].message
    assert onboarded["contoso"] is not None
    assert "excluded" not in onboarded["contoso"].message


def test_an_organization_that_is_not_onboarded_yet_does_not_contradict_the_list() -> None:
    world = snapshot(SELECTED, LISTED, MANUAL, OUT)
    provisioned = find_condition(
        report(Assessment(ignored(world, after(world, NOW))), None, NOW).status.conditions, "Provisioned"
    )
    assert provisioned is not None
    assert provisioned.status == "True"
