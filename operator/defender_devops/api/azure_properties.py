"""The properties of a connector in Azure: one description for every place that compares them.

Three places compare the same properties: the view of Resource Graph with what Azure Resource Manager returned (drift
detection), the planner with the spec, and the command `plan` before with after. Each reads these tables, so a new field
of `Connector`, `Configuration` or `AzureOrganization` is added here once, or listed as not compared with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from defender_devops.api.azure_types import AgentlessConfiguration, Annotations, AutoDiscovery

__all__ = [
    "AGENTLESS",
    "ANNOTATIONS",
    "AUTO_DISCOVERY",
    "CONFIGURATION",
    "CONNECTOR",
    "NOT_COMPARED",
    "ONBOARDING",
    "ORGANIZATION",
    "TAGS",
    "AzureProperty",
    "differing_properties",
]


def _equal(present: object, desired: object) -> bool:
    return present == desired


def _text(value: object) -> str | None:
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class AzureProperty:
    """One property.

    Attributes:
        name: Azure's name for it, as messages show it.
        field: attribute of the class in `azure_types`.
        is_managed: a spec can change it.
        satisfies: whether the present value is as good as the desired one.
        same: whether two values from two sources of Azure are the same.
        text: the value for people; None if there is none.
    """

    name: str
    field: str
    is_managed: bool = False
    satisfies: Callable[[Any, Any], bool] = _equal
    same: Callable[[Any, Any], bool] = _equal
    text: Callable[[Any], str | None] = _text


def differing_properties(
    properties: Iterable[AzureProperty], indexed: object, current: object
) -> Iterator[AzureProperty]:
    """Return the properties in which Resource Graph and Azure Resource Manager differ.

    Args:
        properties: those to compare.
        indexed: the object as Resource Graph returns it.
        current: the object as Azure Resource Manager returned it.
    """
    for item in properties:
        if not item.same(getattr(indexed, item.field), getattr(current, item.field)):
            yield item


def _same_tags(indexed: Mapping[str, str], current: Mapping[str, str]) -> bool:
    return dict(indexed) == dict(current)


def _same_text(indexed: str | None, current: str | None) -> bool:
    return (indexed or "").lower() == (current or "").lower()


def _discovers_alike(present: object, desired: object) -> bool:
    """NotApplicable counts as Disabled."""
    return (present == AutoDiscovery.ENABLED) == (desired == AutoDiscovery.ENABLED)


def _scans_alike(present: AgentlessConfiguration | None, desired: AgentlessConfiguration) -> bool:
    """Settings of disabled scanning do not count, nor do the scanners that Defender chose if the spec names none."""
    if present is None or not present.enabled:
        return not desired.enabled
    if desired.scanners and _lower(present.scanners) != _lower(desired.scanners):
        return False
    return _scanning_scope(present) == _scanning_scope(desired)


def _scanning_scope(scanning: AgentlessConfiguration) -> object:
    """Return what is scanned, in any order."""
    includes_new = scanning.auto_discovery == AutoDiscovery.ENABLED
    items = frozenset((item.kind, item.value.lower()) for item in scanning.inventory)
    return scanning.enabled, includes_new, scanning.inventory_list_type, items


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _scanning_text(scanning: AgentlessConfiguration | None) -> str | None:
    if scanning is None:
        return None
    if not scanning.enabled:
        return "off"
    scope = ", ".join(item.value for item in scanning.inventory)
    relation = "all but" if scanning.inventory_list_type == "Exclusion" else "only"
    return f"on, {relation} {scope}" if scope else "on"


def _annotations_text(annotations: Annotations | None) -> str | None:
    if annotations is None:
        return None
    return f"on, severity {annotations.minimum_severity} and above" if annotations.enabled else "off"


def _unknown_or_equal(indexed: object, current: object) -> bool:
    """Resource Graph has no value for scanning that was never configured."""
    return indexed is None or indexed == current


TAGS: Final = AzureProperty("tags", "tags", is_managed=True, same=_same_tags)
AUTO_DISCOVERY: Final = AzureProperty("autoDiscovery", "auto_discovery", is_managed=True, satisfies=_discovers_alike)
AGENTLESS: Final = AzureProperty(
    "agentlessConfiguration",
    "agentless",
    is_managed=True,
    satisfies=_scans_alike,
    same=_unknown_or_equal,
    text=_scanning_text,
)
ONBOARDING: Final = AzureProperty("organizations", "onboarding_state", is_managed=True)
ANNOTATIONS: Final = AzureProperty("actionableRemediation", "annotations", is_managed=True, text=_annotations_text)

CONNECTOR: Final = (
    TAGS,
    AzureProperty("location", "location"),
    AzureProperty("hierarchyIdentifier", "hierarchy_identifier", same=_same_text),
)
CONFIGURATION: Final = (AzureProperty("provisioningState", "provisioning_state"), AUTO_DISCOVERY, AGENTLESS)
ORGANIZATION: Final = (ONBOARDING, ANNOTATIONS)

NOT_COMPARED: Final[Mapping[str, Mapping[str, str]]] = {
    "Connector": {
        "id": "identifies the connector",
        "environment_name": "cannot be changed; ownership checks it",
    },
    "Configuration": {
        "status_message": "describes provisioningState",
        "status_updated_at": "moves with each discovery",
    },
    "AzureOrganization": {
        "name": "identifies the organization",
        "provisioning_state": "changes with each discovery; reported in the condition Ready",
        "status_message": "describes provisioningState",
    },
}
"""Fields that no place compares, by class, each with the reason."""
