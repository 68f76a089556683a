"""The DevOpsOrganization resources: which to create, to delete, to leave to whoever took them over (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from defender_devops.api.connector import OrganizationsMode
from defender_devops.api.names import organization_object_name
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile import desired
from defender_devops.reconcile.actions import (
    Action,
    ApplyOrganization,
    DeleteOrganization,
    ReleaseOrganization,
    released,
)
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = ["plan_organizations"]


def plan_organizations(snapshot: ConnectorSnapshot) -> tuple[Action, ...]:
    """Keep one resource for each organization found, and never touch one that somebody decided about."""
    releases = tuple(ReleaseOrganization(each) for each in snapshot.organizations if _is_taken_over(each))
    let_go = {action.resource.metadata.uid for action in releases}
    kept = desired.deciding(released(each) if each.metadata.uid in let_go else each for each in snapshot.organizations)
    winners = {each.metadata.uid for each in kept.values()}
    generated = [each for each in snapshot.organizations if each.is_generated and each.metadata.uid not in let_go]
    needed = _needed(snapshot)
    deletions = tuple(
        DeleteOrganization(each)
        for each in generated
        if each.metadata.uid not in winners or (needed is not None and each.spec.organization.lower() not in needed)
    )
    return (*releases, *deletions, *_creations(snapshot, needed or {}, set(kept)))


def _is_taken_over(resource: DevOpsOrganization) -> bool:
    """A generated resource whose spec holds a decision, or that a GitOps tool tracks."""
    return resource.is_generated and (resource.holds_decision or resource.is_tracked)


def _needed(snapshot: ConnectorSnapshot) -> dict[str, str] | None:
    """Organizations that a resource stands for, by name in lower case; None where Azure did not tell."""
    cloud = snapshot.cloud
    if not isinstance(cloud, CloudState) or cloud.configuration is None or not cloud.available:
        return None
    found = desired.found(cloud)
    named = desired.organizations(snapshot).named
    if snapshot.connector.spec.organizations.mode is not OrganizationsMode.SELECTED:
        return {key: each.name for key, each in found.items()} | named
    return named | {key: each.name for key, each in found.items() if key in named or desired.is_onboarded(each)}


def _creations(snapshot: ConnectorSnapshot, needed: dict[str, str], present: set[str]) -> Iterator[ApplyOrganization]:
    if snapshot.connector.metadata.deletion_timestamp or snapshot.namespace_terminating:
        return
    taken = set(snapshot.taken_names)
    for key, organization in sorted(needed.items()):
        if key in present:
            continue
        name = organization_object_name(snapshot.connector.metadata.name, organization, taken)
        taken.add(name)
        yield ApplyOrganization(name, organization)
