"""What Azure should hold for a connector: its spec and the decisions of its DevOpsOrganizations, in Azure's terms."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    OnboardingState,
)
from defender_devops.api.connector import OrganizationsMode, OverridesPolicy
from defender_devops.api.names import OWNER_TAGS, TAG_OWNER, TAG_RESOURCE
from defender_devops.api.organization import DevOpsOrganization, Onboarding
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = [
    "DesiredState",
    "OnboardingChoice",
    "OrganizationSelection",
    "azure_organizations",
    "desired_state",
    "effective_overrides",
    "hierarchy_identifier",
    "is_user_managed",
    "select_organizations",
    "unreachable_organizations",
    "without_owner_tags",
]


def hierarchy_identifier(uid: str) -> str:
    """Return the connector's GUID. It is derived from the resource's uid, so a repeated create is idempotent."""
    return str(uuid.uuid5(uuid.UUID(uid), "hierarchyIdentifier"))


def without_owner_tags(existing: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a connector that the operator releases."""
    return {key: value for key, value in existing.items() if key.lower() not in OWNER_TAGS}


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
        was_removed = azure.is_settled and organization.is_onboarded
        organizations.setdefault(
            organization.name.lower(),
            replace(organization, onboarding_state=OnboardingState.NOT_ONBOARDED) if was_removed else organization,
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
    if mode is OrganizationsMode.ALL_AND_FUTURE or organization.is_onboarded or not _mode_all_was_applied(snapshot):
        return True
    # Mode All covers what existed when it was applied; the status of the organization's resource records that.
    return any(
        resource.status.included_by_mode
        for resource in snapshot.organizations
        if resource.spec.organization.lower() == key
    )


def _mode_all_was_applied(snapshot: ConnectorSnapshot) -> bool:
    """Whether mode All was applied before, so that it does not cover organizations that appeared later."""
    status, azure = snapshot.connector.status.azure, snapshot.cloud
    connector_is_missing = azure.is_known and azure.connector is None
    return status is not None and status.organizations_mode == OrganizationsMode.ALL and not connector_is_missing


@dataclass(frozen=True, slots=True)
class OnboardingChoice:
    """How the DevOps configuration says which organizations to onboard.

    Attributes:
        auto_discovery: whether Defender onboards organizations that appear later.
        organizations: the whole list to onboard, or None for all.
    """

    auto_discovery: AutoDiscovery
    organizations: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DesiredState:
    """What Azure should hold for a connector.

    Attributes:
        tags: all tags of the connector.
        onboarding: the choice of organizations.
        agentless: settings of agentless code scanning; None if they are not managed.
        annotations: pull request annotations of each onboarded organization for which they are managed, by the
            organization's name in lower case.
    """

    tags: Mapping[str, str]
    onboarding: OnboardingChoice
    agentless: AgentlessConfiguration | None
    annotations: Mapping[str, Annotations]


def desired_state(
    snapshot: ConnectorSnapshot,
    selection: OrganizationSelection,
    organizations: Mapping[str, AzureOrganization],
    overrides: Mapping[str, DevOpsOrganization],
    *,
    reauthorizing: bool,
) -> DesiredState:
    """Return what Azure should hold.

    Args:
        snapshot: the connector and what Azure holds.
        selection: the organizations to onboard.
        organizations: every organization that Azure returned.
        overrides: the resource that decides for each organization.
        reauthorizing: a new authorization is requested together with this state.
    """
    spec, connector = snapshot.connector.spec, snapshot.cloud.connector
    inherited = spec.pull_request_annotations
    annotations: dict[str, Annotations] = {}
    for key in snapshot.cloud.onboarded:
        resource = overrides.get(key)
        override = resource.spec.pull_request_annotations if resource is not None else None
        if override is not None:
            annotations[key] = override.desired(inherited)
        elif inherited is not None:
            annotations[key] = inherited.desired()
    return DesiredState(
        tags=_tags(snapshot, connector.tags if connector is not None else {}),
        onboarding=_onboarding(snapshot, selection, organizations, reauthorizing=reauthorizing),
        agentless=spec.agentless_scanning.desired() if spec.agentless_scanning is not None else None,
        annotations=annotations,
    )


def _tags(snapshot: ConnectorSnapshot, existing: Mapping[str, str]) -> dict[str, str]:
    """Return all tags that the connector should have.

    Tags that others set stay. Tags that the operator set and that have left the spec go. Azure compares tag names
    without regard to case, so a name keeps the spelling that it has in Azure. With managementPolicy Observe no owner
    tags are desired.
    """
    metadata, spec = snapshot.connector.metadata, snapshot.connector.spec
    owner = {TAG_OWNER: str(snapshot.owner), TAG_RESOURCE: f"{metadata.namespace}/{metadata.name}"}
    desired = spec.azure.tags | ({} if snapshot.is_observe_only else owner)
    azure = snapshot.connector.status.azure
    managed = {key.lower() for key in (*desired, *(azure.managed_tag_keys if azure else ()))}
    spelling = {key.lower(): key for key in existing}
    unmanaged = {key: value for key, value in existing.items() if key.lower() not in managed}
    return unmanaged | {spelling.get(key.lower(), key): value for key, value in desired.items()}


def _onboarding(
    snapshot: ConnectorSnapshot,
    selection: OrganizationSelection,
    organizations: Mapping[str, AzureOrganization],
    *,
    reauthorizing: bool,
) -> OnboardingChoice:
    """Return the choice that carries out the spec, as far as the organizations are known.

    Defender has no exclusions, so with exclusions the operator keeps the list. While no organization is known the list
    is empty, so that an excluded organization is never onboarded.

    Args:
        snapshot: the connector and what Azure holds.
        selection: the organizations to onboard.
        organizations: every organization that Azure returned.
        reauthorizing: a new authorization is requested together with this choice, so the organizations that it reaches
            are not known yet.
    """
    mode, azure = snapshot.connector.spec.organizations.mode, snapshot.cloud
    if mode is OrganizationsMode.ALL_AND_FUTURE and not selection.excluded:
        return OnboardingChoice(AutoDiscovery.ENABLED, None)
    is_first_choice = reauthorizing and not _mode_all_was_applied(snapshot)
    if mode is OrganizationsMode.ALL and not selection.excluded and is_first_choice:
        return OnboardingChoice(AutoDiscovery.DISABLED, None)
    # Before Azure has listed the organizations, a requested one is assumed to be reachable.
    includes_unlisted = reauthorizing or azure.available is None
    reachable = tuple(
        name
        for key, name in sorted(selection.desired.items())
        if (includes_unlisted if key not in organizations else not organizations[key].is_held_by_other_connector)
    )
    return OnboardingChoice(AutoDiscovery.DISABLED, reachable)
