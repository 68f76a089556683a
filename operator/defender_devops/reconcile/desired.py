"""What Azure should hold for a connector: spec and the decisions of its DevOpsOrganizations, in Azure's terms."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from defender_devops.api.cloud import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    CloudOrganization,
    OnboardingState,
)
from defender_devops.api.connector import OrganizationsMode
from defender_devops.api.names import OWNER_TAGS, TAG_OWNER, TAG_RESOURCE
from defender_devops.api.organization import DevOpsOrganization, Onboarding
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = [
    "Organizations",
    "agentless",
    "deciding",
    "found",
    "hierarchy_identifier",
    "is_held_elsewhere",
    "is_onboarded",
    "organizations",
    "pull_request_annotations",
    "tags",
    "without_owner_tags",
]


def hierarchy_identifier(uid: str) -> str:
    """The connector's GUID, derived from the resource's uid so that a repeated create finds its own work."""
    return str(uuid.uuid5(uuid.UUID(uid), "hierarchyIdentifier"))


def tags(snapshot: ConnectorSnapshot, existing: dict[str, str]) -> dict[str, str]:
    """All tags the connector should carry: other people's stay, those we set and no longer want go.

    Azure compares tag names without regard to case and PATCH replaces the whole map.
    """
    metadata, spec = snapshot.connector.metadata, snapshot.connector.spec
    wanted = {
        **spec.azure.tags,
        TAG_OWNER: str(snapshot.owner),
        TAG_RESOURCE: f"{metadata.namespace}/{metadata.name}",
    }
    azure = snapshot.connector.status.azure
    ours = {key.lower() for key in (*wanted, *(azure.managed_tag_keys if azure else ()))}
    return {key: value for key, value in existing.items() if key.lower() not in ours} | wanted


def without_owner_tags(existing: dict[str, str]) -> dict[str, str]:
    """The tags of a connector that is left to itself."""
    return {key: value for key, value in existing.items() if key.lower() not in OWNER_TAGS}


@dataclass(frozen=True, slots=True)
class Organizations:
    """Which organizations a connector should hold.

    Attributes:
        auto_discovery: whether Defender itself takes in what appears later.
        inventory: the whole list to onboard, or None where Defender decides (all existing).
        named: those that somebody asked for by name, by their name in lower case.
        excluded: names in lower case that must not be onboarded.
    """

    auto_discovery: AutoDiscovery
    inventory: tuple[str, ...] | None
    named: dict[str, str]
    excluded: frozenset[str]


def deciding(resources: Iterable[DevOpsOrganization]) -> dict[str, DevOpsOrganization]:
    """The resource that speaks for each organization, by name in lower case.

    A declared one beats a generated one; among declared ones the oldest wins.
    """
    winners: dict[str, DevOpsOrganization] = {}
    for resource in sorted(resources, key=lambda resource: resource.seniority):
        winners.setdefault(resource.spec.organization.lower(), resource)
    return winners


def organizations(snapshot: ConnectorSnapshot) -> Organizations:
    """Work out the organizations from the mode, the names, the exclusions and what the resources decide."""
    spec = snapshot.connector.spec.organizations
    decided = deciding(snapshot.organizations)
    included = _decided(decided, Onboarding.ONBOARDED)
    excluded = (spec.excluded | _decided(decided, Onboarding.EXCLUDED).keys()) - included.keys()
    names = {name.lower(): name for name in spec.names}
    named = {key: name for key, name in (names | included).items() if key not in excluded}
    if spec.mode is OrganizationsMode.ALL_AND_FUTURE and not excluded:
        return Organizations(AutoDiscovery.ENABLED, None, named, excluded)
    return Organizations(AutoDiscovery.DISABLED, _inventory(snapshot, named, excluded), named, excluded)


def _decided(decided: dict[str, DevOpsOrganization], what: Onboarding) -> dict[str, str]:
    return {key: each.spec.organization for key, each in decided.items() if each.onboarding is what}


def _inventory(snapshot: ConnectorSnapshot, named: dict[str, str], excluded: frozenset[str]) -> tuple[str, ...] | None:
    mode = snapshot.connector.spec.organizations.mode
    cloud = snapshot.cloud if isinstance(snapshot.cloud, CloudState) else CloudState()
    if cloud.configuration is None:
        # Nothing is known yet. An empty list onboards nothing, so that what is excluded never gets in.
        if mode is OrganizationsMode.SELECTED:
            return tuple(named.values())
        return () if excluded else None
    if mode is OrganizationsMode.SELECTED:
        return _without(named, _out_of_reach(cloud, named))
    if not cloud.available:
        return None
    base = {each.name.lower(): each.name for each in cloud.available}
    if mode is OrganizationsMode.ALL and _all_applied(snapshot):
        base = _kept(snapshot, cloud)
    return _without(base | named, excluded | _out_of_reach(cloud, base | named))


def _all_applied(snapshot: ConnectorSnapshot) -> bool:
    """Whether "all existing" was taken in before: what appeared later is not part of it."""
    azure = snapshot.connector.status.azure
    return azure is not None and azure.organizations_mode == OrganizationsMode.ALL


def _kept(snapshot: ConnectorSnapshot, cloud: CloudState) -> dict[str, str]:
    remembered = {
        each.spec.organization.lower(): each.spec.organization
        for each in snapshot.organizations
        if each.status.onboarding_state == OnboardingState.ONBOARDED
    }
    return remembered | {each.name.lower(): each.name for each in cloud.organizations if is_onboarded(each)}


def _out_of_reach(cloud: CloudState, names: Iterable[str]) -> frozenset[str]:
    """Organizations that Defender would refuse: held elsewhere, or unknown to the authorization."""
    held = {key for key, each in found(cloud).items() if is_held_elsewhere(each)}
    # An empty answer is no knowledge: it is how a lost authorization looks.
    known = {each.name.lower() for each in (*(cloud.available or ()), *cloud.organizations)}
    return frozenset(held | ({key for key in names if key not in known} if cloud.available else set()))


def _without(names: dict[str, str], left_out: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for key, name in sorted(names.items()) if key not in left_out)


def found(cloud: CloudState) -> dict[str, CloudOrganization]:
    """Every organization that Azure told of, by name in lower case; below the connector, or available to it."""
    seen = {each.name.lower(): each for each in cloud.organizations}
    for each in cloud.available or ():
        seen.setdefault(each.name.lower(), each)
    return seen


def is_held_elsewhere(organization: CloudOrganization) -> bool:
    """Whether another connector of the tenant holds the organization."""
    return organization.onboarding_state == OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR


def is_onboarded(organization: CloudOrganization) -> bool:
    """Whether this connector holds the organization."""
    return organization.onboarding_state == OnboardingState.ONBOARDED


def pull_request_annotations(snapshot: ConnectorSnapshot, organization: str) -> Annotations | None:
    """Pull request annotations of one organization; None where nobody manages them."""
    inherited = snapshot.connector.spec.pull_request_annotations
    resource = deciding(snapshot.organizations).get(organization.lower())
    override = resource.spec.pull_request_annotations if resource else None
    if override is not None:
        return override.desired(inherited)
    return inherited.desired() if inherited is not None else None


def agentless(snapshot: ConnectorSnapshot) -> AgentlessConfiguration | None:
    """Agentless code scanning; None where it is not managed."""
    wanted = snapshot.connector.spec.agentless_scanning
    return wanted.desired() if wanted is not None else None
