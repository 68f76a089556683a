"""A connector as Resource Graph shows it: a hint to compare with the state that Azure Resource Manager returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from defender_devops.api.azure_properties import CONFIGURATION, CONNECTOR, ORGANIZATION, differing_properties
from defender_devops.api.azure_types import (
    AzureOrganization,
    Configuration,
    Connector,
    Counts,
    DiscoveredCounts,
    RoleAssignment,
)
from defender_devops.azure.resources.serialization import (
    parse_azure_connector,
    parse_azure_organization,
    parse_configuration,
    parse_role_assignment,
)

__all__ = ["ConnectorView", "parse_connector_row", "parse_role_assignment_row"]


@dataclass(frozen=True, slots=True)
class ConnectorView:
    """The rows of one connector in one poll of Resource Graph.

    A part without a row is missing here, which does not mean that it does not exist in Azure.

    Attributes:
        connector: its own row.
        configuration: `devops/default` without its time, or None where it has no row.
        organizations: those that have a row of their own, by name.
        inventory: counts of the organizations below which something has a row.
        readers: role assignments at the connector's scope, or None where they were not queried.
    """

    connector: Connector
    configuration: Configuration | None = None
    organizations: tuple[AzureOrganization, ...] = ()
    inventory: DiscoveredCounts = field(default_factory=DiscoveredCounts)
    readers: tuple[RoleAssignment, ...] | None = None

    def has_lost_rows(self, later: ConnectorView) -> bool:
        """Whether something that has a row here has none in a later poll: it may have been deleted."""
        names = {organization.name.lower() for organization in later.organizations}
        return (self.configuration is not None and later.configuration is None) or any(
            organization.name.lower() not in names for organization in self.organizations
        )

    def contradictions(
        self,
        connector: Connector,
        configuration: Configuration | None,
        organizations: Iterable[AzureOrganization],
        readers: Iterable[RoleAssignment] | None = None,
    ) -> tuple[str, ...]:
        """Return the names of the properties that differ from the cached state; empty where both can be true.

        Args:
            connector: cached connector.
            configuration: cached configuration; None means that there is none.
            organizations: cached organizations.
            readers: cached role assignments; None where they were not read.
        """
        names = [item.name for item in differing_properties(CONNECTOR, self.connector, connector)]
        if self.configuration is not None:
            if configuration is None:
                names.append("DevOps configuration")
            else:
                names += [item.name for item in differing_properties(CONFIGURATION, self.configuration, configuration)]
        cached = {organization.name.lower(): organization for organization in organizations}
        for organization in self.organizations:
            other = cached.get(organization.name.lower())
            if other is None or any(differing_properties(ORGANIZATION, organization, other)):
                names.append(f"organization {organization.name}")
        if self.readers is not None and readers is not None and _names(self.readers) != _names(readers):
            names.append("role assignments")
        return tuple(names)


def _names(assignments: Iterable[RoleAssignment]) -> set[str]:
    return {assignment.name.lower() for assignment in assignments}


def parse_connector_row(row: Mapping[str, Any]) -> ConnectorView:
    """Parse one row of the query `CONNECTORS`."""
    value = row.get("children")
    children = [child for child in value if isinstance(child, dict)] if isinstance(value, list) else []
    by_organization = {str(child.get("organization") or ""): child for child in children}
    # The child without an organization is the DevOps configuration itself.
    configuration = _properties(by_organization.pop("", {}))
    organizations = sorted(by_organization.items())
    return ConnectorView(
        connector=parse_azure_connector(
            {
                "id": row.get("id"),
                "location": row.get("location"),
                "tags": row.get("tags"),
                "properties": {"hierarchyIdentifier": row.get("hierarchyIdentifier")},
            }
        ),
        # Its time changes with each discovery, without another change.
        configuration=replace(parse_configuration(configuration), status_updated_at=None) if configuration else None,
        organizations=tuple(
            parse_azure_organization(str(child.get("name") or name), _properties(child))
            for name, child in organizations
            if _properties(child)
        ),
        inventory=DiscoveredCounts({name: counts for name, child in organizations if (counts := _counts(child))}),
    )


def _counts(child: Mapping[str, Any]) -> Counts | None:
    counts = child.get("counts")
    if not isinstance(counts, dict):
        return None
    projects, repositories = (
        value if isinstance(value := counts.get(name), int) and value > 0 else 0
        for name in ("projects", "repositories")
    )
    # Zero of both means that nothing below the organization has a row, so the number is unknown.
    return Counts(projects, repositories) if projects or repositories else None


def _properties(child: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = child.get("properties")
    return properties if isinstance(properties, dict) else {}


def parse_role_assignment_row(row: Mapping[str, Any]) -> tuple[str, RoleAssignment]:
    """Parse one row of the query `ROLE_ASSIGNMENTS`: the connector's key and the assignment."""
    return str(row.get("scope") or "").rstrip("/").lower(), parse_role_assignment(str(row.get("name") or ""), row)
