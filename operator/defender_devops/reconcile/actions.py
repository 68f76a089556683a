"""What a plan is made of: small steps, each a value that can say what it does and what will be so afterwards.

`effect` folds a step that was carried out into the snapshot, so that the report tells of the world as it is now and
planning again finds nothing left to do. `execute` knows how to carry each one out; nothing here does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from defender_devops.api.cloud import (
    AgentlessConfiguration,
    Annotations,
    AutoDiscovery,
    Configuration,
    Connector,
    ProvisioningState,
    RoleAssignment,
)
from defender_devops.api.connector import AuthorizationStatus, AzureDevOpsConnector
from defender_devops.api.connector_status import SPENT_CODES_MAX
from defender_devops.api.model import ObjectMeta
from defender_devops.api.names import FINALIZER, LABEL_GENERATED
from defender_devops.api.organization import ConnectorReference, DevOpsOrganization, OrganizationSpec
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = [
    "Action",
    "AddFinalizer",
    "ApplyOrganization",
    "AssignReader",
    "Authorize",
    "AzureAction",
    "CreateConnector",
    "DeleteConnector",
    "DeleteOrganization",
    "ReleaseOrganization",
    "RemoveFinalizer",
    "RemoveReader",
    "SetAnnotations",
    "SetTags",
    "UpdateConfiguration",
    "key_of",
    "released",
    "with_spent_code",
]


@dataclass(frozen=True)
class Action:
    """One step. `describe` is its sentence for a person, `effect` what it makes of the snapshot."""

    def describe(self) -> str:
        """Say in one sentence what the step does."""
        raise NotImplementedError

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """The snapshot as it is once the step was carried out at `now`."""
        raise NotImplementedError


class AzureAction(Action):
    """A step that writes to Azure: planned only on what was read afresh, never with managementPolicy Observe."""

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Fold the step into what Azure holds."""
        if not isinstance(snapshot.cloud, CloudState):
            return snapshot
        return replace(snapshot, cloud=self.change(snapshot.cloud, now))

    def change(self, cloud: CloudState, now: datetime) -> CloudState:
        """What Azure holds once the step was carried out."""
        raise NotImplementedError


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

    def change(self, cloud: CloudState, now: datetime) -> CloudState:  # noqa: ARG002 - not every step looks at the time
        """The connector is there, with nothing below it."""
        connector = Connector(
            id=self.id, location=self.location, tags=self.tags, hierarchy_identifier=self.hierarchy_identifier
        )
        return replace(cloud, connector=connector, readers=())


@dataclass(frozen=True)
class SetTags(AzureAction):
    """PATCH of the connector's tags: the whole map, as ARM replaces it."""

    tags: Mapping[str, str]
    changed: tuple[str, ...]

    def describe(self) -> str:
        """Name the tags that change."""
        return f"set the connector's tags ({', '.join(self.changed)})"

    def change(self, cloud: CloudState, now: datetime) -> CloudState:  # noqa: ARG002 - as above
        """The connector carries these tags."""
        if cloud.connector is None:
            return cloud
        return replace(cloud, connector=replace(cloud.connector, tags=self.tags))


@dataclass(frozen=True)
class _ConfigurationWrite(AzureAction):
    """A write of `devops/default`; None means "leave as it is" (in a PUT: the service's own default).

    Attributes:
        auto_discovery: whether Defender takes in organizations that appear later.
        inventory: the whole list of organizations to onboard.
        agentless: agentless code scanning.
    """

    auto_discovery: AutoDiscovery | None = None
    inventory: tuple[str, ...] | None = None
    agentless: AgentlessConfiguration | None = None

    def change(self, cloud: CloudState, now: datetime) -> CloudState:
        """An operation is under way that will make it so."""
        before = cloud.configuration or Configuration(ProvisioningState.PENDING, AutoDiscovery.DISABLED)
        after = replace(
            before,
            provisioning_state=ProvisioningState.PENDING,
            auto_discovery=self.auto_discovery or before.auto_discovery,
            agentless=self.agentless or before.agentless,
            status_message="",
        )
        sent = cloud.sent if self.inventory is None else {**cloud.sent, "inventory": (key_of(self.inventory), now)}
        return replace(cloud, configuration=after, sent=sent)

    def _parts(self) -> str:
        parts = []
        if self.auto_discovery is not None:
            parts.append(f"auto-discovery {self.auto_discovery}")
        if self.inventory is not None:
            parts.append(f"organizations {', '.join(self.inventory) or 'none'}")
        if self.agentless is not None:
            parts.append(f"agentless scanning {'on' if self.agentless.enabled else 'off'}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Authorize(_ConfigurationWrite):
    """PUT of `devops/default` with the one-time code: its hash is written to status before, and it is sent once.

    Attributes:
        sha256: hex digest of the code.
    """

    sha256: str = ""

    def describe(self) -> str:
        """Say that the code is spent."""
        return f"authorize Defender for Cloud with the one-time code ({self._parts()})"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """The code counts as spent whatever comes of it."""
        return super().effect(replace(snapshot, connector=with_spent_code(snapshot.connector, self.sha256)), now)

    def change(self, cloud: CloudState, now: datetime) -> CloudState:
        """Also: what was known of the old authorization is void."""
        return replace(super().change(cloud, now), available=None, probe_failure=None, probed_at=None)


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

    def change(self, cloud: CloudState, now: datetime) -> CloudState:
        """The organization is annotated so."""
        name = self.organization.lower()
        changed = tuple(
            replace(each, annotations=self.annotations) if each.name.lower() == name else each
            for each in cloud.organizations
        )
        sent = {**cloud.sent, f"annotations/{name}": (key_of(self.annotations), now)}
        return replace(cloud, organizations=changed, sent=sent)


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

    def change(self, cloud: CloudState, now: datetime) -> CloudState:  # noqa: ARG002 - as above
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

    def change(self, cloud: CloudState, now: datetime) -> CloudState:  # noqa: ARG002 - as above
        """The assignment is gone."""
        return replace(cloud, readers=tuple(each for each in cloud.readers or () if each.name != self.name))


@dataclass(frozen=True)
class DeleteConnector(AzureAction):
    """DELETE of the connector with all that is below it."""

    id: str

    def describe(self) -> str:
        """Say which connector goes."""
        return f"delete the connector {self.id.rpartition('/')[2]} in Azure"

    def change(self, cloud: CloudState, now: datetime) -> CloudState:  # noqa: ARG002 - as above
        """Nothing is left."""
        return CloudState(fresh=cloud.fresh)


@dataclass(frozen=True)
class AddFinalizer(Action):
    """Make sure that we are asked before the resource goes."""

    def describe(self) -> str:
        """Say so."""
        return "add the finalizer"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """The finalizer is there."""
        return _with_finalizer(snapshot, present=True)


@dataclass(frozen=True)
class RemoveFinalizer(Action):
    """Let the resource go."""

    def describe(self) -> str:
        """Say so."""
        return "let the resource go"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """The finalizer is gone."""
        return _with_finalizer(snapshot, present=False)


@dataclass(frozen=True)
class ApplyOrganization(Action):
    """Create the DevOpsOrganization of an organization that was found."""

    name: str
    organization: str

    def describe(self) -> str:
        """Name the resource."""
        return f"create DevOpsOrganization {self.name}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """The resource is there, generated and undecided."""
        metadata = ObjectMeta(
            name=self.name,
            namespace=snapshot.connector.metadata.namespace,
            uid=f"created/{self.name}",
            generation=1,
            labels={LABEL_GENERATED: "true"},
            creation_timestamp=now,
        )
        reference = ConnectorReference(name=snapshot.connector.metadata.name)
        spec = OrganizationSpec(connector_ref=reference, organization=self.organization)
        return replace(
            snapshot, organizations=(*snapshot.organizations, DevOpsOrganization(metadata=metadata, spec=spec))
        )


@dataclass(frozen=True)
class DeleteOrganization(Action):
    """Delete a generated DevOpsOrganization that is not needed any more."""

    resource: DevOpsOrganization = field(repr=False)

    def describe(self) -> str:
        """Name the resource."""
        return f"delete the generated DevOpsOrganization {self.resource.metadata.name}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """The resource is gone."""
        kept = tuple(each for each in snapshot.organizations if each.metadata.uid != self.resource.metadata.uid)
        return replace(snapshot, organizations=kept)


@dataclass(frozen=True)
class ReleaseOrganization(Action):
    """Drop our label and our ownerReference: a person or a GitOps tool has taken the resource over."""

    resource: DevOpsOrganization = field(repr=False)

    def describe(self) -> str:
        """Name the resource."""
        return f"leave DevOpsOrganization {self.resource.metadata.name} to whoever took it over"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """The resource is a declared one."""
        let_go = released(self.resource)
        organizations = tuple(
            let_go if each.metadata.uid == self.resource.metadata.uid else each for each in snapshot.organizations
        )
        return replace(snapshot, organizations=organizations)


def key_of(value: object) -> str:
    """A value that is equal for equal wishes: what `CloudState.sent` remembers."""
    if isinstance(value, tuple):
        return ",".join(sorted(str(each).lower() for each in value))
    return repr(value)


def _with_finalizer(snapshot: ConnectorSnapshot, *, present: bool) -> ConnectorSnapshot:
    metadata = snapshot.connector.metadata
    others = tuple(each for each in metadata.finalizers if each != FINALIZER)
    finalizers = (*others, FINALIZER) if present else others
    connector = snapshot.connector.model_copy(
        update={"metadata": metadata.model_copy(update={"finalizers": finalizers})}
    )
    return replace(snapshot, connector=connector)


def with_spent_code(connector: AzureDevOpsConnector, digest: str) -> AzureDevOpsConnector:
    """The connector with a status that says that this code was sent."""
    known = connector.status.authorization or AuthorizationStatus()
    before = (*known.spent_code_hashes, *((known.code_hash,) if known.code_hash else ()))
    authorization = known.model_copy(update={"code_hash": digest, "spent_code_hashes": before[-SPENT_CODES_MAX:]})
    return connector.model_copy(update={"status": connector.status.model_copy(update={"authorization": authorization})})


def released(resource: DevOpsOrganization) -> DevOpsOrganization:
    """The resource without our label: a declared one from now on."""
    metadata = resource.metadata
    labels = {key: value for key, value in metadata.labels.items() if key != LABEL_GENERATED}
    return resource.model_copy(update={"metadata": metadata.model_copy(update={"labels": labels})})
