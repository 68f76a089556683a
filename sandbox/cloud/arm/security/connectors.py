"""Endpoints of security connectors: synchronous, with an error shape of their own."""

from __future__ import annotations

import re
import uuid
from typing import Any

from sandbox.cloud.arm.authorization.policies import check_policies
from sandbox.cloud.arm.call import Call
from sandbox.cloud.arm.errors import ArmError, ConnectorError, not_found
from sandbox.cloud.arm.paging import page
from sandbox.cloud.defender.model import Connector
from sandbox.cloud.defender.onboarding import delete_connector
from sandbox.cloud.transport.message import Reply, json_reply
from sandbox.cloud.world.azure import REGIONS

__all__ = [
    "create_or_update",
    "delete",
    "find_connector",
    "get",
    "list_by_group",
    "list_by_subscription",
    "render",
    "update",
]

_TYPE = "Microsoft.Security/securityConnectors"
_LIST_PAGE = 100
_DELETION_SECONDS = 8.0
"""Duration of an asynchronous deletion."""
_TWO_OFFERINGS_VERSION = "2023-10-01-preview"
_SECOND_OFFERING = "DefenderForDevOpsAzureDevOps"
"""Offering that only this api-version shows, beside CspmMonitorAzureDevOps."""
_RESERVED_TAG_CHARACTERS = re.compile(r"[<>%&\\?/\x00-\x1f]")
_MAXIMUM_TAGS = 50
_MAXIMUM_TAG_NAME = 512
_MAXIMUM_TAG_VALUE = 256


def find_connector(call: Call) -> Connector | None:
    """Return the connector of the path, also if the path names a child of it."""
    name = call.path.names[0]
    key = (
        f"/subscriptions/{call.path.subscription}/resourcegroups/{call.path.group}"
        f"/providers/microsoft.security/securityconnectors/{name}"
    )
    lag = call.world.settings.read_after_write_lag
    # Only reads lag; a write always acts on the current state.
    if lag and call.request.method == "GET":
        return call.world.history.at(key.lower(), call.now - lag)
    return call.world.connectors.get(key.lower())


def require_connector(call: Call) -> Connector:
    """Return the connector of the path.

    Raises:
        ArmError: 404 ResourceNotFound.
    """
    connector = find_connector(call)
    if connector is None:
        raise not_found(f"{_TYPE}/{call.path.names[0]}", call.path.group)
    return connector


def render(connector: Connector, call: Call) -> dict[str, Any]:
    """Return the connector as GET shows it: id and group in lower case, type in mixed case."""
    stamp = call.world.clock.stamp
    properties = connector.properties
    shows_second = call.api_version == _TWO_OFFERINGS_VERSION or call.world.variants.is_chosen(
        "secondOffering", "allVersions"
    )
    if shows_second and properties["environmentName"] == "AzureDevOps":
        offerings = [
            *(offering for offering in properties["offerings"] if offering.get("offeringType") != _SECOND_OFFERING),
            {"offeringType": _SECOND_OFFERING},
        ]
        properties = {**properties, "offerings": offerings}
    return {
        "properties": properties,
        "id": connector.id,
        "name": connector.name,
        "type": "Microsoft.Security/securityconnectors",
        "location": connector.location,
        "tags": connector.tags,
        "systemData": {
            "createdBy": connector.created_by,
            "createdByType": connector.created_by_type,
            "createdAt": stamp(connector.created_at),
            "lastModifiedBy": connector.modified_by,
            "lastModifiedByType": connector.modified_by_type,
            "lastModifiedAt": stamp(connector.modified_at),
        },
    }


def get(call: Call) -> Reply:
    """GET one."""
    return json_reply(render(require_connector(call), call))


def list_by_group(call: Call) -> Reply:
    """GET the connectors of a resource group."""
    return _list(call, f"/subscriptions/{call.path.subscription}/resourcegroups/{(call.path.group or '').lower()}/")


def list_by_subscription(call: Call) -> Reply:
    """GET the connectors of a subscription."""
    return _list(call, f"/subscriptions/{call.path.subscription}/")


def _list(call: Call, prefix: str) -> Reply:
    connectors = call.world.connectors_with_lag(call.world.settings.read_after_write_lag)
    matches = [connector for key, connector in sorted(connectors.items()) if key.startswith(prefix)]
    part, following = page(call.request, matches, _LIST_PAGE)
    return json_reply({"value": [render(connector, call) for connector in part], **following})


def create_or_update(call: Call) -> Reply:
    """PUT: 201 or 200. An existing hierarchyIdentifier is kept."""
    body = call.body()
    location = _check_location(body.get("location"))
    tags = _check_tags(body.get("tags"))
    check_policies(call, location, tags)
    properties = _check_properties(body.get("properties"))
    connector = find_connector(call)
    if connector is None:
        actor = (*call.actor, call.now)
        connector = Connector(
            call.subscription.id,
            call.path.group or "",
            call.name,
            body["location"],
            properties,
            *actor,
            *actor,
            tags=tags,
        )
        call.world.connectors[connector.key] = connector
        call.request.effect("connector.create", id=connector.key)
        return json_reply(render(connector, call), 201)
    if _check_location(connector.location) != location:
        message = (
            f"The resource '{call.name}' already exists in location '{connector.location}' in resource group "
            f"'{call.path.group}'. A resource with the same name cannot be created in location '{body['location']}'. "
            "Please select a new resource name."
        )
        raise ArmError(409, "InvalidResourceLocation", message)
    # Recorded: a later PUT with another identifier succeeds and keeps the first one.
    properties["hierarchyIdentifier"] = connector.properties["hierarchyIdentifier"]
    connector.properties, connector.tags = properties, tags
    return _modified(call, connector, "connector.update")


def update(call: Call) -> Reply:
    """PATCH: the map of tags is replaced as a whole."""
    connector = require_connector(call)
    body = call.body()
    if "tags" in body:
        tags = _check_tags(body["tags"])
        check_policies(call, _check_location(connector.location), tags)
        connector.tags = tags
    changes = body.get("properties")
    if changes is not None:
        if not isinstance(changes, dict):
            raise ConnectorError(400, "properties must be an object.")
        identifier = {"hierarchyIdentifier": connector.properties["hierarchyIdentifier"]}
        connector.properties = _check_properties({**connector.properties, **changes, **identifier})
    return _modified(call, connector, "connector.update")


def _modified(call: Call, connector: Connector, kind: str) -> Reply:
    connector.modified_by, connector.modified_by_type = call.actor
    connector.modified_at = call.now
    call.request.effect(kind, id=connector.key, tags=dict(connector.tags))
    return json_reply(render(connector, call))


def delete(call: Call) -> Reply:
    """DELETE: 204, or 202 by variant; removes the configuration and its organizations too."""
    connector = find_connector(call)
    if connector is None:
        return Reply(204)
    if connector.configuration is not None and call.world.variants.is_chosen("connectorChildren", "required"):
        message = (
            "Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
            f"'{connector.id}/devops/default'. Please delete all nested resources before deleting this resource."
        )
        raise ArmError(409, "CannotDeleteResource", message)
    call.request.effect("connector.delete", id=connector.key)
    if call.world.variants.is_chosen("connectorDeletion", "atOnce"):
        delete_connector(call.world, connector, call.now)
        return Reply(204)
    call.world.timers.at(call.now + _DELETION_SECONDS, lambda moment: delete_connector(call.world, connector, moment))
    return Reply(202, headers={"Retry-After": call.world.clock.retry_after(_DELETION_SECONDS)})


def _check_location(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    location = value.replace(" ", "").lower()
    if location not in REGIONS:
        message = (
            f"The provided location '{value}' is not available for resource type '{_TYPE}'. List of available regions "
            f"for the resource type is '{','.join(REGIONS)}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", message)
    return location


def _check_tags(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        message = "The request content was invalid and could not be deserialized: 'tags must be a map of strings'."
        raise ArmError(400, "InvalidRequestContent", message)
    if len(value) > _MAXIMUM_TAGS:
        message = f"The number of tags on the resource is '{len(value)}'. The maximum is '{_MAXIMUM_TAGS}'."
        raise ArmError(400, "InvalidTagsNumber", message)
    bad = [name for name in value if _RESERVED_TAG_CHARACTERS.search(name)]
    if bad:
        message = f"The tag names '{','.join(bad)}' have reserved characters '<,>,%,&,\\,?,/' or control characters."
        raise ArmError(400, "InvalidTagNameCharacters", message)
    long = [name for name, text in value.items() if len(name) > _MAXIMUM_TAG_NAME or len(text) > _MAXIMUM_TAG_VALUE]
    if long:
        message = f"Tag '{long[0]}' is too long: names end at 512 characters and values at 256."
        raise ArmError(400, "TagValueTooLong", message)
    return dict(value)


def _check_properties(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConnectorError(400, "properties are missing.")
    identifier = value.get("hierarchyIdentifier")
    environment = value.get("environmentName")
    if not environment or not isinstance(environment, str):
        raise ConnectorError(400, "environmentName is missing.")
    if not identifier or not isinstance(identifier, str):
        raise ConnectorError(400, "hierarchyIdentifier is missing.")
    if not isinstance(value.get("environmentData") or {}, dict):
        raise ConnectorError(400, "environmentData must be an object.")
    if not isinstance(value.get("offerings") or [], list):
        raise ConnectorError(400, "offerings must be a list.")
    if environment == "AzureDevOps":
        _check_devops(value, identifier)
    return {
        "offerings": value.get("offerings") or [],
        "environmentName": environment,
        "hierarchyIdentifier": identifier,
        "environmentData": value.get("environmentData") or {},
    }


def _check_devops(value: dict[str, Any], identifier: str) -> None:
    try:
        uuid.UUID(identifier)
    except ValueError as error:
        raise ConnectorError(400, f"hierarchyIdentifier '{identifier}' is not a GUID.") from error
    kind = (value.get("environmentData") or {}).get("environmentType")
    if kind != "AzureDevOpsScope":
        raise ConnectorError(400, f"environmentType '{kind}' does not fit environment 'AzureDevOps'.")
    offerings = value.get("offerings") or []
    if not any(
        isinstance(offering, dict) and offering.get("offeringType") == "CspmMonitorAzureDevOps"
        for offering in offerings
    ):
        raise ConnectorError(400, "the offering CspmMonitorAzureDevOps is missing.")
