"""What Azure should hold for a connector: its spec and the decisions of its DevOpsOrganizations, in Azure's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
)
from defender_devops.api.connector import OrganizationsMode
from defender_devops.api.names import TAG_OWNER, TAG_RESOURCE
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts.organization_selection import OrganizationSelection, mode_all_was_applied
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["DesiredState", "OnboardingChoice", "desired_state"]


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
    is_first_choice = reauthorizing and not mode_all_was_applied(snapshot)
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
