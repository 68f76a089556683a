"""What is known of a connector after a start, from statuses and Resource Graph."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.azure.resource_graph.rows import ConnectorView
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.observe.recall import is_settled, last_check_time, recall_state
from defender_devops.reconcile.report.report import is_confirmed, report
from tests.unit.reconcile.builder import NOW, cloud_of, snapshot

INTERVAL = timedelta(minutes=10)
WELL = (
    "azure: {others: {tailspin: Free}, readers: {}, configuration: {autoDiscovery: Disabled}}",
    "spec: {organizations: {exclude: [tailspin]}}",
)
"""Two organizations are onboarded; a third one is available and excluded."""

TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - with a zone


def reported(*fragments: str) -> ConnectorSnapshot:
    """Return a snapshot whose statuses are those of its own report, as at rest."""
    world = snapshot(*fragments)
    written = report(Assessment(world), None, NOW)
    organizations = tuple(
        organization.model_copy(update={"status": status}) for organization, status in written.organizations
    )
    connector = world.connector.model_copy(update={"status": written.status})
    return replace(world, connector=connector, organizations=organizations)


def view_of(world: ConnectorSnapshot) -> ConnectorView:
    """Return what Resource Graph shows once it has indexed everything."""
    cloud = cloud_of(world)
    assert cloud.connector is not None
    return ConnectorView(cloud.connector, cloud.configuration, cloud.organizations, readers=cloud.readers)


def recall(
    world: ConnectorSnapshot, view: ConnectorView | None = None, *, needs_readers: bool = False
) -> AzureState | None:
    base = replace(world, cloud=AzureState())
    return recall_state(base, view or view_of(world), needs_readers=needs_readers, now=NOW, probe_interval=INTERVAL)


def confirmed(world: ConnectorSnapshot, state: AzureState) -> bool:
    assessment = Assessment(replace(world, cloud=state))
    return is_confirmed(assessment, report(assessment, None, NOW))


def test_at_rest_everything_is_recalled_and_confirmed() -> None:
    world = reported(*WELL)
    state = recall(world)
    assert state is not None
    cloud = cloud_of(world)
    assert (state.connector, state.configuration, state.organizations) == (
        cloud.connector,
        cloud.configuration,
        cloud.organizations,
    )
    assert {(item.name, item.onboarding_state) for item in state.available or ()} == {
        (item.name, item.onboarding_state) for item in cloud.available or ()
    }
    assert state.is_recalled
    assert not state.fresh
    assert confirmed(world, state)


def test_the_report_of_what_was_recalled_changes_no_status() -> None:
    world = reported(*WELL)
    state = recall(world)
    assert state is not None
    again = report(Assessment(replace(world, cloud=state)), None, NOW + timedelta(hours=1))
    assert again.status == world.connector.status
    assert [status for _, status in again.organizations] == [item.status for item in world.organizations]


def test_with_mode_selected_organizations_without_a_resource_are_unknown_rather_than_missing() -> None:
    world = reported(
        "spec: {organizations: {mode: Selected, names: [contoso]}}",
        "azure: {organizations: {contoso: Onboarded, fabrikam: null}, others: {fabrikam: Free}}",
        "azure: {configuration: {autoDiscovery: Disabled}}",
        "resources: {fabrikam: []}",
    )
    state = recall(world)
    assert state is not None
    assert state.available is None
    again = report(Assessment(replace(world, cloud=state)), None, NOW)
    assert again.status == world.connector.status, "the number of available organizations stays"


@pytest.mark.parametrize(
    "fragment",
    [
        "metadata: {generation: 2}",
        "metadata: {deletionTimestamp: '2026-03-01T12:00:00Z'}",
        "spec: {suspend: true}",
        "metadata: {annotations: {defender-devops.io/reconcile-requested-at: now}}",
    ],
    ids=["edited", "deleted", "suspended", "requested"],
)
def test_a_connector_with_something_to_do_is_not_settled(fragment: str) -> None:
    world = reported(*WELL)
    assert is_settled(world.connector)
    changed = replace(
        world,
        connector=snapshot(*WELL, fragment).connector.model_copy(update={"status": world.connector.status}),
    )
    assert not is_settled(changed.connector)
    assert recall(changed, view_of(world)) is None


@pytest.mark.parametrize(
    "fragment",
    [
        "azure: {available: none}",
        "azure: {probe: {reason: Forbidden, message: denied, terminal: true}}",
        "azure: {organizations: {contoso: {state: Free}}}",
        "azure: {owner: another}",
        "azure: null",
    ],
    ids=["unauthorized", "not checked", "an organization is pending", "owned by another", "missing"],
)
def test_a_connector_that_is_not_ready_is_read(fragment: str) -> None:
    assert not is_settled(reported(*WELL, fragment).connector)


def test_a_connector_without_a_status_is_read() -> None:
    assert not is_settled(snapshot(*WELL).connector)


@pytest.mark.parametrize(("code", "is_enough"), [("new", False), ("missing", True), ("refused", True)])
def test_a_code_that_was_not_sent_is_planned_on_a_read(code: str, *, is_enough: bool) -> None:
    world = replace(reported(*WELL), code=snapshot(f"code: {code}").code)
    assert (recall(world) is not None) == is_enough


def test_a_code_that_was_sent_needs_no_read() -> None:
    spent = snapshot("code: spent").code
    world = replace(reported(*WELL, f"status: {{authorization: {{codeHash: {spent.sha256}}}}}"), code=spent)
    assert recall(world) is not None


@pytest.mark.parametrize(
    "fragment",
    [
        "azure: {configuration: null}",
        "azure: {configuration: {state: Pending}}",
        "azure: {configuration: {state: Failed}}",
        "azure: {organizations: {contoso: {provisioning: Pending}}}",
        "azure: {owner: another}",
        "azure: {location: northeurope}",
        "azure: {kind: GitHub}",
    ],
)
def test_a_row_of_a_connector_that_is_not_at_rest_is_not_enough(fragment: str) -> None:
    assert recall(reported(*WELL), view_of(snapshot(*WELL, fragment))) is None


def test_role_assignments_are_recalled_only_where_they_were_queried() -> None:
    world = reported(*WELL)
    assert recall(world, replace(view_of(world), readers=None), needs_readers=True) is None
    state = recall(world, needs_readers=True)
    assert state is not None
    assert state.readers == ()


@pytest.mark.parametrize(
    "fragment",
    [
        "azure: {organizations: {fabrikam: null}}",
        "azure: {organizations: {fabrikam: Free}}",
        "azure: {organizations: {northwind: Onboarded}}",
        "azure: {configuration: {autoDiscovery: Enabled}}",
        "azure: {owner: nobody}",
        "azure: {organizations: {fabrikam: {provisioning: Failed}}}",
    ],
    ids=["one is gone", "one was removed", "one was added", "auto-discovery", "owner tag", "cannot be scanned"],
)
def test_a_row_that_differs_from_the_statuses_is_never_believed(fragment: str) -> None:
    """Resource Graph may lag behind the status as well as the status behind Azure: only a read decides."""
    world = reported(*WELL)
    state = recall(world, view_of(snapshot(*WELL, fragment)))
    assert state is not None
    assert not confirmed(world, state)


def test_an_edited_organization_is_not_confirmed() -> None:
    world = reported(*WELL)
    first, *others = world.organizations
    edited = first.model_copy(update={"metadata": first.metadata.model_copy(update={"generation": 2})})
    state = recall(world)
    assert state is not None
    assert not confirmed(replace(world, organizations=(edited, *others)), state)


def test_an_organization_whose_resource_was_deleted_is_not_confirmed() -> None:
    world = reported(*WELL)
    state = recall(world)
    assert state is not None
    assert not confirmed(replace(world, organizations=world.organizations[1:]), state)


def test_counts_and_results_need_no_read() -> None:
    world = reported(*WELL, "counts: {contoso: [1, 2], fabrikam: [3, 4]}")
    state = recall(world)
    assert state is not None
    counted = replace(world, inventory=snapshot("counts: {contoso: [5, 20], fabrikam: [3, 4]}").inventory)
    assert confirmed(counted, state)


@given(st.uuids(), TIMES, st.integers(5, 86_400))
def test_the_last_check_is_less_than_an_interval_ago(uid: UUID, now: datetime, seconds: int) -> None:
    interval = timedelta(seconds=seconds)
    last = last_check_time(str(uid), now, interval)
    assert now - interval < last + timedelta(milliseconds=1)
    assert last <= now + timedelta(milliseconds=1)


@given(st.uuids(), TIMES, st.integers(5, 3600), st.floats(0, 0.9))
def test_a_process_that_is_restarted_again_and_again_still_checks(
    uid: UUID, now: datetime, seconds: int, share: float
) -> None:
    interval = timedelta(seconds=seconds)
    due = last_check_time(str(uid), now, interval) + interval
    later = now + (due - now) * share
    again = last_check_time(str(uid), later, interval) + interval
    assert abs(again - due) < timedelta(milliseconds=1), "a start does not postpone the check"


def test_the_checks_of_many_connectors_are_spread_over_the_interval() -> None:
    elapsed = [(NOW - last_check_time(f"uid-{number}", NOW, INTERVAL)) / INTERVAL for number in range(1000)]
    for tenth in range(10):
        assert 60 < sum(tenth / 10 <= share < (tenth + 1) / 10 for share in elapsed) < 150
