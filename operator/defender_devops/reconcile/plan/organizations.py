"""The DevOpsOrganization resources: which ones to create, to delete and to release."""

from __future__ import annotations

from collections.abc import Iterator

from defender_devops.api.connector import OrganizationsMode
from defender_devops.api.names import organization_object_name
from defender_devops.reconcile.actions.action import Action
from defender_devops.reconcile.actions.kubernetes import (
    CreateOrganization,
    DeleteOrganization,
    ReleaseOrganization,
    RestoreOrganization,
)
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.organization_selection import is_user_managed

__all__ = ["organization_releases", "plan_organizations"]


def plan_organizations(assessment: Assessment) -> tuple[Action, ...]:
    """Keep one resource for each organization that Azure returned; never change one that a user manages."""
    expected = _expected_organizations(assessment)
    effective_uids = {resource.metadata.uid for resource in assessment.overrides.values()}
    deletions = [
        DeleteOrganization(resource)
        for resource in assessment.snapshot.organizations
        if resource.is_generated
        and not is_user_managed(resource)
        and not resource.metadata.is_deleting
        and (
            resource.metadata.uid not in effective_uids
            or (expected is not None and resource.spec.organization.lower() not in expected)
        )
    ]
    deleted_uids = {deletion.resource.metadata.uid for deletion in deletions}
    # Only one of the two marks is left: a replace or a restore dropped the other. Whoever takes a resource over decides
    # something in its spec or tracks it.
    restorations = [
        RestoreOrganization(resource)
        for resource in assessment.snapshot.organizations
        if resource.is_generated != resource.is_owned_by_connector
        and not (resource.has_user_decision or resource.is_gitops_tracked)
        and not resource.metadata.is_deleting
        and resource.metadata.uid not in deleted_uids
    ]
    creations = []
    names = set(assessment.snapshot.taken_names)
    for key, organization in sorted((expected or {}).items()):
        if key not in assessment.overrides:
            name = organization_object_name(assessment.connector.metadata.name, organization, names)
            names.add(name)
            creations.append(CreateOrganization(name, organization))
    return (*organization_releases(assessment), *deletions, *restorations, *creations)


def organization_releases(assessment: Assessment) -> Iterator[ReleaseOrganization]:
    """Release resources that a user took over: with the ownerReference they would be deleted with the connector.

    A label without an ownerReference stays, because a manifest in git that was copied from a generated resource sets it
    again with every apply.
    """
    for resource in assessment.snapshot.organizations:
        if is_user_managed(resource) and resource.is_owned_by_connector and not resource.metadata.is_deleting:
            yield ReleaseOrganization(resource)


def _expected_organizations(assessment: Assessment) -> dict[str, str] | None:
    """Return the organizations that need a resource, by name in lower case; None if Azure did not list them."""
    azure, requested = assessment.azure, assessment.selection.requested
    if not assessment.azure.is_settled or not azure.available or assessment.ownership_conflict is not None:
        return None
    # With mode Selected, only organizations that are requested or onboarded are of interest.
    is_selected = assessment.connector.spec.organizations.mode is OrganizationsMode.SELECTED
    listed = {
        key: organization.name
        for key, organization in assessment.organizations.items()
        if not is_selected or key in requested or organization.is_onboarded
    }
    # The mode decides whose spelling of a name is used for the resource: the user's, or Azure's.
    return {**requested, **listed} if is_selected else {**listed, **requested}
