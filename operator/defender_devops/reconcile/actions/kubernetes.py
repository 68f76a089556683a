"""The steps of a plan that write to Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from defender_devops.api.connector import AuthorizationStatus, AzureStatus
from defender_devops.api.connector_status import PREVIOUS_CODE_HASHES_MAX
from defender_devops.api.model import ObjectMeta
from defender_devops.api.names import FINALIZER, LABEL_GENERATED
from defender_devops.api.organization import ConnectorReference, DevOpsOrganization, OrganizationSpec
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.reconcile.actions.action import Action, with_status
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = [
    "AddFinalizer",
    "CreateOrganization",
    "DeleteOrganization",
    "RecordCodeHash",
    "RecordManagedTags",
    "ReleaseOrganization",
    "RemoveFinalizer",
]


@dataclass(frozen=True)
class AddFinalizer(Action):
    """Make sure that we are asked before the resource goes."""

    def describe(self) -> str:
        """Say so."""
        return "add the finalizer"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - not every step looks at the time
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
class RecordCodeHash(Action):
    """Write the one-time code's hash down in status: from then on the code counts as spent, whatever comes of it.

    Attributes:
        sha256: hex digest of the code.
    """

    sha256: str

    def describe(self) -> str:
        """Say so."""
        return "write down that the one-time code is spent"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """Status knows the code."""
        known = snapshot.connector.status.authorization or AuthorizationStatus()
        previous = used_code_hashes(known)[-PREVIOUS_CODE_HASHES_MAX:]
        update = {"code_hash": self.sha256, "spent_code_hashes": previous}
        authorization = known.model_copy(update=update)
        return replace(snapshot, connector=with_status(snapshot.connector, authorization=authorization))


@dataclass(frozen=True)
class RecordManagedTags(Action):
    """Write down in status which tags are about to be set for the first time.

    What Azure holds does not tell whose a tag is: were the operator to end before it has reported them, nobody would
    take them off again.
    """

    keys: tuple[str, ...]

    def describe(self) -> str:
        """Name the tags."""
        return f"write down that the tags {', '.join(self.keys)} are the operator's"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - as above
        """Status knows the tags."""
        known = snapshot.connector.status.azure or AzureStatus()
        azure = known.model_copy(update={"managed_tag_keys": tuple(sorted({*known.managed_tag_keys, *self.keys}))})
        return replace(snapshot, connector=with_status(snapshot.connector, azure=azure))


@dataclass(frozen=True)
class CreateOrganization(Action):
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
        let_go = _released(self.resource)
        organizations = tuple(
            let_go if each.metadata.uid == self.resource.metadata.uid else each for each in snapshot.organizations
        )
        return replace(snapshot, organizations=organizations)


def _with_finalizer(snapshot: ConnectorSnapshot, *, present: bool) -> ConnectorSnapshot:
    metadata = snapshot.connector.metadata
    others = tuple(each for each in metadata.finalizers if each != FINALIZER)
    finalizers = (*others, FINALIZER) if present else others
    connector = snapshot.connector.model_copy(
        update={"metadata": metadata.model_copy(update={"finalizers": finalizers})}
    )
    return replace(snapshot, connector=connector)


def _released(resource: DevOpsOrganization) -> DevOpsOrganization:
    """The resource without our label and our ownerReference: a declared one from now on."""
    metadata = resource.metadata
    labels = {key: value for key, value in metadata.labels.items() if key != LABEL_GENERATED}
    owners = tuple(each for each in metadata.owner_references if not each.is_connector)
    update = {"labels": labels, "owner_references": owners}
    return resource.model_copy(update={"metadata": metadata.model_copy(update=update)})
