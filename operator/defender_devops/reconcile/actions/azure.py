"""The steps of a plan that write to Azure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from defender_devops.api.azure_types import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    Configuration,
    Connector,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.api.conditions import update_condition
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.actions.action import AzureAction, connector_with_status
from defender_devops.reconcile.facts.pending_requests import (
    TAGS_REQUEST_KEY,
    annotations_request_key,
    assignment_request_key,
    pending_request_value,
)
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = [
    "AssignReader",
    "Authorize",
    "CreateConnector",
    "DeleteConnector",
    "RemoveOwnerTags",
    "RemoveReader",
    "SetAnnotations",
    "SetTags",
    "UpdateConfiguration",
]


@dataclass(frozen=True)
class CreateConnector(AzureAction):
    """PUT of the connector itself (synchronous)."""

    id: str
    location: str
    tags: Mapping[str, str]
    hierarchy_identifier: str

    def describe(self) -> str:
        """Name the connector and its region."""
        return f"create the connector {self.id.rpartition('/')[2]} in {self.location}"

    def change(self, azure: AzureState) -> AzureState:
        """Add the connector without a configuration."""
        connector = Connector(
            id=self.id, location=self.location, tags=self.tags, hierarchy_identifier=self.hierarchy_identifier
        )
        return replace(azure, connector=connector, readers=())

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Also forget the applied mode: to a new connector, mode All applies to everything that exists now."""
        status = snapshot.connector.status
        if status.azure is not None:
            azure_status = status.azure.model_copy(update={"organizations_mode": None})
            snapshot = replace(snapshot, connector=connector_with_status(snapshot.connector, azure=azure_status))
        return super().effect(snapshot, now)


@dataclass(frozen=True)
class SetTags(AzureAction):
    """PATCH of the connector's tags: the whole map, because ARM replaces it.

    Attributes:
        tags: all tags.
        changed: names of those that differ.
    """

    tags: Mapping[str, str]
    changed: tuple[str, ...]

    def describe(self) -> str:
        """Name the tags that change."""
        return f"set the connector's tags ({', '.join(self.changed)})"

    @property
    def requests(self) -> Mapping[str, str]:
        """All tags: Azure may still return the earlier ones for some seconds."""
        return {TAGS_REQUEST_KEY: pending_request_value(tuple(f"{key}={value}" for key, value in self.tags.items()))}

    def change(self, azure: AzureState) -> AzureState:
        """Replace the tags."""
        if azure.connector is None:
            return azure
        return replace(azure, connector=replace(azure.connector, tags=self.tags))


@dataclass(frozen=True)
class RemoveOwnerTags(SetTags):
    """PATCH of the tags without the owner tags, before a connector that stays in Azure is released."""

    is_best_effort = True

    def describe(self) -> str:
        """Describe the step."""
        return "remove the owner tags from the connector"


@dataclass(frozen=True)
class _ConfigurationWrite(AzureAction):
    """A write of `devops/default`. None leaves a value as it is (in a PUT: the service's default applies).

    Attributes:
        auto_discovery: whether Defender onboards organizations that appear later.
        organizations: the whole list of organizations to onboard.
        agentless: agentless code scanning.
    """

    auto_discovery: AutoDiscovery | None = None
    organizations: tuple[str, ...] | None = None
    agentless: AgentlessConfiguration | None = None

    def change(self, azure: AzureState) -> AzureState:
        """Mark the configuration as being changed; the organizations follow when the operation ends."""
        previous = azure.configuration or Configuration(ProvisioningState.PENDING, AutoDiscovery.DISABLED)
        configuration = replace(
            previous,
            provisioning_state=ProvisioningState.PENDING,
            auto_discovery=self.auto_discovery or previous.auto_discovery,
            agentless=self.agentless or previous.agentless,
            status_message="",
        )
        return replace(azure, configuration=configuration)

    @property
    def requests(self) -> Mapping[str, str]:
        """The choice of organizations, and agentless scanning."""
        requests: dict[str, str] = {}
        if self.auto_discovery is not None or self.organizations is not None:
            choice = (f"autoDiscovery={self.auto_discovery}", *(self.organizations or ()))
            requests["organizations"] = pending_request_value(choice)
        if self.agentless is not None:
            requests["agentless"] = pending_request_value(self.agentless)
        return requests

    def _summary(self) -> str:
        parts = []
        if self.auto_discovery is not None:
            parts.append(f"auto-discovery {self.auto_discovery}")
        if self.organizations is not None:
            parts.append(f"organizations {', '.join(self.organizations) or 'none'}")
        if self.agentless is not None:
            parts.append(f"agentless scanning {'on' if self.agentless.enabled else 'off'}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Authorize(_ConfigurationWrite):
    """PUT of `devops/default` with the one-time code. `RecordCodeHash` precedes it, so that a code is sent only once.

    Attributes:
        sha256: hex digest of the code.
    """

    sha256: str = ""

    def describe(self) -> str:
        """Summarize the configuration that is written with the code."""
        return f"authorize Defender for Cloud with the one-time code ({self._summary()})"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Also reset the condition Authorized: the state of the previous authorization no longer applies."""
        conditions = update_condition(
            snapshot.connector.status.conditions,
            ConditionType.AUTHORIZED,
            "Unknown",
            reason=Reason.AWAITING_AUTHORIZATION,
            message="",
            generation=None,
            now=now,
        )
        return super().effect(
            replace(snapshot, connector=connector_with_status(snapshot.connector, conditions=conditions)), now
        )

    def change(self, azure: AzureState) -> AzureState:
        """Also drop the last probe: it is not known what the new authorization reaches."""
        return replace(
            super().change(azure),
            available=None,
            probe_failure=None,
            probe_failures=0,
            probed_at=None,
            relied_on_authorization=False,
        )


@dataclass(frozen=True)
class UpdateConfiguration(_ConfigurationWrite):
    """PATCH of `devops/default` without a code: Defender keeps its authorization."""

    def change(self, azure: AzureState) -> AzureState:
        """Also record that the operation uses the authorization that exists, so that its failure says something."""
        return replace(super().change(azure), relied_on_authorization=True)

    def describe(self) -> str:
        """Summarize what changes."""
        return f"update the DevOps configuration ({self._summary()})"


@dataclass(frozen=True)
class SetAnnotations(AzureAction):
    """PATCH of one organization's pull request annotations (long-running)."""

    organization: str
    annotations: Annotations

    def describe(self) -> str:
        """Name the organization and the new setting."""
        if not self.annotations.enabled:
            return f"turn pull request annotations off in {self.organization}"
        return f"turn pull request annotations on in {self.organization}, from {self.annotations.minimum_severity} up"

    @property
    def requests(self) -> Mapping[str, str]:
        """The annotations of this organization."""
        return {annotations_request_key(self.organization): pending_request_value(self.annotations)}

    def change(self, azure: AzureState) -> AzureState:
        """Set the annotations of the organization, as an operation that has not ended."""
        name = self.organization.lower()
        organizations = tuple(
            replace(organization, annotations=self.annotations, provisioning_state=ProvisioningState.PENDING)
            if organization.name.lower() == name
            else organization
            for organization in azure.organizations
        )
        return replace(azure, organizations=organizations)


@dataclass(frozen=True)
class AssignReader(AzureAction):
    """PUT of a Security Reader assignment at the connector's scope."""

    name: str
    principal_id: str
    principal_type: str
    role_definition_id: str

    def describe(self) -> str:
        """Name the principal."""
        return f"make {self.principal_type} {self.principal_id} a Security Reader of the connector"

    @property
    def requests(self) -> Mapping[str, str]:
        """This assignment."""
        return {assignment_request_key(self.name): "present"}

    def change(self, azure: AzureState) -> AzureState:
        """Add the assignment."""
        assignment = RoleAssignment(self.name, self.principal_id, self.role_definition_id)
        return replace(azure, readers=(*(azure.readers or ()), assignment))


@dataclass(frozen=True)
class RemoveReader(AzureAction):
    """DELETE of a Security Reader assignment that this resource created.

    Nobody keeps the role because Azure refuses something else, such as another reader.
    """

    is_independent = True

    name: str
    principal_id: str

    def describe(self) -> str:
        """Name the principal."""
        return f"remove {self.principal_id} from the connector's Security Readers"

    @property
    def requests(self) -> Mapping[str, str]:
        """This assignment."""
        return {assignment_request_key(self.name): "absent"}

    def change(self, azure: AzureState) -> AzureState:
        """Remove the assignment."""
        return replace(
            azure, readers=tuple(assignment for assignment in azure.readers or () if assignment.name != self.name)
        )


@dataclass(frozen=True)
class DeleteConnector(AzureAction):
    """DELETE of the connector with everything below it."""

    id: str

    def describe(self) -> str:
        """Name the connector."""
        return f"delete the connector {self.id.rpartition('/')[2]} in Azure"

    def change(self, azure: AzureState) -> AzureState:
        """Remove everything."""
        return AzureState(fresh=azure.fresh)
