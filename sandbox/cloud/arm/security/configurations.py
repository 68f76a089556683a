"""Endpoints of `devops/default`, the DevOps configuration of a connector."""

from __future__ import annotations

from typing import Any

from sandbox.cloud.arm.api_versions import filter_properties
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, not_found
from sandbox.cloud.arm.security.connectors import require_connector
from sandbox.cloud.arm.security.operations import accepted_headers
from sandbox.cloud.arm.security.validation import bad_request, check_choice, check_strings
from sandbox.cloud.defender.configurations import Change, change_configuration, delete_configuration
from sandbox.cloud.defender.model import Configuration, Connector
from sandbox.cloud.defender.onboarding import available_organizations
from sandbox.cloud.transport.message import Reply, json_reply

__all__ = ["check_no_operation", "create_or_update", "delete", "get", "list_all", "require_configuration", "update"]

_TYPE = "Microsoft.Security/securityConnectors/devops"
_KINDS = ("AzureDevOpsOrganization", "AzureDevOpsProject", "AzureDevOpsRepository", "GitHubOwner", "GitHubRepository")


def require_configuration(call: Call) -> tuple[Connector, Configuration]:
    """The connector of the path and its configuration.

    Raises:
        ArmError: 404 ResourceNotFound.
    """
    connector = require_connector(call)
    _check_default(call)
    if connector.configuration is None:
        raise not_found(f"{_TYPE}/{connector.name}/default", call.path.group)
    return connector, connector.configuration


def _check_default(call: Call) -> None:
    if len(call.path.names) > 1 and call.path.names[1].lower() != "default":
        raise not_found(f"{_TYPE}/{call.path.names[0]}/{call.path.names[1]}", call.path.group)


def _resource_id(call: Call) -> str:
    """Id of the configuration in the spelling of the request."""
    return f"{call.path.ancestor(1)}/devops/default"


def get(call: Call) -> Reply:
    """GET: shows neither the authorization nor topLevelInventoryList."""
    connector, configuration = require_configuration(call)
    return json_reply(_render(call, connector, configuration))


def list_all(call: Call) -> Reply:
    """GET the collection: at most one item."""
    connector = require_connector(call)
    configuration = connector.configuration
    return json_reply({"value": [] if configuration is None else [_render(call, connector, configuration)]})


def _render(call: Call, connector: Connector, configuration: Configuration) -> dict[str, Any]:
    properties = {
        "autoDiscovery": configuration.auto_discovery,
        "capabilities": _capabilities(call),
        "agentlessConfiguration": configuration.agentless,
        "provisioningStatusMessage": configuration.status_message,
        "provisioningState": configuration.provisioning_state,
    }
    return {
        "location": connector.location.replace(" ", "").lower(),
        "tags": {},
        "properties": filter_properties(properties, call.api_version),
        "id": _resource_id(call),
        "name": "default",
        "type": _TYPE,
    }


def _capabilities(call: Call) -> list[dict[str, str]] | None:
    choice = call.world.variants["capabilities"]
    capability = {"name": "DCSPM_ENABLED", "value": str(call.subscription.defender_cspm).lower()}
    more = [{"name": "AGENTLESS_SCANNING_AVAILABLE", "value": "true"}] if choice == "several" else []
    return None if choice == "none" else [*more, capability]


def create_or_update(call: Call) -> Reply:
    """PUT: 201 on create, otherwise 200, both long-running; the code is echoed as an empty string."""
    return _change(call, replace=True)


def update(call: Call) -> Reply:
    """PATCH: 202, long-running. Without a code Defender uses its existing authorization."""
    require_configuration(call)
    return _change(call, replace=False)


def _change(call: Call, *, replace: bool) -> Reply:
    connector = require_connector(call)
    _check_default(call)
    change = _parse(call)
    _check_variants(call, connector, change, replace=replace)
    # For the journal, by hash: tests count how often a code was sent.
    if change.code:
        call.request.code(change.code)
    operation, created = change_configuration(
        call.world,
        connector,
        change,
        spelled_id=_resource_id(call),
        api_version=call.api_version,
        fault=call.operation_fault,
        replace=replace,
    )
    kind = "configuration.create" if created else "configuration.update"
    call.request.effect(kind, id=connector.key, autoDiscovery=change.auto_discovery, inventory=change.inventory)
    status = 201 if created else 200 if replace else 202
    return json_reply(_echo(call, change), status, accepted_headers(call, operation))


def _check_variants(call: Call, connector: Connector, change: Change, *, replace: bool) -> None:
    """Refuse what the chosen variants refuse.

    Raises:
        ArmError: 400 or 409.
    """
    variants, configuration = call.world.variants, connector.configuration
    if configuration is None:
        return
    check_no_operation(call, configuration)
    if replace and not change.code and variants.is_chosen("putWithoutCode", "refused"):
        raise bad_request("properties.authorization.code", "is required")
    if not replace and change.inventory is not None and variants.is_chosen("inventoryPatch", "refusesUnknown"):
        names = {organization.name.lower() for organization in available_organizations(call.world, connector)}
        unknown = [name for name in change.inventory if name.lower() not in names]
        if unknown:
            raise bad_request("properties.topLevelInventoryList", f"has unknown organizations: {', '.join(unknown)}")


def check_no_operation(call: Call, configuration: Configuration) -> None:
    """Refuse a write while an operation runs, in the variant in which the service does.

    Raises:
        ArmError: 409 Conflict.
    """
    runs = configuration.provisioning_state in ("Pending", "PendingDeletion")
    if runs and call.world.variants.is_chosen("concurrentOperations", "conflict"):
        raise ArmError(409, "Conflict", "Another operation on this resource is in progress. Retry later.")


def _echo(call: Call, change: Change) -> dict[str, Any]:
    """Return the response body of a write: the request, Pending, with an empty code if one was sent."""
    properties = {
        "authorization": None if change.code is None else {"code": ""},
        "autoDiscovery": change.auto_discovery,
        "topLevelInventoryList": change.inventory,
        "agentlessConfiguration": change.agentless,
        "provisioningState": "Pending",
    }
    return {
        "tags": {},
        "properties": filter_properties(properties, call.api_version),
        "id": _resource_id(call),
        "name": "default",
        "type": _TYPE,
    }


def delete(call: Call) -> Reply:
    """DELETE: 202 and long-running, or 204 if there is no configuration."""
    connector = require_connector(call)
    _check_default(call)
    if connector.configuration is None:
        return Reply(204)
    check_no_operation(call, connector.configuration)
    operation = delete_configuration(call.world, connector, _resource_id(call), call.api_version, call.operation_fault)
    call.request.effect("configuration.delete", id=connector.key)
    body = {"tags": {}, "properties": {}, "id": _resource_id(call), "name": "default", "type": _TYPE}
    return json_reply(body, 202, accepted_headers(call, operation))


def _parse(call: Call) -> Change:
    properties = call.body().get("properties", {})
    if not isinstance(properties, dict):
        raise bad_request("properties", "must be an object")
    authorization = properties.get("authorization")
    if authorization is not None and not isinstance(authorization, dict):
        raise bad_request("properties.authorization", "must be an object")
    code = (authorization or {}).get("code")
    if code is not None and not isinstance(code, str):
        raise bad_request("properties.authorization.code", "must be a string")
    discovery = properties.get("autoDiscovery")
    check_choice("properties.autoDiscovery", discovery, ("Disabled", "Enabled", "NotApplicable"))
    inventory = check_strings("properties.topLevelInventoryList", properties.get("topLevelInventoryList"))
    return Change(code, discovery, inventory, _parse_agentless(properties.get("agentlessConfiguration")))


def _parse_agentless(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    name = "properties.agentlessConfiguration"
    if not isinstance(value, dict):
        raise bad_request(name, "must be an object")
    choices = ("Disabled", "Enabled", "NotApplicable")
    check_choice(f"{name}.agentlessEnabled", value.get("agentlessEnabled"), choices)
    check_choice(f"{name}.agentlessAutoDiscovery", value.get("agentlessAutoDiscovery"), choices)
    check_choice(f"{name}.inventoryListType", value.get("inventoryListType"), ("Inclusion", "Exclusion"))
    if value.get("agentlessAutoDiscovery") == "Enabled" and value.get("inventoryListType") == "Inclusion":
        raise bad_request(f"{name}.agentlessAutoDiscovery", "is possible with inventoryListType Exclusion only")
    check_strings(f"{name}.scanners", value.get("scanners"))
    items = value.get("inventoryList") or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request(f"{name}.inventoryList", "must be a list of objects")
    for item in items:
        check_choice(f"{name}.inventoryList.inventoryKind", item.get("inventoryKind"), _KINDS)
    return dict(value)
