"""Which organizations a connector selects, for the page after the sign-in: by the same rules as a reconcile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from defender_devops.api.azure_types import AzureOrganization, OnboardingState
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import DevOpsOrganization, InvalidManifest, Prerequisite, parse_organization
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Owner

__all__ = ["SelectedOrganizations"]


@dataclass(frozen=True, slots=True)
class SelectedOrganizations:
    """Implements `signin.ports.ConnectorOrganizations` from the connector's DevOpsOrganizations.

    Attributes:
        resources: of the cluster.
    """

    resources: ResourceCache

    def selected(self, connector: AzureDevOpsConnector, visible: Sequence[str] | None) -> Sequence[str]:
        """Return the names of the selected organizations, sorted."""
        organizations = tuple(self._organizations(connector))
        # Azure is not read for a page, so the organizations that the account sees stand for those that are available;
        # until they are listed, those that have a resource.
        names = visible if visible is not None else [organization.spec.organization for organization in organizations]
        snapshot = ConnectorSnapshot(
            connector=connector,
            owner=Owner(cluster="", uid=connector.metadata.uid),
            cloud=AzureState(available=tuple(AzureOrganization(name, OnboardingState.NOT_ONBOARDED) for name in names)),
            organizations=organizations,
        )
        selected = Assessment(snapshot).selection.desired
        return [name for _, name in sorted(selected.items())]

    def reported_checks(self, connector: AzureDevOpsConnector) -> Mapping[str, tuple[Prerequisite, ...]]:
        """Return the prerequisites in the statuses of the DevOpsOrganizations, by organization in lower case."""
        return {
            organization.spec.organization.lower(): organization.status.prerequisites
            for organization in self._organizations(connector)
        }

    def _organizations(self, connector: AzureDevOpsConnector) -> Iterable[DevOpsOrganization]:
        for body in self.resources.organizations(Key.from_metadata(connector.metadata)):
            with contextlib.suppress(InvalidManifest):  # its own status reports that
                yield parse_organization(body)
