"""`status.azure`: what the operator has done in Azure and must remember (pure).

It is written after the deeds, and only about those that Azure shows: a step that failed leaves the memory of what it
should have undone.
"""

from __future__ import annotations

from collections.abc import Mapping

from defender_devops.api.connector import AzureStatus, OrganizationsMode
from defender_devops.api.connector_features import SECURITY_READERS_MAX
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.deletion_mode import was_created
from defender_devops.reconcile.facts.ownership import is_owned
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.plan.security_readers import owned_reader_removals

__all__ = ["azure_status"]


def azure_status(snapshot: ConnectorSnapshot, cloud: AzureState) -> AzureStatus | None:
    """The memory of a connector that carries our tag; of any other it stays as it is."""
    before, connector = snapshot.connector.status.azure, cloud.connector
    if connector is None or not is_owned(snapshot, connector):
        return before
    known = before or AzureStatus()
    return AzureStatus(
        created=was_created(snapshot),
        managed_tag_keys=_managed_tag_keys(snapshot, known, connector.tags),
        organizations_mode=_organizations_mode(snapshot, cloud, known),
        security_readers=_security_readers(snapshot, cloud, known),
    )


def _managed_tag_keys(snapshot: ConnectorSnapshot, known: AzureStatus, present: Mapping[str, str]) -> tuple[str, ...]:
    """Tags in Azure that we have set, now or before."""
    before = {key.lower() for key in known.managed_tag_keys}
    asked = {key.lower(): value for key, value in snapshot.connector.spec.azure.tags.items()}
    ours = (key for key, value in present.items() if key.lower() in before or asked.get(key.lower()) == value)
    return tuple(sorted(ours))


def _security_readers(snapshot: ConnectorSnapshot, cloud: AzureState, known: AzureStatus) -> tuple[str, ...]:
    """Principals whose assignment is ours; first those that are to lose it, for of the others the spec tells too."""
    if cloud.readers is None:
        return known.security_readers
    wanted = {each.object_id.lower() for each in snapshot.connector.spec.security_readers}
    ours = {each.principal_id for each in owned_reader_removals(snapshot, cloud.readers)}
    return tuple(sorted(ours, key=lambda each: (each.lower() in wanted, each))[:SECURITY_READERS_MAX])


def _organizations_mode(snapshot: ConnectorSnapshot, cloud: AzureState, known: AzureStatus) -> str | None:
    """The mode that was carried out last; All only once it is known for good who was there then."""
    mode = snapshot.connector.spec.organizations.mode
    if desired_state.is_observe_only(snapshot):
        return known.organizations_mode
    if mode is not OrganizationsMode.ALL or known.organizations_mode == mode:
        return mode
    return mode if cloud.is_settled and cloud.available and _everybody_is_told(snapshot, cloud) else None


def _everybody_is_told(snapshot: ConnectorSnapshot, cloud: AzureState) -> bool:
    """Whether each organization that is there is onboarded, or has a resource whose status remembers that.

    Statuses of organizations are written before that of their connector.
    """
    told = {each.spec.organization.lower() for each in snapshot.organizations}
    return all(
        desired_state.is_onboarded(each) or key in told
        for key, each in desired_state.azure_organizations(cloud).items()
    )
