"""The assessment of one snapshot: the answers that planning and reporting share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from defender_devops.api.azure_types import AzureOrganization
from defender_devops.api.connector import AzureDevOpsConnector, OrganizationsMode
from defender_devops.api.organization import DevOpsOrganization
from defender_devops.reconcile.facts import authorization as authorization_facts
from defender_devops.reconcile.facts.authorization import Authorization, AuthorizationState
from defender_devops.reconcile.facts.deletion_mode import DeletionMode, deletion_mode
from defender_devops.reconcile.facts.desired_state import (
    OnboardingChoice,
    OrganizationSelection,
    azure_organizations,
    desired_onboarding,
    effective_overrides,
    select_organizations,
)
from defender_devops.reconcile.facts.ownership import is_owned, ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """What follows from one snapshot. Immutable: each answer is computed when it is first used, and only once.

    Where Azure could not be read, `azure` is empty, `azure.read_failure` says why, and no answer claims anything about
    Azure: the authorization is UNKNOWN, there is no conflict, and no organization is listed.

    Attributes:
        snapshot: what was read.
        connector: the resource.
        azure: what Azure holds.
    """

    snapshot: ConnectorSnapshot
    connector: AzureDevOpsConnector
    azure: AzureState

    @cached_property
    def ownership_conflict(self) -> Failure | None:
        """Why the existing Azure connector must not be used by this resource; None if it may, or does not exist."""
        connector = self.azure.connector
        return ownership_conflict(self.snapshot, connector) if connector is not None else None

    @cached_property
    def is_owned(self) -> bool:
        """Whether the Azure connector exists and has the owner tag of this resource."""
        return self.azure.connector is not None and is_owned(self.snapshot, self.azure.connector)

    @property
    def is_usable(self) -> bool:
        """Whether Azure was read and this resource may use what is there."""
        return self.azure.is_known and self.ownership_conflict is None

    @cached_property
    def authorization(self) -> Authorization:
        """State of Defender's authorization; UNKNOWN for a connector that this resource may not use."""
        if not self.is_usable:
            return Authorization(AuthorizationState.UNKNOWN)
        return authorization_facts.authorization(self.snapshot)

    @cached_property
    def was_authorized(self) -> bool:
        """Whether Defender ever held a working authorization for this resource."""
        return authorization_facts.was_authorized(self.snapshot)

    @cached_property
    def unused_code_hash(self) -> str | None:
        """Hash of a one-time code that may be sent; None if there is none."""
        return authorization_facts.unused_code_hash(self.snapshot, self.authorization.state)

    @cached_property
    def organizations(self) -> Mapping[str, AzureOrganization]:
        """Every organization that Azure returned, by name in lower case."""
        return azure_organizations(self.azure)

    @cached_property
    def overrides(self) -> Mapping[str, DevOpsOrganization]:
        """The DevOpsOrganization that decides for each organization, by the organization's name in lower case."""
        return effective_overrides(self.snapshot.organizations)

    @cached_property
    def selection(self) -> OrganizationSelection:
        """Which organizations the connector should onboard."""
        return select_organizations(self.snapshot, self.overrides, self.organizations)

    @cached_property
    def onboarding(self) -> OnboardingChoice:
        """The choice of organizations that the DevOps configuration should hold."""
        return desired_onboarding(self.snapshot, self.selection, self.organizations)

    @property
    def operator_onboards_new_organizations(self) -> bool:
        """Whether the operator onboards new organizations: Defender's auto-discovery knows no exclusions."""
        mode = self.connector.spec.organizations.mode
        return (
            mode is OrganizationsMode.ALL_AND_FUTURE
            and bool(self.selection.excluded)
            and not self.snapshot.is_observe_only
        )

    @property
    def has_unavailable_organizations(self) -> bool:
        """Whether a desired organization is missing or held by another connector: only a probe shows a change."""
        if self.azure.available is None:
            return False
        return not self.organizations or any(
            key not in self.organizations or self.organizations[key].is_held_by_other_connector
            for key in self.selection.desired
        )

    @cached_property
    def deletion_mode(self) -> DeletionMode:
        """What happens to the connector in Azure when the resource is deleted."""
        return deletion_mode(self.snapshot)


def assess(snapshot: ConnectorSnapshot) -> Assessment:
    """Return the assessment of a snapshot; `plan` and `report` of the same snapshot share it."""
    return Assessment(snapshot, snapshot.connector, snapshot.cloud)
