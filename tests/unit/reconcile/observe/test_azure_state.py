"""What is read from Azure, and what a refusal means."""

from __future__ import annotations

import httpx
import pytest

from defender_devops.api.azure_types import RoleAssignment
from defender_devops.azure.resources.role_assignments import RoleAssignments
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import AzureUnavailable, Forbidden
from defender_devops.reconcile.observe.azure_state import AzureStateReader, ReadOptions
from tests.unit.azure.fakes import REF, FakeAzure, answer, arm_error
from tests.unit.reconcile.builder import ROLE

CONNECTOR = answer(
    200, {"id": REF.id, "name": "contoso", "location": "westeurope", "properties": {"environmentName": "AzureDevOps"}}
)
ASSIGNED = answer(
    200, {"value": [{"name": "x", "properties": {"scope": REF.id, "principalId": "p", "roleDefinitionId": ROLE}}]}
)
NO_RIGHT = arm_error(403, "AuthorizationFailed", "No.")
DOWN = arm_error(503, "ServiceUnavailable", "Down.")


def azure(assignments: httpx.Response) -> FakeAzure:
    """Azure with a connector, and this response to requests for its role assignments."""
    return FakeAzure([lambda request: assignments if "roleAssignments" in request.url.path else CONNECTOR])


async def readers(cloud: FakeAzure, options: ReadOptions) -> tuple[RoleAssignment, ...] | None:
    reader = AzureStateReader(SecurityConnectors(cloud.arm), RoleAssignments(cloud.arm))
    return (await reader.read_for_deletion(REF, options)).readers


@pytest.mark.parametrize(
    "options",
    [ReadOptions(readers=True), ReadOptions(may_have_orphaned_role_assignments=lambda _: True)],
    ids=["in the spec", "orphaned"],
)
async def test_assignments_are_read_for_the_spec_and_if_there_may_be_orphaned_ones(options: ReadOptions) -> None:
    assert await readers(azure(ASSIGNED), options) == (RoleAssignment("x", "p", ROLE),)


async def test_assignments_that_neither_spec_nor_status_mentions_are_not_read() -> None:
    cloud = azure(ASSIGNED)
    assert await readers(cloud, ReadOptions()) is None
    assert len(cloud.requests) == 1


async def test_without_the_right_to_read_assignments_there_are_no_orphaned_ones() -> None:
    assert await readers(azure(NO_RIGHT), ReadOptions(may_have_orphaned_role_assignments=lambda _: True)) is None
    with pytest.raises(Forbidden):
        await readers(azure(NO_RIGHT), ReadOptions(readers=True, may_have_orphaned_role_assignments=lambda _: True))


async def test_an_outage_while_reading_assignments_fails_the_read() -> None:
    with pytest.raises(AzureUnavailable):
        await readers(azure(DOWN), ReadOptions(may_have_orphaned_role_assignments=lambda _: True))
