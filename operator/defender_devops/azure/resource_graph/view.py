"""A connector as Resource Graph shows it: a hint, to be held against what Azure Resource Manager said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from defender_devops.api.azure_types import (
    AzureOrganization,
    Configuration,
    Connector,
    Counts,
    DiscoveredCounts,
    RoleAssignment,
)
from defender_devops.azure.resources.serialization import (
    parse_configuration,
    parse_connector,
    parse_organization,
    parse_role_assignment,
)

__all__ = ["CloudView", "parse_reader", "parse_view"]


@dataclass(frozen=True, slots=True)
class CloudView:
    """What one look at Resource Graph shows of one connector.

    A part that has no row is missing here, and that never means that there is none in Azure.

    Attributes:
        connector: its own row.
        configuration: `devops/default` without its time, or None where it has no row.
        organizations: those that have a row of their own, by name.
        inventory: counts of the organizations below which something has a row.
        readers: role assignments at the connector's scope, or None where they were not asked for.
    """

    connector: Connector
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    inventory: DiscoveredCounts = field(default_factory=DiscoveredCounts)
    readers: tuple[RoleAssignment, ...] | None = None

    def lost(self, later: CloudView) -> bool:
        """Whether something that has a row here has none in a later look: it may be gone."""
        names = {each.name.lower() for each in later.organizations}
        return (self.configuration is not None and later.configuration is None) or any(
            each.name.lower() not in names for each in self.organizations
        )

    def contradictions(
        self,
        connector: Connector,
        configuration: Configuration | None,
        organizations: Iterable[AzureOrganization],
        readers: Iterable[RoleAssignment] | None = None,
    ) -> tuple[str, ...]:
        """Where this view says something else than what is known, in words; empty where both can be true.

        Args:
            connector: as known.
            configuration: as known; None means that there is none.
            organizations: as known.
            readers: as known; None means that nothing is known.
        """
        known = {each.name.lower(): each for each in organizations}
        found = [
            *_connector_contradictions(self.connector, connector),
            *_configuration_contradictions(self.configuration, configuration),
            *(name for each in self.organizations for name in _organization_contradictions(each, known)),
        ]
        if self.readers is not None and readers is not None and _names(self.readers) != _names(readers):
            found.append("role assignments")
        return tuple(found)


def _connector_contradictions(seen: Connector, known: Connector) -> Iterator[str]:
    if dict(seen.tags) != dict(known.tags):
        yield "tags"
    if seen.location != known.location:
        yield "location"
    if (seen.hierarchy_identifier or "").lower() != (known.hierarchy_identifier or "").lower():
        yield "hierarchyIdentifier"


def _configuration_contradictions(seen: Configuration | None, known: Configuration | None) -> Iterator[str]:
    if seen is None:
        return
    if known is None:
        yield "DevOps configuration"
        return
    if seen.provisioning_state != known.provisioning_state:
        yield "provisioningState"
    if seen.auto_discovery != known.auto_discovery:
        yield "autoDiscovery"
    if seen.agentless is not None and seen.agentless != known.agentless:
        yield "agentlessConfiguration"


def _organization_contradictions(seen: AzureOrganization, known: Mapping[str, AzureOrganization]) -> Iterator[str]:
    other = known.get(seen.name.lower())
    if other is None or (seen.onboarding_state, seen.annotations) != (other.onboarding_state, other.annotations):
        yield f"organization {seen.name}"


def _names(assignments: Iterable[RoleAssignment]) -> set[str]:
    return {each.name.lower() for each in assignments}


def parse_view(row: Mapping[str, Any]) -> CloudView:
    """One row of the query `CONNECTORS`."""
    children = row.get("children")
    listed = [each for each in children if isinstance(each, dict)] if isinstance(children, list) else []
    below = {str(each.get("organization") or ""): each for each in listed}
    own = _properties(below.pop("", {}))
    return CloudView(
        connector=parse_connector(
            {
                "id": row.get("id"),
                "location": row.get("location"),
                "tags": row.get("tags"),
                "properties": {
                    "hierarchyIdentifier": row.get("hierarchyIdentifier"),
                    "offerings": row.get("offerings"),
                },
            }
        ),
        # Its time moves with each discovery and says nothing that the rest does not.
        configuration=replace(parse_configuration(own), status_updated_at=None) if own else None,
        organizations=tuple(
            parse_organization(str(each.get("name") or name), _properties(each))
            for name, each in sorted(below.items())
            if _properties(each)
        ),
        inventory=DiscoveredCounts({name: counts for name, each in sorted(below.items()) if (counts := _counts(each))}),
    )


def _counts(child: Mapping[str, Any]) -> Counts | None:
    counts = child.get("counts")
    if not isinstance(counts, dict):
        return None
    projects, repositories = _count(counts.get("projects")), _count(counts.get("repositories"))
    # Nothing at all below an organization is no row, and no row is no number.
    return Counts(projects, repositories) if projects or repositories else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _properties(child: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = child.get("properties")
    return properties if isinstance(properties, dict) else {}


def parse_reader(row: Mapping[str, Any]) -> tuple[str, RoleAssignment]:
    """One row of the query `ROLE_ASSIGNMENTS`: the connector's key and the assignment."""
    return str(row.get("scope") or "").rstrip("/").lower(), parse_role_assignment(str(row.get("name") or ""), row)
