"""What Azure should hold for a connector: spec and the decisions of its DevOpsOrganizations, in Azure's terms."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    AzureOrganization,
    OnboardingState,
)
from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import ManagementPolicy, OrganizationsMode
from defender_devops.api.names import OWNER_TAGS, TAG_OWNER, TAG_RESOURCE
from defender_devops.api.organization import DevOpsOrganization, Onboarding
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, worked_out_once

__all__ = [
    "OnboardingChoice",
    "OrganizationSelection",
    "azure_organizations",
    "desired_agentless",
    "desired_annotations",
    "desired_onboarding",
    "desired_tags",
    "effective_overrides",
    "excluded_names",
    "has_unavailable_organizations",
    "hierarchy_identifier",
    "is_held_by_other_connector",
    "is_observe_only",
    "is_onboarded",
    "is_user_managed",
    "operator_onboards_new_organizations",
    "organization_selection",
    "requested_names",
    "without_owner_tags",
]


def is_observe_only(snapshot: ConnectorSnapshot) -> bool:
    """Whether Azure is only read."""
    return snapshot.connector.spec.management_policy is ManagementPolicy.OBSERVE


def hierarchy_identifier(uid: str) -> str:
    """The connector's GUID, derived from the resource's uid so that a repeated create finds its own work."""
    return str(uuid.uuid5(uuid.UUID(uid), "hierarchyIdentifier"))


def desired_tags(snapshot: ConnectorSnapshot, existing: Mapping[str, str]) -> dict[str, str]:
    """All tags the connector should carry: other people's stay, those we set and no longer want go.

    Azure compares tag names without regard to case, so a name keeps the spelling that it has there. Who only observes
    owns nothing.
    """
    metadata, spec = snapshot.connector.metadata, snapshot.connector.spec
    owner = {TAG_OWNER: str(snapshot.owner), TAG_RESOURCE: f"{metadata.namespace}/{metadata.name}"}
    wanted = spec.azure.tags | ({} if is_observe_only(snapshot) else owner)
    azure = snapshot.connector.status.azure
    ours = {key.lower() for key in (*wanted, *(azure.managed_tag_keys if azure else ()))}
    spelled = {key.lower(): key for key in existing}
    kept = {key: value for key, value in existing.items() if key.lower() not in ours}
    return kept | {spelled.get(key.lower(), key): value for key, value in wanted.items()}


def without_owner_tags(existing: Mapping[str, str]) -> dict[str, str]:
    """The tags of a connector that is left to itself."""
    return {key: value for key, value in existing.items() if key.lower() not in OWNER_TAGS}


def is_user_managed(resource: DevOpsOrganization) -> bool:
    """Whether a generated resource has become somebody's: its spec holds a decision, or a GitOps tool tracks it."""
    return resource.is_generated and (resource.has_user_decision or resource.is_gitops_tracked)


def effective_overrides(resources: Iterable[DevOpsOrganization]) -> dict[str, DevOpsOrganization]:
    """The resource that speaks for each organization, by name in lower case.

    A declared one beats a generated one; among declared ones, and those that somebody took over, the oldest wins.
    """
    winners: dict[str, DevOpsOrganization] = {}
    for resource in sorted(resources, key=_seniority):
        winners.setdefault(resource.spec.organization.lower(), resource)
    return winners


def _seniority(resource: DevOpsOrganization) -> tuple[object, ...]:
    is_generated, *age = resource.precedence
    return (is_generated and not is_user_managed(resource), *age)


@worked_out_once
def _decided(snapshot: ConnectorSnapshot) -> dict[Onboarding, dict[str, str]]:
    """What resources decided, each with its organizations: by name in lower case, as they are spelled."""
    decided: defaultdict[Onboarding, dict[str, str]] = defaultdict(dict)
    for key, each in effective_overrides(snapshot.organizations).items():
        decided[each.onboarding][key] = each.spec.organization
    return decided


@worked_out_once
def requested_names(snapshot: ConnectorSnapshot) -> dict[str, str]:
    """Organizations that somebody asked for by name, by their name in lower case."""
    decided = _decided(snapshot)
    names = {name.lower(): name for name in snapshot.connector.spec.organizations.names}
    asked = names | decided[Onboarding.ONBOARDED]
    return {key: name for key, name in asked.items() if key not in decided[Onboarding.EXCLUDED]}


@worked_out_once
def excluded_names(snapshot: ConnectorSnapshot) -> frozenset[str]:
    """Names in lower case that must not be onboarded. Who decides for one organization overrules the connector."""
    decided = _decided(snapshot)
    spec = snapshot.connector.spec.organizations
    return (spec.excluded_names | decided[Onboarding.EXCLUDED].keys()) - decided[Onboarding.ONBOARDED].keys()


@dataclass(frozen=True, slots=True)
class OrganizationSelection:
    """What is to become of each organization that Azure told of or that somebody named, by name in lower case.

    Attributes:
        wanted: it should be onboarded, if Defender can.
        excluded: somebody decided against it, whether Azure knows it or not.
        not_selected: nobody asked for it: not among the names with Selected, or come up later with All.
    """

    wanted: Mapping[str, str]
    excluded: frozenset[str]
    not_selected: frozenset[str]


@worked_out_once
def organization_selection(snapshot: ConnectorSnapshot) -> OrganizationSelection:
    """Work out who is wanted, from the mode, the names, the exclusions and what the resources decide."""
    by_name, left_out = requested_names(snapshot), excluded_names(snapshot)
    others = {
        key: each
        for key, each in azure_organizations(
            snapshot.cloud if isinstance(snapshot.cloud, AzureState) else AzureState()
        ).items()
        if key not in by_name and key not in left_out
    }
    not_selected = frozenset(key for key, each in others.items() if _is_passed_over(snapshot, key, each))
    covered = {key: each.name for key, each in others.items() if key not in not_selected}
    return OrganizationSelection(by_name | covered, left_out, not_selected)


def _is_passed_over(snapshot: ConnectorSnapshot, key: str, organization: AzureOrganization) -> bool:
    match snapshot.connector.spec.organizations.mode:
        case OrganizationsMode.SELECTED:
            return True
        case OrganizationsMode.ALL if _all_applied(snapshot) and not is_onboarded(organization):
            return not _was_wanted(snapshot, key)
        case _:
            return False


def _all_applied(snapshot: ConnectorSnapshot) -> bool:
    """Whether "all existing" was taken in before: what appeared later is not part of it."""
    azure, cloud = snapshot.connector.status.azure, snapshot.cloud
    gone = isinstance(cloud, AzureState) and cloud.connector is None
    return azure is not None and azure.organizations_mode == OrganizationsMode.ALL and not gone


def _was_wanted(snapshot: ConnectorSnapshot, key: str) -> bool:
    """Whether its status says that it was there when All was carried out: that is all the memory there is of it."""
    resources = (each for each in snapshot.organizations if each.spec.organization.lower() == key)
    told = (find_condition(each.status.conditions, ConditionType.ONBOARDED) for each in resources)
    return any(each is not None and each.reason != Reason.NOT_INCLUDED for each in told)


def operator_onboards_new_organizations(snapshot: ConnectorSnapshot) -> bool:
    """Whether it is for the operator to onboard what is founded later: with exclusions Defender does not."""
    mode = snapshot.connector.spec.organizations.mode
    return mode is OrganizationsMode.ALL_AND_FUTURE and bool(excluded_names(snapshot)) and not is_observe_only(snapshot)


def has_unavailable_organizations(snapshot: ConnectorSnapshot) -> bool:
    """Whether a wanted organization is missing or held elsewhere: that it is to be had is seen by asking alone."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or cloud.available is None:
        return False
    seen = azure_organizations(cloud)
    return not seen or any(
        key not in seen or is_held_by_other_connector(seen[key]) for key in organization_selection(snapshot).wanted
    )


@dataclass(frozen=True, slots=True)
class OnboardingChoice:
    """How Defender is told which organizations to hold.

    Attributes:
        auto_discovery: whether Defender itself takes in what appears later.
        organizations: the whole list to onboard, or None for all.
    """

    auto_discovery: AutoDiscovery
    organizations: tuple[str, ...] | None


def desired_onboarding(snapshot: ConnectorSnapshot, *, anew: bool = False) -> OnboardingChoice:
    """The choice that carries the spec out, as far as it is known who there is.

    Defender has no exclusions: with them the list is kept here. Where nothing is known yet the list is empty, so that
    what is excluded never gets in.

    Args:
        snapshot: what is known.
        anew: for an authorization that is only being given, so that nobody can tell yet who there is.
    """
    mode, wanted = snapshot.connector.spec.organizations.mode, organization_selection(snapshot)
    if mode is OrganizationsMode.ALL_AND_FUTURE and not wanted.excluded:
        return OnboardingChoice(AutoDiscovery.ENABLED, None)
    if mode is OrganizationsMode.ALL and not wanted.excluded and anew and not _all_applied(snapshot):
        return OnboardingChoice(AutoDiscovery.DISABLED, None)
    cloud = snapshot.cloud if isinstance(snapshot.cloud, AzureState) else AzureState()
    seen, unseen_is_in_reach = azure_organizations(cloud), anew or cloud.available is None
    reachable = (
        name
        for key, name in sorted(wanted.wanted.items())
        if (not is_held_by_other_connector(seen[key]) if key in seen else unseen_is_in_reach)
    )
    return OnboardingChoice(AutoDiscovery.DISABLED, tuple(reachable))


@worked_out_once
def azure_organizations(cloud: AzureState) -> dict[str, AzureOrganization]:
    """Every organization that Azure told of, by name in lower case; below the connector, or available to it.

    What is below the connector is the truth about what it holds; the other answer may be older.
    """
    seen = {each.name.lower(): each for each in cloud.organizations}
    for each in cloud.available or ():
        let_go = cloud.is_settled and is_onboarded(each)
        seen.setdefault(
            each.name.lower(), replace(each, onboarding_state=OnboardingState.NOT_ONBOARDED) if let_go else each
        )
    return seen


def is_held_by_other_connector(organization: AzureOrganization) -> bool:
    """Whether another connector of the tenant holds the organization."""
    return organization.onboarding_state == OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR


def is_onboarded(organization: AzureOrganization) -> bool:
    """Whether this connector holds the organization."""
    return organization.onboarding_state == OnboardingState.ONBOARDED


def desired_annotations(snapshot: ConnectorSnapshot, resource: DevOpsOrganization | None) -> Annotations | None:
    """Pull request annotations of the organization that a resource decides for; None where nobody manages them."""
    inherited = snapshot.connector.spec.pull_request_annotations
    override = resource.spec.pull_request_annotations if resource else None
    if override is not None:
        return override.desired(inherited)
    return inherited.desired() if inherited is not None else None


def desired_agentless(snapshot: ConnectorSnapshot) -> AgentlessConfiguration | None:
    """Agentless code scanning; None where it is not managed."""
    wanted = snapshot.connector.spec.agentless_scanning
    return wanted.desired() if wanted is not None else None
