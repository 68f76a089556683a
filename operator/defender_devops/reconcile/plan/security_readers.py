"""Security Reader assignments at the connector's scope. Those of the operator are recognized by their derived names."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from defender_devops.api.azure_types import ConnectorRef, RoleAssignment
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.reconcile.actions.azure import AssignReader, RemoveReader

__all__ = ["SECURITY_READER", "owned_reader_removals", "reader_assignment_name", "reader_changes"]

SECURITY_READER = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"
"""The built-in role Security Reader (Azure's list of built-in roles)."""


def reader_assignment_name(ref: ConnectorRef, principal_id: str) -> str:
    """Return the assignment's GUID: always the same for a connector in Azure and a principal.

    So a repeated create is idempotent, and a resource that takes the connector over, such as one that was restored from
    a backup with another uid, recognizes the assignment.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ref.key}/securityReader/{principal_id.lower()}"))


def _earlier_name(uid: str, principal_id: str) -> str:
    """Return the GUID that earlier versions derived from the resource's uid."""
    return str(uuid.uuid5(uuid.UUID(uid), f"securityReader/{principal_id.lower()}"))


def reader_changes(
    connector: AzureDevOpsConnector, assignments: Iterable[RoleAssignment] | None
) -> Iterator[AssignReader | RemoveReader]:
    """Assign the role to principals that lack it, and remove the operator's assignments that have left the spec.

    Args:
        connector: the resource.
        assignments: all at the connector's scope; None if they were not read, which yields no change.
    """
    if assignments is None:
        return
    present = tuple(assignment for assignment in assignments if _is_security_reader(assignment))
    desired = {reader.object_id.lower(): reader for reader in connector.spec.security_readers}
    principals = {assignment.principal_id.lower() for assignment in present}
    role = (
        f"/subscriptions/{connector.spec.azure.subscription_id}"
        f"/providers/Microsoft.Authorization/roleDefinitions/{SECURITY_READER}"
    )
    for principal, reader in desired.items():
        if principal not in principals:
            name = reader_assignment_name(connector.connector_ref, principal)
            yield AssignReader(name, reader.object_id, str(reader.principal_type), role)
    for removal in owned_reader_removals(connector, present):
        if removal.principal_id.lower() not in desired:
            yield removal


def owned_reader_removals(
    connector: AzureDevOpsConnector, assignments: Iterable[RoleAssignment]
) -> Iterator[RemoveReader]:
    """Return the removal of each assignment that the operator created for this connector."""
    for assignment in assignments:
        principal = assignment.principal_id
        names = (
            reader_assignment_name(connector.connector_ref, principal),
            _earlier_name(connector.metadata.uid, principal),
        )
        if _is_security_reader(assignment) and assignment.name.lower() in names:
            yield RemoveReader(assignment.name, assignment.principal_id)


def _is_security_reader(assignment: RoleAssignment) -> bool:
    return assignment.role_definition_id.lower().endswith(SECURITY_READER)
