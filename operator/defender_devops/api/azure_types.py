"""Values of Azure's API for security connectors, shared by all layers.

Frozen, comparable, without HTTP. `azure` creates them, `reconcile` plans with them, `cli` prints them. Spelling and
enums are those of Microsoft.Security (api-version 2025-03-01 of devops, 2024-08-01-preview of the connector).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ProvisioningState(StrEnum):
    """DevOpsProvisioningState of the DevOps configuration and of what is below it."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"
    PENDING = "Pending"
    PENDING_DELETION = "PendingDeletion"
    DELETION_SUCCESS = "DeletionSuccess"
    DELETION_FAILURE = "DeletionFailure"


_IN_PROGRESS = frozenset({ProvisioningState.PENDING, ProvisioningState.PENDING_DELETION})


class OnboardingState(StrEnum):
    """Whether Defender for Cloud covers an organization, project or repository."""

    NOT_APPLICABLE = "NotApplicable"
    ONBOARDED_BY_OTHER_CONNECTOR = "OnboardedByOtherConnector"
    ONBOARDED = "Onboarded"
    NOT_ONBOARDED = "NotOnboarded"


class AutoDiscovery(StrEnum):
    """Whether Defender onboards organizations, or scans code, that it discovers later."""

    DISABLED = "Disabled"
    ENABLED = "Enabled"
    NOT_APPLICABLE = "NotApplicable"


@dataclass(frozen=True, slots=True)
class ConnectorRef:
    """Address of a security connector in Azure. Ids must be compared without regard to case: the service changes it."""

    subscription_id: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The ARM resource id."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.Security/securityConnectors/{self.name}"
        )

    @property
    def key(self) -> str:
        """The id in lower case, which is equal for every spelling."""
        return self.id.lower()


@dataclass(frozen=True, slots=True)
class Connector:
    """A security connector, as ARM's GET returns it.

    Attributes:
        id: resource id in the service's spelling (group in lower case).
        location: Azure region in short form, such as `westeurope`.
        tags: all tags, the operator's and others.
        hierarchy_identifier: GUID that the creator chose.
        environment_name: `AzureDevOps`, or another kind of connector with that name (`GitHub`, `AWS`, …).
    """

    id: str
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)
    hierarchy_identifier: str | None = None
    environment_name: str = "AzureDevOps"


@dataclass(frozen=True, slots=True)
class InventoryItem:
    """One entry of the agentless scanning inventory; `value` is `org`, `org/project` or `org/project/repo`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class AgentlessConfiguration:
    """Agentless code scanning of a connector."""

    enabled: bool
    auto_discovery: AutoDiscovery = AutoDiscovery.DISABLED
    scanners: tuple[str, ...] = ()
    inventory_list_type: str = "Exclusion"
    inventory: tuple[InventoryItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """`devops/default`, as GET returns it: without the authorization and topLevelInventoryList."""

    provisioning_state: ProvisioningState | str
    auto_discovery: AutoDiscovery | str
    status_message: str = ""
    status_updated_at: datetime | None = None
    agentless: AgentlessConfiguration | None = None

    @property
    def is_in_progress(self) -> bool:
        """Whether an operation on the configuration has not ended."""
        return self.provisioning_state in _IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Annotations:
    """Pull request annotations (`actionableRemediation`, category IaC).

    Attributes:
        enabled: whether the state is Enabled; Disabled and None both mean off.
        minimum_severity: High, Medium or Low; None if off.
    """

    enabled: bool
    minimum_severity: str | None = None


@dataclass(frozen=True, slots=True)
class AzureOrganization:
    """An Azure DevOps organization as Defender for Cloud reports it for one connector."""

    name: str
    onboarding_state: OnboardingState | str
    provisioning_state: ProvisioningState | str = ProvisioningState.SUCCEEDED
    annotations: Annotations = Annotations(enabled=False)
    status_message: str = ""

    @property
    def is_in_progress(self) -> bool:
        """Whether an operation on the organization has not ended."""
        return self.provisioning_state in _IN_PROGRESS

    @property
    def is_onboarded(self) -> bool:
        """Whether this connector holds the organization."""
        return self.onboarding_state == OnboardingState.ONBOARDED

    @property
    def is_held_by_other_connector(self) -> bool:
        """Whether another connector of the tenant holds the organization."""
        return self.onboarding_state == OnboardingState.ONBOARDED_BY_OTHER_CONNECTOR


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A role assignment at exactly the connector's scope."""

    name: str
    principal_id: str
    role_definition_id: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of projects and repositories of one organization, reported by Defender or counted in Azure DevOps."""

    projects: int
    repositories: int


@dataclass(frozen=True, slots=True)
class DiscoveredCounts:
    """Counts by organization (name in lower case) of one connector.

    Attributes:
        by_organization: organizations with a reported number; a missing one is unknown, not zero.
    """

    by_organization: Mapping[str, Counts] = field(default_factory=dict)
