"""The assessment of one snapshot: the answers that planning and reporting share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from defender_devops.api.azure_types import AzureOrganization
from defender_devops.api.connector import AzureDevOpsConnector, OrganizationsMode
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts.authorization import (
    Authorization,
    AuthorizationState,
    authorization,
    unused_code_hash,
    was_authorized,
)
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.desired_state import DesiredState, desired_state
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.organization_selection import (
    OrganizationSelection,
    azure_organizations,
    effective_overrides,
    select_organizations,
    unreachable_organizations,
)
from defender_devops.reconcile.facts.ownership import is_owned, ownership_conflict, was_created
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What follows from one snapshot, each answer computed once.

    Where Azure could not be read, `azure` is empty, `azure.read_failure` says why, and no answer claims anything about
    Azure: it is not usable, the authorization is UNKNOWN, there is no conflict, and no organization is listed.

    Attributes:
        snapshot: what was read.
        connector: the resource.
        azure: what Azure holds.
        is_settled: a configuration exists and is not being changed.
        is_busy: Azure is carrying out an operation.
        lacks_configuration: Azure was read and there is no connector, or no configuration.
        ownership_conflict: why this resource must not use the existing Azure connector; None if it may.
        is_owned: the Azure connector exists and has the owner tag of this resource.
        was_created: the operator created the Azure connector.
        is_usable: Azure was read, and this resource may use what is there.
        deletion_mode: what happens to the Azure connector when the resource is deleted.
        organizations: every organization that Azure returned, by name in lower case.
        unreachable: desired ones that the connector holds, but that Defender's authorization does not reach.
        onboarded: names of those that the connector holds, by name in lower case.
        overrides: the DevOpsOrganization that decides for an organization, by the organization's name in lower case.
        selection: which organizations the connector should onboard.
        authorization: state of Defender's authorization; UNKNOWN for a connector that this resource may not use.
        was_authorized: Defender held a working authorization for this resource at some time.
        unused_code_hash: hash of a one-time code that may be sent; None if there is none.
        desired: what Azure should hold.
    """

    snapshot: ConnectorSnapshot
    connector: AzureDevOpsConnector
    azure: AzureState
    is_settled: bool
    is_busy: bool
    lacks_configuration: bool
    ownership_conflict: Failure | None
    is_owned: bool
    was_created: bool
    is_usable: bool
    deletion_mode: DeletionMode
    organizations: Mapping[str, AzureOrganization]
    unreachable: Mapping[str, str]
    onboarded: Mapping[str, str]
    overrides: Mapping[str, DevOpsOrganization]
    selection: OrganizationSelection
    authorization: Authorization
    was_authorized: bool
    unused_code_hash: str | None
    desired: DesiredState

    @property
    def operator_onboards_new_organizations(self) -> bool:
        """Whether the operator onboards new organizations: Defender's auto-discovery knows no exclusions."""
        mode = self.connector.spec.organizations.mode
        has_exclusions = bool(self.selection.excluded)
        return mode is OrganizationsMode.ALL_AND_FUTURE and has_exclusions and not self.snapshot.is_observe_only

    @property
    def has_unavailable_organizations(self) -> bool:
        """Whether a desired organization is missing or held by another connector: only a probe shows a change."""
        if self.azure.available is None:
            return False
        return not self.organizations or any(
            key not in self.organizations or self.organizations[key].is_held_by_other_connector
            for key in self.selection.desired
        )


def assess(snapshot: ConnectorSnapshot) -> Assessment:
    """Return the assessment of a snapshot; `plan` and `report` of the same snapshot share it."""
    azure = snapshot.cloud
    conflict = ownership_conflict(snapshot, azure.connector) if azure.connector is not None else None
    is_usable = azure.is_known and conflict is None
    organizations, overrides = azure_organizations(azure), effective_overrides(snapshot.organizations)
    selection = select_organizations(snapshot, overrides, organizations)
    present = authorization(snapshot) if is_usable else Authorization(AuthorizationState.UNKNOWN)
    code_hash = unused_code_hash(snapshot, present.state)
    return Assessment(
        snapshot=snapshot,
        connector=snapshot.connector,
        azure=azure,
        is_settled=azure.is_settled,
        is_busy=azure.is_busy,
        lacks_configuration=azure.lacks_configuration,
        ownership_conflict=conflict,
        is_owned=azure.connector is not None and is_owned(snapshot, azure.connector),
        was_created=was_created(snapshot),
        is_usable=is_usable,
        deletion_mode=deletion_mode(snapshot),
        organizations=organizations,
        unreachable={key: name for key, name in unreachable_organizations(azure).items() if key in selection.desired},
        onboarded=azure.onboarded,
        overrides=overrides,
        selection=selection,
        authorization=present,
        was_authorized=was_authorized(snapshot),
        unused_code_hash=code_hash,
        desired=desired_state(snapshot, selection, organizations, overrides, reauthorizing=code_hash is not None),
    )
