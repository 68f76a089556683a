"""Converts bodies of Microsoft.Security into the values of `api.azure_types`, and back.

Parsing is lenient: an unknown enumeration value stays a string, and a missing field has its default. Azure Resource
Manager and Resource Graph have the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeGuard, TypeVar
from urllib.parse import unquote

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    Configuration,
    Connector,
    InventoryItem,
    OnboardingState,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.azure.arm.error_body import clean_error_text
from defender_devops.errors import WILL_RETRY, AzureUnavailable

__all__ = [
    "parse_azure_connector",
    "parse_azure_organization",
    "parse_configuration",
    "parse_role_assignment",
    "parse_time",
    "require_azure_connector",
    "require_azure_properties",
    "serialize_agentless",
    "serialize_annotations",
]

E = TypeVar("E", bound=StrEnum)


def require_azure_properties(
    body: Mapping[str, Any], *required: str, resource_id: str | None = None, parent_id: str | None = None
) -> Mapping[str, Any]:
    """Return the `properties` of a resource.

    A resource without them, or another one than was requested, is a defective response of a gateway or the service: a
    write must not be based on it.

    Args:
        body: the resource.
        required: names of properties that must be texts and not empty.
        resource_id: id that it must have, in any case; None for any.
        parent_id: id of the resource whose direct child it must be, with the child's type; None for any.

    Raises:
        AzureUnavailable: the resource has no id or name, or not that id, or its properties are not an object with the
            required ones.
    """
    properties = body.get("properties")
    if not isinstance(properties, dict) or any(not _is_text(properties.get(name)) for name in required):
        raise AzureUnavailable(f"A resource in the response of Azure has no valid properties. {WILL_RETRY}")
    if not _has_identity(body, resource_id, parent_id):
        raise AzureUnavailable(f"A resource in the response of Azure is not the one that was requested. {WILL_RETRY}")
    return properties


def _has_identity(body: Mapping[str, Any], resource_id: str | None, parent_id: str | None) -> bool:
    """Whether a resource has an id or a name, and they are not those of another one. Azure changes the case of ids."""
    name, identifier = body.get("name"), body.get("id")
    if not _is_text(identifier):
        segment = None if resource_id is None else resource_id.rpartition("/")[2].lower()
        return _is_text(name) and segment in {None, name.lower()}
    if resource_id is None and parent_id is None:
        return True
    identifier = identifier.rstrip("/").lower()
    parent, _, segment = identifier.rpartition("/")
    if name is not None and not (_is_text(name) and name.lower() in {segment, unquote(segment)}):
        return False
    if resource_id is not None and unquote(identifier) != resource_id.lower():
        return False
    return parent_id is None or unquote(parent) == parent_id.lower()


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.strip() != ""


_ENABLED: Final = "Enabled"
_DISABLED: Final = "Disabled"
_ANNOTATED_CATEGORY: Final = "IaC"
"""The only category of findings that pull request annotations work for."""


def require_azure_connector(body: Mapping[str, Any], resource_id: str | None = None) -> Connector:
    """Return a connector from the response to GET, PUT, PATCH or an entry of a list.

    Args:
        body: the resource.
        resource_id: id that it must have, in any case; None for any.

    Raises:
        AzureUnavailable: it is not a connector, or not that one.
    """
    properties = require_azure_properties(body, resource_id=resource_id)
    # Each of them is in every documented response; without tags Azure sends null, an empty object, or nothing.
    is_connector = _is_text(properties.get("environmentName")) or _is_text(properties.get("hierarchyIdentifier"))
    tags = body.get("tags")
    has_tags = tags is None or (isinstance(tags, dict) and all(isinstance(tag, str | None) for tag in tags.values()))
    if not (is_connector and has_tags and _is_text(body.get("id")) and _is_text(body.get("location"))):
        raise AzureUnavailable(f"A resource in the response of Azure is not a connector. {WILL_RETRY}")
    return parse_azure_connector(body)


def parse_azure_connector(body: Mapping[str, Any]) -> Connector:
    """Parse a connector as GET, PUT and PATCH return it."""
    properties = _mapping(body.get("properties"))
    return Connector(
        id=_text(body.get("id")),
        location=_text(body.get("location")).replace(" ", "").lower(),
        tags=parse_tags(body.get("tags")),
        hierarchy_identifier=_text(properties.get("hierarchyIdentifier")) or None,
        environment_name=_text(properties.get("environmentName")) or "AzureDevOps",
    )


def parse_tags(value: object) -> dict[str, str]:
    """Parse tags; Azure returns null where there are none."""
    return {name: _text(tag) for name, tag in _mapping(value).items()}


def parse_configuration(properties: Mapping[str, Any]) -> Configuration:
    """Parse the properties of `devops/default`."""
    agentless = properties.get("agentlessConfiguration")
    return Configuration(
        provisioning_state=_enum(ProvisioningState, properties.get("provisioningState")),
        auto_discovery=_enum(AutoDiscovery, properties.get("autoDiscovery")),
        status_message=clean_error_text(_text(properties.get("provisioningStatusMessage"))),
        status_updated_at=parse_time(properties.get("provisioningStatusUpdateTimeUtc")),
        agentless=_agentless(agentless) if isinstance(agentless, dict) else None,
    )


def _agentless(body: Mapping[str, Any]) -> AgentlessConfiguration:
    return AgentlessConfiguration(
        enabled=_is(body.get("agentlessEnabled"), _ENABLED),
        auto_discovery=_member(AutoDiscovery, body.get("agentlessAutoDiscovery"), AutoDiscovery.DISABLED),
        scanners=tuple(_texts(body.get("scanners"))),
        inventory_list_type=_text(body.get("inventoryListType")) or "Exclusion",
        inventory=tuple(
            InventoryItem(_text(item.get("inventoryKind")), _text(item.get("value")))
            for item in _mappings(body.get("inventoryList"))
        ),
    )


def serialize_agentless(agentless: AgentlessConfiguration) -> dict[str, Any]:
    """Return `agentlessConfiguration` for a PUT or PATCH; without scanners the service uses its default ones."""
    body = {
        "agentlessEnabled": _ENABLED if agentless.enabled else _DISABLED,
        "agentlessAutoDiscovery": str(agentless.auto_discovery),
        "inventoryListType": agentless.inventory_list_type,
        "inventoryList": [{"inventoryKind": item.kind, "value": item.value} for item in agentless.inventory],
    }
    return body | ({"scanners": list(agentless.scanners)} if agentless.scanners else {})


def parse_azure_organization(name: str, properties: Mapping[str, Any]) -> AzureOrganization:
    """Parse an organization below a configuration.

    Args:
        name: in the service's spelling.
        properties: as GET returns them.
    """
    return AzureOrganization(
        name=name,
        onboarding_state=_enum(OnboardingState, properties.get("onboardingState")),
        provisioning_state=_enum(ProvisioningState, properties.get("provisioningState"), ProvisioningState.SUCCEEDED),
        annotations=_annotations(_mapping(properties.get("actionableRemediation"))),
        status_message=clean_error_text(_text(properties.get("provisioningStatusMessage"))),
    )


def _annotations(body: Mapping[str, Any]) -> Annotations:
    if not _is(body.get("state"), _ENABLED):
        return Annotations(enabled=False)
    severities = (
        _text(category.get("minimumSeverityLevel"))
        for category in _mappings(body.get("categoryConfigurations"))
        if _is(category.get("category"), _ANNOTATED_CATEGORY)
    )
    return Annotations(enabled=True, minimum_severity=next(severities, "") or None)


def serialize_annotations(annotations: Annotations) -> dict[str, Any]:
    """Return `actionableRemediation` for a PATCH."""
    if not annotations.enabled:
        return {"state": _DISABLED}
    category = {"category": _ANNOTATED_CATEGORY, "minimumSeverityLevel": annotations.minimum_severity or "High"}
    return {"state": _ENABLED, "categoryConfigurations": [category]}


def parse_role_assignment(name: str, properties: Mapping[str, Any]) -> RoleAssignment:
    """Parse the properties of a role assignment."""
    return RoleAssignment(
        name=name,
        principal_id=_text(properties.get("principalId")),
        role_definition_id=_text(properties.get("roleDefinitionId")),
    )


def _enum(kind: type[E], value: object, default: E | str = "") -> E | str:
    """The member with that value in any case, the string itself where there is none, `default` for an empty one."""
    text = _text(value)
    return _members(kind).get(text.lower(), text) if text else default


@cache
def _members(kind: type[E]) -> Mapping[str, E]:
    """The members of an enumeration by their values in lower case."""
    return {member.lower(): member for member in kind}


def _member(kind: type[E], value: object, default: E) -> E:
    """The member with that value in any case; `default` where there is none."""
    member = _enum(kind, value, default)
    return member if isinstance(member, kind) else default


def _is(value: object, expected: str) -> bool:
    return _text(value).lower() == expected.lower()


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: object) -> Iterable[str]:
    return (entry for entry in value if isinstance(entry, str)) if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def parse_time(value: object) -> datetime | None:
    """Return a time, in UTC where it names no zone; None where it is not a time."""
    try:
        time = datetime.fromisoformat(_text(value).strip())
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
