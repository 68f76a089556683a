"""No message decides anything: with every message reworded, plan and conditions are the same; so in an upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_devops.api.conditions import Condition
from defender_devops.api.connector import ConnectorStatus
from defender_devops.api.organization import OrganizationStatus
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.plan.plan import plan
from defender_devops.reconcile.report.report import Report, report
from tests.unit.reconcile.azure_model import Azure
from tests.unit.reconcile.builder import NOW, snapshot
from tests.unit.reconcile.plan import (
    test_authorization,
    test_deletion,
    test_features,
    test_organizations,
    test_ownership,
    test_resources,
)
from tests.unit.reconcile.report import (
    test_authorization_conditions,
    test_azure_conditions,
    test_defender_plan,
    test_posture,
    test_prerequisites,
    test_ready,
)
from tests.unit.reconcile.report import (
    test_organization_resources as test_organization_statuses,
)
from tests.unit.reconcile.strategies import USER_EDITS, UserEdit, clusters
from tests.unit.reconcile.test_properties import quick

TABLES = (
    test_authorization.CASES,
    test_deletion.CASES,
    [*test_features.ANNOTATIONS, *test_features.SCANNING, *test_features.ASSIGNMENTS],
    test_organizations.CASES,
    test_ownership.CASES,
    test_resources.CASES,
    test_authorization_conditions.CASES,
    test_azure_conditions.CASES,
    test_defender_plan.CASES,
    test_organization_statuses.CASES,
    test_posture.CASES,
    test_prerequisites.CASES,
    test_ready.CASES,
)
WORLDS = sorted({case.world for table in TABLES for case in table})
OLDER_MESSAGE = "The connector is not ready yet: see its conditions."


def with_report(world: ConnectorSnapshot, result: Report) -> ConnectorSnapshot:
    """The snapshot of the next reconcile, with the statuses that a report wrote."""
    statuses = {resource.metadata.uid: status for resource, status in result.organizations}
    return replace(
        world,
        connector=world.connector.model_copy(update={"status": result.status}),
        organizations=tuple(
            resource.model_copy(update={"status": statuses.get(resource.metadata.uid, resource.status)})
            for resource in world.organizations
        ),
    )


def reworded(world: ConnectorSnapshot) -> ConnectorSnapshot:
    """The snapshot with another text in every message of every status."""

    def conditions(status: ConnectorStatus | OrganizationStatus) -> tuple[Condition, ...]:
        return tuple(
            condition.model_copy(update={"message": f"Lorem {number}"})
            for number, condition in enumerate(status.conditions)
        )

    connector = world.connector
    status = connector.status.model_copy(update={"conditions": conditions(connector.status)})
    organizations = []
    for resource in world.organizations:
        prerequisites = tuple(
            prerequisite.model_copy(update={"message": "Ipsum"}) for prerequisite in resource.status.prerequisites
        )
        update = {"conditions": conditions(resource.status), "prerequisites": prerequisites}
        organizations.append(resource.model_copy(update={"status": resource.status.model_copy(update=update)}))
    return replace(
        world,
        connector=connector.model_copy(update={"status": status}),
        organizations=tuple(organizations),
        prerequisites={
            name: tuple(prerequisite.model_copy(update={"message": "Dolor"}) for prerequisite in prerequisites)
            for name, prerequisites in world.prerequisites.items()
        },
    )


def without_messages(value: object) -> object:
    """A status as it is written, without the messages."""
    if isinstance(value, dict):
        return {key: without_messages(item) for key, item in value.items() if key != "message"}
    return [without_messages(item) for item in value] if isinstance(value, list) else value


def decisions(world: ConnectorSnapshot) -> object:
    """Everything that is decided for a snapshot: the steps, the statuses without messages, and the next deadline."""
    assessment = Assessment(world)
    result = report(assessment, None, NOW)
    return (
        [step.describe() for step in plan(assessment, NOW).actions],
        without_messages(result.status.dump()),
        [(resource.metadata.uid, without_messages(status.dump())) for resource, status in result.organizations],
        result.reevaluate_at,
    )


def successors(world: ConnectorSnapshot) -> Iterator[ConnectorSnapshot]:
    """What the next reconcile may read: the same, nothing, or no organization; or the connector is suspended."""
    yield world
    yield replace(world, cloud=AzureState(read_failure=Failure("AzureUnavailable", "down")), failures=9)
    yield replace(world, cloud=replace(world.cloud, available=None, organizations=()))
    spec = world.connector.spec.model_copy(update={"suspend": True})
    yield replace(world, connector=world.connector.model_copy(update={"spec": spec}))


@pytest.mark.parametrize("fragments", WORLDS, ids=str)
def test_rewording_every_message_of_a_status_changes_no_plan_and_no_condition(fragments: tuple[str, ...]) -> None:
    first = snapshot(*fragments)
    assert decisions(reworded(first)) == decisions(first)
    for successor in successors(with_report(first, report(Assessment(first), None, NOW))):
        assert decisions(reworded(successor)) == decisions(successor)


@quick
@given(clusters(), USER_EDITS, USER_EDITS, st.integers(0, 3))
def test_rewording_during_any_history_changes_no_decision(
    azure: Azure, edit: UserEdit, later: UserEdit, rounds: int
) -> None:
    edit.apply(azure)
    for _ in range(rounds):
        azure.reconcile()
    later.apply(azure)
    for successor in successors(azure.world):
        assert decisions(reworded(successor)) == decisions(successor)


def as_older_version_wrote(status: OrganizationStatus) -> OrganizationStatus:
    """The status without the fields that older versions did not have, as it is parsed."""
    body = status.dump()
    body.pop("includedByMode", None)
    if body.pop("readyFollowsConnector", False):
        for condition in body["conditions"]:
            if condition["type"] in {"Ready", "Reconciling", "Stalled"}:
                condition["message"] = OLDER_MESSAGE
    return OrganizationStatus.model_validate(body)


@pytest.mark.parametrize("fragments", WORLDS, ids=str)
def test_a_status_of_an_older_version_leads_to_the_same_plan_and_conditions(fragments: tuple[str, ...]) -> None:
    first = snapshot(*fragments)
    world = with_report(first, report(Assessment(first), None, NOW))
    older = replace(
        world,
        organizations=tuple(
            resource.model_copy(update={"status": as_older_version_wrote(resource.status)})
            for resource in world.organizations
        ),
    )
    for successor, older_successor in zip(successors(world), successors(older), strict=True):
        assert decisions(older_successor) == decisions(successor)


def test_the_worlds_include_copied_states_and_organizations_that_mode_all_left_out() -> None:
    """Otherwise the tests above would show nothing."""
    statuses = [
        status
        for fragments in WORLDS
        for _, status in report(Assessment(snapshot(*fragments)), None, NOW).organizations
    ]
    assert {status.ready_follows_connector for status in statuses} == {None, True}
    assert {status.included_by_mode for status in statuses} == {None, False, True}
