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
from defender_devops.api.conditions import Condition, set_condition
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.actions.action import AzureAction, with_status
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, annotations_request_key

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
    "request_value",
]


@dataclass(frozen=True)
class CreateConnector(AzureAction):
    """PUT of the connector itself (synchronous)."""

    id: str
    location: str
    tags: Mapping[str, str]
    hierarchy_identifier: str

    def describe(self) -> str:
        """Say which connector is made."""
        return f"create the connector {self.id.rpartition('/')[2]} in {self.location}"

    def change(self, cloud: AzureState) -> AzureState:
        """The connector is there, with nothing below it."""
        connector = Connector(
            id=self.id, location=self.location, tags=self.tags, hierarchy_identifier=self.hierarchy_identifier
        )
        return replace(cloud, connector=connector, readers=())

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Also: a connector made anew takes in all that exists, whatever its predecessor took in."""
        status = snapshot.connector.status
        if status.azure is not None:
            azure = status.azure.model_copy(update={"organizations_mode": None})
            snapshot = replace(snapshot, connector=with_status(snapshot.connector, azure=azure))
        return super().effect(snapshot, now)


@dataclass(frozen=True)
class SetTags(AzureAction):
    """PATCH of the connector's tags: the whole map, as ARM replaces it.

    Attributes:
        tags: all of them.
        changed: names of those that differ.
    """

    tags: Mapping[str, str]
    changed: tuple[str, ...]

    def describe(self) -> str:
        """Name the tags that change."""
        return f"set the connector's tags ({', '.join(self.changed)})"

    def change(self, cloud: AzureState) -> AzureState:
        """The connector carries these tags."""
        if cloud.connector is None:
            return cloud
        return replace(cloud, connector=replace(cloud.connector, tags=self.tags))


@dataclass(frozen=True)
class RemoveOwnerTags(SetTags):
    """PATCH of the tags without our own, before letting go of a connector that stays."""

    is_best_effort = True

    def describe(self) -> str:
        """Say so."""
        return "take the owner's tags off the connector"


@dataclass(frozen=True)
class _ConfigurationWrite(AzureAction):
    """A write of `devops/default`; None means "leave as it is" (in a PUT: the service's own default).

    Attributes:
        auto_discovery: whether Defender takes in organizations that appear later.
        organizations: the whole list of organizations to onboard.
        agentless: agentless code scanning.
    """

    auto_discovery: AutoDiscovery | None = None
    organizations: tuple[str, ...] | None = None
    agentless: AgentlessConfiguration | None = None

    def change(self, cloud: AzureState) -> AzureState:
        """An operation is under way that will make it so."""
        before = cloud.configuration or Configuration(ProvisioningState.PENDING, AutoDiscovery.DISABLED)
        after = replace(
            before,
            provisioning_state=ProvisioningState.PENDING,
            auto_discovery=self.auto_discovery or before.auto_discovery,
            agentless=self.agentless or before.agentless,
            status_message="",
        )
        return replace(cloud, configuration=after)

    @property
    def requests(self) -> Mapping[str, str]:
        """The choice of organizations, and scanning."""
        parts = {"organizations": self._choice, "agentless": self.agentless}
        return {subject: request_value(part) for subject, part in parts.items() if part is not None}

    @property
    def _choice(self) -> tuple[str, ...] | None:
        if self.auto_discovery is None and self.organizations is None:
            return None
        return (f"autoDiscovery={self.auto_discovery}", *(self.organizations or ()))

    def _parts(self) -> str:
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
    """PUT of `devops/default` with the one-time code. `RecordCodeHash` comes before, so it is sent once.

    Attributes:
        sha256: hex digest of the code.
    """

    sha256: str = ""

    def describe(self) -> str:
        """Say what is handed over."""
        return f"authorize Defender for Cloud with the one-time code ({self._parts()})"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """What was known of the old authorization is void, also where it worked."""
        exchanging = Condition(
            type=ConditionType.AUTHORIZED, status="Unknown", reason=Reason.AWAITING_AUTHORIZATION, message=""
        )
        conditions = set_condition(snapshot.connector.status.conditions, exchanging, now)
        return super().effect(replace(snapshot, connector=with_status(snapshot.connector, conditions=conditions)), now)

    def change(self, cloud: AzureState) -> AzureState:
        """Also: nobody has asked yet what the new authorization sees."""
        return replace(super().change(cloud), available=None, probe_failure=None, probed_at=None)


@dataclass(frozen=True)
class UpdateConfiguration(_ConfigurationWrite):
    """PATCH of `devops/default` without a code: Defender goes on with the authorization that it holds."""

    def describe(self) -> str:
        """Say what changes."""
        return f"update the DevOps configuration ({self._parts()})"


@dataclass(frozen=True)
class SetAnnotations(AzureAction):
    """PATCH of one organization's pull request annotations (long-running)."""

    organization: str
    annotations: Annotations

    def describe(self) -> str:
        """Say which organization and how."""
        if not self.annotations.enabled:
            return f"turn pull request annotations off in {self.organization}"
        return f"turn pull request annotations on in {self.organization}, from {self.annotations.minimum_severity} up"

    @property
    def requests(self) -> Mapping[str, str]:
        """The annotations of this organization."""
        return {annotations_request_key(self.organization): request_value(self.annotations)}

    def change(self, cloud: AzureState) -> AzureState:
        """An operation is under way that will make it so."""
        name = self.organization.lower()
        changed = tuple(
            replace(each, annotations=self.annotations, provisioning_state=ProvisioningState.PENDING)
            if each.name.lower() == name
            else each
            for each in cloud.organizations
        )
        return replace(cloud, organizations=changed)


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

    def change(self, cloud: AzureState) -> AzureState:
        """The assignment is there."""
        made = RoleAssignment(self.name, self.principal_id, self.role_definition_id)
        return replace(cloud, readers=(*(cloud.readers or ()), made))


@dataclass(frozen=True)
class RemoveReader(AzureAction):
    """DELETE of a Security Reader assignment that we made."""

    name: str
    principal_id: str

    def describe(self) -> str:
        """Name the principal."""
        return f"remove {self.principal_id} from the connector's Security Readers"

    def change(self, cloud: AzureState) -> AzureState:
        """The assignment is gone."""
        return replace(cloud, readers=tuple(each for each in cloud.readers or () if each.name != self.name))


@dataclass(frozen=True)
class DeleteConnector(AzureAction):
    """DELETE of the connector with all that is below it."""

    id: str

    def describe(self) -> str:
        """Say which connector goes."""
        return f"delete the connector {self.id.rpartition('/')[2]} in Azure"

    def change(self, cloud: AzureState) -> AzureState:
        """Nothing is left."""
        return AzureState(fresh=cloud.fresh)


def request_value(value: object) -> str:
    """A value that is equal for equal wishes: what `AzureState.pending_requests` remembers."""
    if isinstance(value, tuple):
        return ",".join(sorted(str(each).lower() for each in value))
    return repr(value)
