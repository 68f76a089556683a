"""Role assignments at the scope of a connector (https://learn.microsoft.com/rest/api/authorization/role-assignments)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from defender_devops.api.azure_types import ConnectorRef, RoleAssignment
from defender_devops.azure.arm.client import ArmClient, ArmRequest, arm_connector_path, arm_path
from defender_devops.azure.resources.serialization import parse_role_assignment, require_azure_properties
from defender_devops.errors import AzureError, AzureNotFound

__all__ = ["SECURITY_READER", "RoleAssignments", "security_reader_role_id"]

_API_VERSION: Final = "2022-04-01"
_EXISTS: Final = "RoleAssignmentExists"

SECURITY_READER: Final = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"
"""The built-in role Security Reader."""


def security_reader_role_id(subscription_id: str) -> str:
    """Return the id of the role definition Security Reader in a subscription."""
    return f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleDefinitions/{SECURITY_READER}"


class RoleAssignments:
    """Role assignments at exactly the scope of a connector.

    All methods raise AzureError where Azure refuses, fails or does not respond, and CredentialsError where there is no
    token.
    """

    def __init__(self, arm: ArmClient) -> None:
        self._arm = arm

    async def list_at(self, ref: ConnectorRef) -> tuple[RoleAssignment, ...]:
        """Return all assignments at the connector itself, without inherited ones."""
        # atScope() excludes assignments below the scope, and includes those that are inherited from above.
        request = self._request(ref, "list role assignments", "GET", query={"$filter": "atScope()"})
        try:
            bodies = await self._arm.values(request)
        except AzureNotFound:
            return ()
        required = ("scope", "principalId", "roleDefinitionId")
        assignments = [(body, require_azure_properties(body, *required)) for body in bodies]
        return tuple(
            parse_role_assignment(_name(body), properties)
            for body, properties in assignments
            if str(properties["scope"]).rstrip("/").lower() == ref.key
        )

    async def create(
        self,
        ref: ConnectorRef,
        name: str,
        principal_id: str,
        principal_type: str,
        role_definition_id: str | None = None,
    ) -> None:
        """Assign a role to a principal. It is not an error where the principal has the role already, by any name.

        Args:
            ref: the connector.
            name: GUID of the assignment, the same each time for the same purpose.
            principal_id: object id of a user, group or service principal.
            principal_type: `User`, `Group` or `ServicePrincipal`; without it Azure searches the directory, which fails
                for new principals.
            role_definition_id: id of the role; Security Reader where None.
        """
        role = role_definition_id or security_reader_role_id(ref.subscription_id)
        properties = {"roleDefinitionId": role, "principalId": principal_id, "principalType": principal_type}
        try:
            await self._arm.send(self._request(ref, "assign role", "PUT", name=name, body={"properties": properties}))
        except AzureError as error:
            if error.code != _EXISTS:
                raise

    async def delete(self, ref: ConnectorRef, name: str) -> None:
        """Delete an assignment. It is not an error where there is none."""
        try:
            await self._arm.send(self._request(ref, "remove role assignment", "DELETE", name=name))
        except AzureNotFound:
            return

    @staticmethod
    def _request(
        ref: ConnectorRef,
        operation: str,
        method: str,
        *,
        name: str | None = None,
        body: dict[str, object] | None = None,
        query: dict[str, str] | None = None,
    ) -> ArmRequest:
        segments = ("providers", "Microsoft.Authorization", "roleAssignments", *([name] if name else []))
        return ArmRequest(
            operation,
            method,
            path=arm_connector_path(ref) + arm_path(*segments),
            api_version=_API_VERSION,
            subscription=ref.subscription_id,
            body=body,
            query=query or {},
        )


def _name(body: Mapping[str, Any]) -> str:
    """The assignment's name, or the last segment of its id where it has none."""
    return str(body.get("name") or str(body.get("id") or "").rpartition("/")[2])
