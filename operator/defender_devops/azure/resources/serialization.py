"""Bodies of Microsoft.Security become the values of `api.azure_types`, and back.

Reading is lenient: a word that is not known stays a word, a field that is missing has its default, and only the order
of what has an order counts. The same shapes come from ARM and from Resource Graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar

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
from defender_devops.azure.arm.error_body import clean

__all__ = [
    "agentless_body",
    "annotations_body",
    "parse_configuration",
    "parse_connector",
    "parse_organization",
    "parse_role_assignment",
]

E = TypeVar("E", bound=StrEnum)

_ENABLED: Final = "Enabled"
_DISABLED: Final = "Disabled"
_ANNOTATED_CATEGORY: Final = "IaC"
"""The only category of findings that pull request annotations work for."""


def parse_connector(body: Mapping[str, Any]) -> Connector:
    """A connector as GET, PUT and PATCH give it."""
    properties = _mapping(body.get("properties"))
    return Connector(
        id=_text(body.get("id")),
        location=_text(body.get("location")).replace(" ", "").lower(),
        tags=parse_tags(body.get("tags")),
        hierarchy_identifier=_text(properties.get("hierarchyIdentifier")) or None,
        environment_name=_text(properties.get("environmentName")) or "AzureDevOps",
        offerings=tuple(_text(each.get("offeringType")) for each in _mappings(properties.get("offerings"))),
    )


def parse_tags(value: object) -> dict[str, str]:
    """Tags; null, as Azure gives it where there are none, is no tags."""
    return {name: _text(tag) for name, tag in _mapping(value).items()}


def parse_configuration(properties: Mapping[str, Any]) -> Configuration:
    """The properties of `devops/default`."""
    agentless = properties.get("agentlessConfiguration")
    return Configuration(
        provisioning_state=_enum(ProvisioningState, properties.get("provisioningState")),
        auto_discovery=_enum(AutoDiscovery, properties.get("autoDiscovery")),
        status_message=clean(_text(properties.get("provisioningStatusMessage"))),
        status_updated_at=_time(properties.get("provisioningStatusUpdateTimeUtc")),
        agentless=_agentless(agentless) if isinstance(agentless, dict) else None,
    )


def _agentless(body: Mapping[str, Any]) -> AgentlessConfiguration:
    return AgentlessConfiguration(
        enabled=_is(body.get("agentlessEnabled"), _ENABLED),
        auto_discovery=_known(AutoDiscovery, body.get("agentlessAutoDiscovery"), AutoDiscovery.DISABLED),
        scanners=tuple(_texts(body.get("scanners"))),
        inventory_list_type=_text(body.get("inventoryListType")) or "Exclusion",
        inventory=tuple(
            InventoryItem(_text(each.get("inventoryKind")), _text(each.get("value")))
            for each in _mappings(body.get("inventoryList"))
        ),
    )


def agentless_body(agentless: AgentlessConfiguration) -> dict[str, Any]:
    """`agentlessConfiguration` of a PUT or PATCH; without scanners the choice is left to the service."""
    body = {
        "agentlessEnabled": _ENABLED if agentless.enabled else _DISABLED,
        "agentlessAutoDiscovery": str(agentless.auto_discovery),
        "inventoryListType": agentless.inventory_list_type,
        "inventoryList": [{"inventoryKind": each.kind, "value": each.value} for each in agentless.inventory],
    }
    return body | ({"scanners": list(agentless.scanners)} if agentless.scanners else {})


def parse_organization(name: str, properties: Mapping[str, Any]) -> AzureOrganization:
    """An organization below a configuration.

    Args:
        name: as the service spells it.
        properties: as GET gives them.
    """
    return AzureOrganization(
        name=name,
        onboarding_state=_enum(OnboardingState, properties.get("onboardingState")),
        provisioning_state=_enum(ProvisioningState, properties.get("provisioningState"), ProvisioningState.SUCCEEDED),
        annotations=_annotations(_mapping(properties.get("actionableRemediation"))),
        status_message=clean(_text(properties.get("provisioningStatusMessage"))),
    )


def _annotations(body: Mapping[str, Any]) -> Annotations:
    if not _is(body.get("state"), _ENABLED):
        return Annotations(enabled=False)
    severities = (
        _text(each.get("minimumSeverityLevel"))
        for each in _mappings(body.get("categoryConfigurations"))
        if _is(each.get("category"), _ANNOTATED_CATEGORY)
    )
    return Annotations(enabled=True, minimum_severity=next(severities, "") or None)


def annotations_body(annotations: Annotations) -> dict[str, Any]:
    """`actionableRemediation` of a PATCH."""
    if not annotations.enabled:
        return {"state": _DISABLED}
    category = {"category": _ANNOTATED_CATEGORY, "minimumSeverityLevel": annotations.minimum_severity or "High"}
    return {"state": _ENABLED, "categoryConfigurations": [category]}


def parse_role_assignment(name: str, properties: Mapping[str, Any]) -> RoleAssignment:
    """A role assignment, as ARM gives its properties."""
    return RoleAssignment(
        name=name,
        principal_id=_text(properties.get("principalId")),
        role_definition_id=_text(properties.get("roleDefinitionId")),
    )


def _enum(kind: type[E], value: object, default: E | str = "") -> E | str:
    """The member of that name whatever its case, the word itself if there is none, `default` where there is no word."""
    text = _text(value)
    return _members(kind).get(text.lower(), text) if text else default


@cache
def _members(kind: type[E]) -> Mapping[str, E]:
    """The members of an enumeration by their names in lower case."""
    return {member.lower(): member for member in kind}


def _known(kind: type[E], value: object, default: E) -> E:
    member = _enum(kind, value, default)
    return member if isinstance(member, kind) else default


def _is(value: object, word: str) -> bool:
    return _text(value).lower() == word.lower()


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: object) -> Iterable[str]:
    return (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> Iterable[Mapping[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(value).strip())
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
