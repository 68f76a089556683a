"""`status.azure`: what the operator has done in Azure and has to remember.

It is written after the changes, and only about those that Azure shows. A step that failed therefore keeps the record of
what it should have undone.
"""

from __future__ import annotations

from defender_devops.api.connector import AzureStatus, OrganizationsMode
from defender_devops.api.spec.features import SECURITY_READERS_MAX
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.plan.security_readers import owned_reader_removals

__all__ = ["azure_status"]


def azure_status(assessment: Assessment) -> AzureStatus | None:
    """Return the record of a connector that this resource owns; for any other the present one."""
    present, connector = assessment.connector.status.azure, assessment.azure.connector
    if connector is None or not assessment.is_owned:
        return present
    previous = present or AzureStatus()
    recorded = {key.lower() for key in previous.managed_tag_keys}
    desired = {key.lower(): value for key, value in assessment.connector.spec.azure.tags.items()}
    managed = (
        key for key, value in connector.tags.items() if key.lower() in recorded or desired.get(key.lower()) == value
    )
    return AzureStatus(
        created=assessment.was_created,
        managed_tag_keys=tuple(sorted(managed)),
        organizations_mode=_applied_mode(assessment, previous),
        security_readers=_security_readers(assessment, previous),
    )


def _security_readers(assessment: Assessment, previous: AzureStatus) -> tuple[str, ...]:
    """Return the principals of the operator's assignments.

    Those that are to be removed come first, because the list is limited and the others are in the spec too.
    """
    if assessment.azure.readers is None:
        return previous.security_readers
    desired = {reader.object_id.lower() for reader in assessment.connector.spec.security_readers}
    removals = owned_reader_removals(assessment.connector, assessment.azure.readers)
    principals = {removal.principal_id for removal in removals}
    ordered = sorted(principals, key=lambda principal: (principal.lower() in desired, principal))
    return tuple(ordered[:SECURITY_READERS_MAX])


def _applied_mode(assessment: Assessment, previous: AzureStatus) -> str | None:
    """Return the mode that was applied last; All only once every organization that existed then is recorded.

    An organization is recorded when it is onboarded, or when its resource exists: the statuses of the organizations
    are written before that of their connector.
    """
    mode, azure = assessment.connector.spec.organizations.mode, assessment.azure
    if assessment.snapshot.is_observe_only:
        return previous.organizations_mode
    if mode is not OrganizationsMode.ALL or previous.organizations_mode == mode:
        return mode
    recorded = {resource.spec.organization.lower() for resource in assessment.snapshot.organizations}
    is_complete = all(
        organization.is_onboarded or key in recorded for key, organization in assessment.organizations.items()
    )
    return mode if assessment.azure.is_settled and azure.available and is_complete else None
