"""The assessment of one snapshot: the answers that planning and reporting share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

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
from defender_devops.reconcile.facts.ownership import (
    creation_conflict,
    deletion_conflict,
    is_owned,
    ownership_conflict,
    was_created,
)
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["Assessment"]


@dataclass(frozen=True, eq=False)
class Assessment:
    """What follows from one snapshot. Each answer is computed once, when it is first needed.

    Where Azure could not be read, `azure` is empty, `azure.read_failure` says why, and no answer claims anything about
    Azure: it is not usable, the authorization is UNKNOWN, there is no conflict, and no organization is listed.

    Attributes:
        snapshot: what was read.
    """

    snapshot: ConnectorSnapshot

    @property
    def connector(self) -> AzureDevOpsConnector:
        """The resource."""
        return self.snapshot.connector

    @property
    def azure(self) -> AzureState:
        """What Azure holds."""
        return self.snapshot.cloud

    @cached_property
    def ownership_conflict(self) -> Failure | None:
        """Why this resource must not use the existing Azure connector, or create the missing one; None if it may."""
        if self.azure.connector is not None:
            return ownership_conflict(self.snapshot, self.azure.connector)
        return creation_conflict(self.snapshot) if self.azure.is_known else None

    @property
    def deletion_conflict(self) -> Failure | None:
        """Why it is not certain whether deleting this resource has to delete the Azure connector; None if it is."""
        return deletion_conflict(self.snapshot, self.azure.connector) if self.azure.connector is not None else None

    @cached_property
    def is_owned(self) -> bool:
        """Whether the Azure connector exists and has the owner tag of this resource."""
        return self.azure.connector is not None and is_owned(self.snapshot, self.azure.connector)

    @cached_property
    def was_created(self) -> bool:
        """Whether the operator created the Azure connector."""
        return was_created(self.snapshot)

    @property
    def is_usable(self) -> bool:
        """Whether Azure was read, and this resource may use what exists there."""
        return self.azure.is_known and self.ownership_conflict is None

    @cached_property
    def deletion_mode(self) -> DeletionMode:
        """What happens to the Azure connector when the resource is deleted."""
        return deletion_mode(self.snapshot)

    @cached_property
    def organizations(self) -> Mapping[str, AzureOrganization]:
        """Every organization that Azure returned, by name in lower case."""
        return azure_organizations(self.azure)

    @cached_property
    def unreachable(self) -> Mapping[str, str]:
        """Desired organizations that the connector holds, but that Defender's authorization does not reach."""
        unreachable = unreachable_organizations(self.azure)
        return {key: name for key, name in unreachable.items() if key in self.selection.desired}

    @cached_property
    def onboarded(self) -> Mapping[str, str]:
        """Names of the organizations that the connector holds, by name in lower case."""
        return self.azure.onboarded

    @cached_property
    def overrides(self) -> Mapping[str, DevOpsOrganization]:
        """The DevOpsOrganization that decides for an organization, by the organization's name in lower case."""
        return effective_overrides(self.snapshot.organizations)

    @cached_property
    def selection(self) -> OrganizationSelection:
        """Which organizations the connector should onboard."""
        return select_organizations(self.snapshot, self.overrides, self.organizations)

    @cached_property
    def authorization(self) -> Authorization:
        """State of Defender's authorization; UNKNOWN for a connector that this resource may not use."""
        return authorization(self.snapshot) if self.is_usable else Authorization(AuthorizationState.UNKNOWN)

    @cached_property
    def was_authorized(self) -> bool:
        """Whether Defender held a working authorization for this resource at some time."""
        return was_authorized(self.snapshot)

    @cached_property
    def unused_code_hash(self) -> str | None:
        """Hash of a one-time code that may be sent; None if there is none."""
        return unused_code_hash(self.snapshot, self.authorization.state)

    @cached_property
    def desired(self) -> DesiredState:
        """What Azure should hold."""
        reauthorizing = self.unused_code_hash is not None
        return desired_state(
            self.snapshot, self.selection, self.organizations, self.overrides, reauthorizing=reauthorizing
        )

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
