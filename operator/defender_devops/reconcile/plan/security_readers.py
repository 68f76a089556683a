"""Security Reader assignments at the connector's scope: ours are told from other people's by their derived names."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from defender_devops.api.azure_types import RoleAssignment
from defender_devops.reconcile.actions.azure import AssignReader, RemoveReader
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["SECURITY_READER", "owned_reader_removals", "reader_assignment_name", "reader_changes"]

SECURITY_READER = "39bc4728-0917-49c7-9d2c-d95423bc2eb4"
"""The built-in role Security Reader (Azure's list of built-in roles)."""


def reader_assignment_name(uid: str, principal_id: str) -> str:
    """The assignment's GUID, derived from the resource's uid: a repeated create finds its own work."""
    return str(uuid.uuid5(uuid.UUID(uid), f"securityReader/{principal_id.lower()}"))


def reader_changes(
    snapshot: ConnectorSnapshot, present: Iterable[RoleAssignment] | None
) -> Iterator[AssignReader | RemoveReader]:
    """Assign who lacks the role, remove those of ours that nobody wants any more; nothing where it is not known."""
    if present is None:
        return
    connector = snapshot.connector
    present = tuple(each for each in present if _is_security_reader(each))
    wanted = {each.object_id.lower(): each for each in connector.spec.security_readers}
    served = {each.principal_id.lower() for each in present}
    role = (
        f"/subscriptions/{connector.spec.azure.subscription_id}"
        f"/providers/Microsoft.Authorization/roleDefinitions/{SECURITY_READER}"
    )
    for principal, reader in wanted.items():
        if principal not in served:
            name = reader_assignment_name(connector.metadata.uid, principal)
            yield AssignReader(name, reader.object_id, str(reader.principal_type), role)
    yield from (each for each in owned_reader_removals(snapshot, present) if each.principal_id.lower() not in wanted)


def owned_reader_removals(snapshot: ConnectorSnapshot, present: Iterable[RoleAssignment]) -> Iterator[RemoveReader]:
    """The removal of each assignment that this resource made."""
    uid = snapshot.connector.metadata.uid
    for each in present:
        if _is_security_reader(each) and each.name.lower() == reader_assignment_name(uid, each.principal_id):
            yield RemoveReader(each.name, each.principal_id)


def _is_security_reader(assignment: RoleAssignment) -> bool:
    return assignment.role_definition_id.lower().endswith(SECURITY_READER)
