"""The DevOpsOrganization resources: which to create, to delete, to leave to whoever took them over (pure)."""

from __future__ import annotations

from collections.abc import Container, Iterator

from defender_devops.api.connector import OrganizationsMode
from defender_devops.api.names import organization_object_name
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.kubernetes import CreateOrganization, DeleteOrganization, ReleaseOrganization
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["plan_organizations", "releases"]


def plan_organizations(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """Keep one resource for each organization found, and never touch one that somebody decided about."""
    effective_overrides, needed = desired_state.effective_overrides(snapshot.organizations), _needed(snapshot)
    return (
        *releases(snapshot),
        *_deletions(snapshot, {each.metadata.uid for each in effective_overrides.values()}, needed),
        *_creations(snapshot, needed or {}, effective_overrides.keys()),
    )


def releases(snapshot: ConnectorSnapshot) -> Iterator[ReleaseOrganization]:
    """What somebody has taken over is theirs: while it has our ownerReference it would go with the connector.

    Our label alone is let be: who copied a generated one into git applies it again and again.
    """
    for each in snapshot.organizations:
        if desired_state.is_user_managed(each) and each.is_owned_by_connector and not each.metadata.is_deleting:
            yield ReleaseOrganization(each)


def _deletions(
    snapshot: ConnectorSnapshot, winners: set[str], needed: dict[str, str] | None
) -> Iterator[DeleteOrganization]:
    for each in snapshot.organizations:
        if not each.is_generated or desired_state.is_user_managed(each) or each.metadata.is_deleting:
            continue
        if each.metadata.uid not in winners or (needed is not None and each.spec.organization.lower() not in needed):
            yield DeleteOrganization(each)


def _needed(snapshot: ConnectorSnapshot) -> dict[str, str] | None:
    """Organizations that a resource stands for, by name in lower case; None where Azure did not tell."""
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or not cloud.is_settled or not cloud.available:
        return None
    if ownership_conflict(snapshot) is not None:
        return None
    found, named = desired_state.azure_organizations(cloud), desired_state.requested_names(snapshot)
    if snapshot.connector.spec.organizations.mode is not OrganizationsMode.SELECTED:
        return {key: each.name for key, each in found.items()} | named
    return named | {key: each.name for key, each in found.items() if key in named or desired_state.is_onboarded(each)}


def _creations(
    snapshot: ConnectorSnapshot, needed: dict[str, str], present: Container[str]
) -> Iterator[CreateOrganization]:
    missing = [organization for key, organization in sorted(needed.items()) if key not in present]
    if snapshot.namespace_terminating or not missing:
        return
    taken = set(snapshot.taken_names)
    for organization in missing:
        name = organization_object_name(snapshot.connector.metadata.name, organization, taken)
        taken.add(name)
        yield CreateOrganization(name, organization)
