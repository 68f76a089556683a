from __future__ import annotations

import httpx
import pytest

from defender_devops.api.azure_types import RoleAssignment
from defender_devops.azure.resources.role_assignments import SECURITY_READER, RoleAssignments
from defender_devops.errors import AzureUnavailable, InvalidRequest
from tests.unit.azure.fakes import CONNECTOR_PATH, REF, SUBSCRIPTION, answer, arm_error, azure_with, page

NAME, PRINCIPAL = "aaaaaaaa-0000-0000-0000-000000000001", "bbbbbbbb-0000-0000-0000-000000000001"
ROLE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{SECURITY_READER}"
PATH = f"{CONNECTOR_PATH}/providers/Microsoft.Authorization/roleAssignments"


def assignment(scope: str, name: str = NAME) -> dict[str, object]:
    return {"name": name, "properties": {"scope": scope, "principalId": PRINCIPAL, "roleDefinitionId": ROLE}}


async def test_only_assignments_at_the_connector_itself_are_listed() -> None:
    azure = azure_with(
        page(
            [
                assignment(REF.id.replace("resourceGroups", "resourcegroups")),
                assignment(f"/subscriptions/{SUBSCRIPTION}", "inherited"),
                assignment("/", "root"),
                assignment(f"{REF.id}/devops/default", "below"),
            ]
        )
    )
    assert await RoleAssignments(azure.arm).list_at(REF) == (RoleAssignment(NAME, PRINCIPAL, ROLE),)
    assert azure.paths() == [f"GET {PATH}"]
    assert dict(azure.requests[0].url.params) == {"api-version": "2022-04-01", "$filter": "atScope()"}


@pytest.mark.parametrize(
    "response",
    [
        answer(204),
        answer(200),
        answer(200, {}),
        answer(200, {"value": None}),
        answer(200, {"value": {}}),
        page([None]),
        page([{}]),
        page([{"name": "without properties"}]),
        page([{"name": "n", "properties": None}]),
        page([{"name": "n", "properties": {}}]),
    ],
)
async def test_a_defective_list_of_assignments_is_an_outage(response: httpx.Response) -> None:
    with pytest.raises(AzureUnavailable):
        await RoleAssignments(azure_with(response).arm).list_at(REF)


async def test_a_missing_connector_has_no_assignments() -> None:
    assert await RoleAssignments(azure_with(arm_error(404, "ResourceNotFound")).arm).list_at(REF) == ()


async def test_an_assignment_names_role_principal_and_its_type() -> None:
    azure = azure_with(answer(201, assignment(REF.id)))
    await RoleAssignments(azure.arm).create(REF, NAME, PRINCIPAL, "Group")
    assert azure.paths() == [f"PUT {PATH}/{NAME}"]
    assert azure.body() == {
        "properties": {"roleDefinitionId": ROLE, "principalId": PRINCIPAL, "principalType": "Group"}
    }


async def test_an_existing_assignment_of_the_role_is_not_an_error() -> None:
    azure = azure_with(arm_error(409, "RoleAssignmentExists", "The role assignment already exists."))
    await RoleAssignments(azure.arm).create(REF, NAME, PRINCIPAL, "Group")
    assert len(azure.requests) == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (
            arm_error(409, "RoleAssignmentUpdateNotPermitted", "Tenant ID, … are not allowed to be updated."),
            InvalidRequest,
        ),
        (arm_error(400, "PrincipalNotFound", "Principal does not exist in the directory."), InvalidRequest),
        (arm_error(409, "Conflict", "Busy."), AzureUnavailable),
    ],
)
async def test_any_other_refusal_is_an_error(refusal: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await RoleAssignments(azure_with(refusal).arm).create(REF, NAME, PRINCIPAL, "Group")  # type: ignore[arg-type]


@pytest.mark.parametrize("response", [answer(200, {}), answer(204), arm_error(404, "RoleAssignmentNotFound")])
async def test_removing_a_missing_assignment_is_not_an_error(response: object) -> None:
    azure = azure_with(response)  # type: ignore[arg-type]
    await RoleAssignments(azure.arm).delete(REF, NAME)
    assert azure.paths() == [f"DELETE {PATH}/{NAME}"]
