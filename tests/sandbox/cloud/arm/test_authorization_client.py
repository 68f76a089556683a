"""azure-mgmt-authorization assigns Security Reader at a connector's scope and removes it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.authorization import AuthorizationManagementClient

from tests.sandbox.cloud.direct import CONNECTOR, SUBSCRIPTION
from tests.sandbox.cloud.remote import Remote

SECURITY_READER = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"
TEAM = "88888888-8888-8888-8888-888888888888"


@pytest.fixture
def client(remote: Remote) -> Iterator[AuthorizationManagementClient]:
    remote.control.add_connector(name="contoso", subscription=SUBSCRIPTION, resourceGroup="rg-devops-security")
    with (
        remote.credential() as credential,
        AuthorizationManagementClient(credential, SUBSCRIPTION, **remote.client_options()) as client_,
    ):
        yield client_


def body(principal: str = TEAM, kind: str = "Group") -> dict[str, Any]:
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{SECURITY_READER}"
    return {"properties": {"roleDefinitionId": definition, "principalId": principal, "principalType": kind}}


def test_an_assignment_is_created_found_and_deleted(client: AuthorizationManagementClient) -> None:
    name = str(uuid.uuid4())
    created = client.role_assignments.create(CONNECTOR, name, body())
    assert created.id == f"{CONNECTOR}/providers/Microsoft.Authorization/roleAssignments/{name}"
    at_scope = list(client.role_assignments.list_for_scope(CONNECTOR, filter="atScope()"))
    assert name in {assignment.name for assignment in at_scope}
    mine = list(client.role_assignments.list_for_scope(CONNECTOR, filter=f"principalId eq '{TEAM}'"))
    assert [assignment.name for assignment in mine] == [name]
    assert client.role_assignments.get(CONNECTOR, name).principal_type == "Group"
    assert client.role_assignments.delete(CONNECTOR, name).name == name
    assert client.role_assignments.delete(CONNECTOR, name) is None


def test_the_same_role_for_the_same_principal_is_a_conflict_under_another_name(
    client: AuthorizationManagementClient,
) -> None:
    client.role_assignments.create(CONNECTOR, str(uuid.uuid4()), body())
    with pytest.raises(ResourceExistsError) as caught:
        client.role_assignments.create(CONNECTOR, str(uuid.uuid4()), body())
    assert caught.value.error is not None
    assert caught.value.error.code == "RoleAssignmentExists"


def test_a_principal_of_another_type_is_refused(client: AuthorizationManagementClient) -> None:
    with pytest.raises(HttpResponseError, match="UnmatchedPrincipalType"):
        client.role_assignments.create(CONNECTOR, str(uuid.uuid4()), body(kind="User"))


def test_roles_are_listed_by_name(client: AuthorizationManagementClient) -> None:
    (role,) = client.role_definitions.list(CONNECTOR, filter="roleName eq 'Security Reader'")
    assert role.name == SECURITY_READER
    assert "Microsoft.Security/*/read" in role.permissions[0].actions
