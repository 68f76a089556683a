"""Role assignments and role definitions at any scope."""

from __future__ import annotations

import re
import uuid
from typing import Any

from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import ROLE_DEFINITIONS, RoleAssignment, RoleDefinition
from sandbox.cloud.world.principals import principal_type

__all__ = ["create", "delete", "get", "get_definition", "list_at_scope", "list_definitions"]

_FILTER = re.compile(r"\s*(atScope\(\)|(?:principalId|assignedTo\('?)\s*(?:eq)?\s*'?([0-9a-fA-F-]{36})'?\)?)\s*")


def _scope(call: Call) -> str:
    return call.path.scope or "/"


def _find(call: Call) -> RoleAssignment | None:
    name, scope = call.name.lower(), _scope(call).lower()
    return next(
        (
            assignment
            for assignment in call.world.role_assignments
            if assignment.name.lower() == name and assignment.scope.lower() == scope
        ),
        None,
    )


def _render(call: Call, assignment: RoleAssignment) -> dict[str, Any]:
    stamp = call.world.clock.stamp(assignment.created_at)
    subscription = "" if call.path.subscription is None else f"/subscriptions/{call.path.subscription}"
    definition = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{assignment.role_definition_id}"
    scope = "" if assignment.scope == "/" else assignment.scope
    return {
        "properties": {
            "roleDefinitionId": definition,
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "condition": None,
            "conditionVersion": None,
            "createdOn": stamp,
            "updatedOn": stamp,
            "createdBy": assignment.created_by,
            "updatedBy": assignment.created_by,
            "delegatedManagedIdentityResourceId": None,
            "description": None,
        },
        "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment.name}",
        "type": "Microsoft.Authorization/roleAssignments",
        "name": assignment.name,
    }


def get(call: Call) -> Reply:
    """GET by name, at exactly the scope of the assignment."""
    assignment = _find(call)
    if assignment is None:
        raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{call.name}' is not found.")
    return json_reply(_render(call, assignment))


def list_at_scope(call: Call) -> Reply:
    """GET the assignments at, above and below the scope; `$filter=atScope()` excludes those below."""
    expression = call.request.query.get("$filter", "")
    at_scope, principals = _parse_filter(expression)
    scope = _scope(call).lower().rstrip("/")
    assignments = []
    for assignment in call.world.role_assignments:
        assigned = assignment.scope.lower().rstrip("/")
        at_or_above = f"{scope}/".startswith(f"{assigned}/")
        below = assigned.startswith(f"{scope}/")
        if (at_or_above or (below and not at_scope)) and (not principals or assignment.principal_id in principals):
            assignments.append(assignment)
    return json_reply({"value": [_render(call, assignment) for assignment in assignments]})


def _parse_filter(expression: str) -> tuple[bool, set[str]]:
    """Parse the supported OData filters: `atScope()` and `principalId eq '…'`, joined by `and`."""
    at_scope, principals = False, set[str]()
    for part in re.split(r"\s+and\s+", expression) if expression else []:
        match = _FILTER.fullmatch(part)
        if match is None:
            message = f"The filter '{expression}' is not supported. Supported filters are 'atScope()' or "
            raise ArmError(400, "UnsupportedQuery", message + "'principalId eq '{value}' or assignedTo('{value}')'.")
        if match.group(2) is None:
            at_scope = True
        else:
            principals.add(match.group(2).lower())
    return at_scope, principals


def create(call: Call) -> Reply:
    """PUT: 201. The same role for the same principal at the same scope is a conflict, whatever its name."""
    properties = call.body().get("properties")
    if not isinstance(properties, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid: 'properties' is missing.")
    name = _check_name(call.name)
    definition = str(properties.get("roleDefinitionId", "")).rpartition("/")[2].lower()
    principal = str(properties.get("principalId", "")).lower()
    if definition not in ROLE_DEFINITIONS:
        message = f"The specified role definition with ID '{definition.replace('-', '')}' does not exist."
        raise ArmError(404, "RoleDefinitionDoesNotExist", message)
    kind = _check_principal(call, principal, properties.get("principalType"))
    existing = _find(call)
    if existing is not None and (existing.principal_id, existing.role_definition_id) != (principal, definition):
        message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
        raise ArmError(409, "RoleAssignmentUpdateNotPermitted", message)
    # The real service refuses the second assignment even under another name.
    twin = existing or _twin(call, principal, definition)
    if twin is not None:
        identifier = twin.name.replace("-", "")
        message = f"The role assignment already exists. The ID of the existing role assignment is {identifier}."
        raise ArmError(409, "RoleAssignmentExists", message)
    created = RoleAssignment(name, _scope(call), definition, principal, kind, call.now, call.principal.object_id)
    call.world.assign_role(created)
    call.request.effect("roleAssignment.create", id=call.path.id.lower(), principalId=principal)
    return json_reply(_render(call, created), 201)


def _twin(call: Call, principal: str, definition: str) -> RoleAssignment | None:
    """Find an assignment of the same role to the same principal at the same scope, whatever its name."""
    scope = _scope(call).lower()
    return next(
        (
            assignment
            for assignment in call.world.role_assignments
            if assignment.scope.lower() == scope
            and (assignment.principal_id, assignment.role_definition_id) == (principal, definition)
        ),
        None,
    )


def _check_name(name: str) -> str:
    try:
        return str(uuid.UUID(name))
    except ValueError as error:
        message = f"The role assignment ID '{name}' is not valid. The role assignment ID must be a GUID."
        raise ArmError(400, "InvalidRoleAssignmentId", message) from error


def _check_principal(call: Call, principal: str, claimed: object) -> str:
    """Return the type of the principal. Without `principalType` in the request the principal must exist."""
    directory = call.world.directory
    applications = {application.object_id for application in directory.applications.values()}
    exists = principal in directory.accounts or principal in directory.groups or principal in applications
    if not exists:
        message = (
            f"Principal {principal.replace('-', '')} does not exist in the directory {call.principal.tenant_id}. Check "
            "that you have the correct principal ID. If you are creating this principal and then immediately assigning "
            "a role, this error might be related to a replication delay. In this case, set the role assignment "
            "principalType property to a value, such as ServicePrincipal, User, or Group. See "
            "https://aka.ms/docs-principaltype"
        )
        # With principalType the service does not look the principal up: it may not be replicated yet.
        if claimed is None:
            raise ArmError(400, "PrincipalNotFound", message)
        return str(claimed)
    actual = principal_type(call.world, principal)
    if claimed is not None and claimed != actual:
        message = f"The PrincipalType '{claimed}' does not match the type of principal '{principal}', '{actual}'."
        raise ArmError(400, "UnmatchedPrincipalType", message)
    return actual


def delete(call: Call) -> Reply:
    """DELETE: 200 with what was deleted, 204 where there is nothing."""
    assignment = _find(call)
    if assignment is None:
        return Reply(204)
    call.world.unassign_role(assignment)
    call.request.effect("roleAssignment.delete", id=call.path.id.lower(), principalId=assignment.principal_id)
    return json_reply(_render(call, assignment))


def get_definition(call: Call) -> Reply:
    """GET a built-in role."""
    role = ROLE_DEFINITIONS.get(call.name.lower())
    if role is None:
        message = f"The specified role definition with ID '{call.name}' does not exist."
        raise ArmError(404, "RoleDefinitionDoesNotExist", message)
    return json_reply(_render_definition(role))


def list_definitions(call: Call) -> Reply:
    """GET the built-in roles; `$filter=roleName eq '…'` selects one."""
    match = re.fullmatch(r"roleName eq '([^']*)'", call.request.query.get("$filter", ""))
    roles = [role for role in ROLE_DEFINITIONS.values() if match is None or role.name == match.group(1)]
    return json_reply({"value": [_render_definition(role) for role in roles]})


def _render_definition(role: RoleDefinition) -> dict[str, Any]:
    permission = {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": [],
        "notDataActions": [],
    }
    return {
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.description,
            "assignableScopes": ["/"],
            "permissions": [permission],
        },
        "id": f"/providers/Microsoft.Authorization/roleDefinitions/{role.id}",
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
    }
