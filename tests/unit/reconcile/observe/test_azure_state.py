"""What is read of Azure, and what a refusal means."""

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

CONNECTOR = answer(200, {"id": REF.id, "name": "contoso", "location": "westeurope"})
ASSIGNED = answer(
    200, {"value": [{"name": "x", "properties": {"scope": REF.id, "principalId": "p", "roleDefinitionId": ROLE}}]}
)
NO_RIGHT = arm_error(403, "AuthorizationFailed", "No.")
DOWN = arm_error(503, "ServiceUnavailable", "Down.")


def azure(assignments: httpx.Response) -> FakeAzure:
    """Azure with a connector, and this answer to the question for its role assignments."""
    return FakeAzure([lambda request: assignments if "roleAssignments" in request.url.path else CONNECTOR])


async def readers(cloud: FakeAzure, question: ReadOptions) -> tuple[RoleAssignment, ...] | None:
    observer = AzureStateReader(SecurityConnectors(cloud.arm), RoleAssignments(cloud.arm))
    return (await observer.read_for_deletion(REF, question)).readers


@pytest.mark.parametrize(
    "question", [ReadOptions(readers=True), ReadOptions(strays=lambda _: True)], ids=["asked for", "strays"]
)
async def test_assignments_are_read_for_the_spec_and_for_what_no_status_remembers(question: ReadOptions) -> None:
    assert await readers(azure(ASSIGNED), question) == (RoleAssignment("x", "p", ROLE),)


async def test_assignments_that_nobody_speaks_of_are_not_read() -> None:
    cloud = azure(ASSIGNED)
    assert await readers(cloud, ReadOptions()) is None
    assert len(cloud.requests) == 1


async def test_who_may_not_read_assignments_has_made_none_that_nobody_remembers() -> None:
    assert await readers(azure(NO_RIGHT), ReadOptions(strays=lambda _: True)) is None
    with pytest.raises(Forbidden):
        await readers(azure(NO_RIGHT), ReadOptions(readers=True, strays=lambda _: True))


async def test_what_cannot_be_told_now_is_asked_again() -> None:
    with pytest.raises(AzureUnavailable):
        await readers(azure(DOWN), ReadOptions(strays=lambda _: True))
