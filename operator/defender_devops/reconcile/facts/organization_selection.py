"""Which organizations a connector should onboard: its mode and lists, and the decisions of its DevOpsOrganizations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from defender_devops.api.azure_types import AzureOrganization, OnboardingState
from defender_devops.api.connector import OrganizationsMode, OverridesPolicy
from defender_devops.api.organization import DevOpsOrganization, Onboarding
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = [
    "OrganizationSelection",
    "azure_organizations",
    "effective_overrides",
    "is_user_managed",
    "mode_all_was_applied",
    "select_organizations",
    "unreachable_organizations",
]


def is_user_managed(resource: DevOpsOrganization) -> bool:
    """Whether a generated resource was taken over: a user edited its spec, or a GitOps tool tracks it."""
    return resource.is_generated and (resource.has_user_decision or resource.is_gitops_tracked)


def effective_overrides(resources: Iterable[DevOpsOrganization]) -> dict[str, DevOpsOrganization]:
    """Return the one resource that decides for each organization, by the organization's name in lower case.

    A declared resource takes precedence over a generated one. Among declared ones, and generated ones that a user took
    over, the oldest decides.
    """

    def precedence(resource: DevOpsOrganization) -> tuple[object, ...]:
        is_generated, *age = resource.precedence
        return (is_generated and not is_user_managed(resource), *age)

    overrides: dict[str, DevOpsOrganization] = {}
    for resource in sorted(resources, key=precedence):
        overrides.setdefault(resource.spec.organization.lower(), resource)
    return overrides


def azure_organizations(azure: AzureState) -> dict[str, AzureOrganization]:
    """Return every organization that Azure returned, by name in lower case: below the connector, or available to it.

    For what the connector holds, the list below the connector is authoritative; the answer about available
    organizations may be older.
    """
    organizations = {organization.name.lower(): organization for organization in azure.organizations}
    for organization in azure.available or ():
        key = organization.name.lower()
        if key in organizations:
            continue
        was_removed = azure.is_settled and organization.is_onboarded
        organizations[key] = (
            replace(organization, onboarding_state=OnboardingState.NOT_ONBOARDED) if was_removed else organization
        )
    return organizations


def unreachable_organizations(azure: AzureState) -> dict[str, str]:
    """Return onboarded organizations that Defender's authorization does not reach: names by name in lower case.

    The connector keeps listing them after the authorization has lost them, so only listAvailableAzureDevOpsOrgs shows
    that. Empty while its answer is unknown.
    """
    if azure.available is None or azure.probe_failure is not None or not azure.is_settled:
        return {}
    reachable = {organization.name.lower() for organization in azure.available}
    return {key: name for key, name in azure.onboarded.items() if key not in reachable}


@dataclass(frozen=True, slots=True)
class OrganizationSelection:
    """Which organizations the connector should onboard; names in lower case are the keys.

    Attributes:
        requested: named in spec.organizations.names or by a DevOpsOrganization with onboarding Onboarded.
        desired: to onboard if Defender can: the requested ones, and those that the mode covers.
        excluded: not to onboard, whether Azure has returned them or not.
        not_selected: returned by Azure, but covered neither by name nor by the mode.
    """

    requested: Mapping[str, str]
    desired: Mapping[str, str]
    excluded: frozenset[str]
    not_selected: frozenset[str]


def select_organizations(
    snapshot: ConnectorSnapshot,
    overrides: Mapping[str, DevOpsOrganization],
    organizations: Mapping[str, AzureOrganization],
) -> OrganizationSelection:
    """Apply the mode, the names, the exclusions and the decisions of the DevOpsOrganizations.

    Args:
        snapshot: the connector and the status of its resources.
        overrides: the resource that decides for each organization; its decision takes precedence over the connector.
        organizations: every organization that Azure returned.
    """
    spec = snapshot.connector.spec.organizations
    decisions: dict[Onboarding, dict[str, str]] = {onboarding: {} for onboarding in Onboarding}
    for key, resource in overrides.items():
        decisions[resource.onboarding][key] = resource.spec.organization
    if spec.overrides is OverridesPolicy.DENY:
        decisions = {onboarding: {} for onboarding in Onboarding}
    onboarded, excluded_by_resource = decisions[Onboarding.ONBOARDED], decisions[Onboarding.EXCLUDED]
    requested = {
        key: name
        for key, name in ({name.lower(): name for name in spec.names} | onboarded).items()
        if key not in excluded_by_resource
    }
    excluded = (spec.excluded_names | excluded_by_resource.keys()) - onboarded.keys()
    undecided = {
        key: organization for key, organization in organizations.items() if key not in requested and key not in excluded
    }
    not_selected = frozenset(
        key for key, organization in undecided.items() if not _mode_covers(snapshot, key, organization)
    )
    covered = {key: organization.name for key, organization in undecided.items() if key not in not_selected}
    return OrganizationSelection(requested, requested | covered, excluded, not_selected)


def _mode_covers(snapshot: ConnectorSnapshot, key: str, organization: AzureOrganization) -> bool:
    mode = snapshot.connector.spec.organizations.mode
    if mode is OrganizationsMode.SELECTED:
        return False
    if mode is OrganizationsMode.ALL_AND_FUTURE or organization.is_onboarded or not mode_all_was_applied(snapshot):
        return True
    # Mode All covers what existed when it was applied; the status of the organization's resource records that.
    return any(
        resource.status.included_by_mode
        for resource in snapshot.organizations
        if resource.spec.organization.lower() == key
    )


def mode_all_was_applied(snapshot: ConnectorSnapshot) -> bool:
    """Whether mode All was applied before, so that it does not cover organizations that appeared later."""
    status, azure = snapshot.connector.status.azure, snapshot.cloud
    connector_is_missing = azure.is_known and azure.connector is None
    return status is not None and status.organizations_mode == OrganizationsMode.ALL and not connector_is_missing
