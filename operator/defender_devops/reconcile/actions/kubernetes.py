"""The steps of a plan that write to Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from defender_devops.api.connector import AuthorizationStatus, AzureStatus
from defender_devops.api.connector_status import PREVIOUS_CODE_HASHES_MAX
from defender_devops.api.names import API_VERSION, CONNECTOR, FINALIZER, LABEL_GENERATED
from defender_devops.api.organization import ConnectorReference, DevOpsOrganization, OrganizationSpec
from defender_devops.api.schema.model import ObjectMeta, OwnerReference
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.reconcile.actions.action import Action, connector_with_status
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = [
    "AddFinalizer",
    "CreateOrganization",
    "DeleteOrganization",
    "RecordCodeHash",
    "RecordManagedTags",
    "ReleaseOrganization",
    "RemoveFinalizer",
    "RestoreOrganization",
]


@dataclass(frozen=True)
class AddFinalizer(Action):
    """Add the finalizer, so that the resource stays until its deletion was handled in Azure."""

    def describe(self) -> str:
        """Describe the step."""
        return "add the finalizer"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - most steps do not depend on the time
        """Add the finalizer to the connector."""
        return _with_finalizers(snapshot, *_other_finalizers(snapshot), FINALIZER)


@dataclass(frozen=True)
class RemoveFinalizer(Action):
    """Remove the finalizer, so that Kubernetes deletes the resource."""

    def describe(self) -> str:
        """Describe the step."""
        return "remove the finalizer, so that Kubernetes deletes the resource"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Remove the finalizer from the connector."""
        return _with_finalizers(snapshot, *_other_finalizers(snapshot))


@dataclass(frozen=True)
class RecordCodeHash(Action):
    """Write the one-time code's hash to status: from then on the code counts as used, even if sending it fails.

    Attributes:
        sha256: hex digest of the code.
        account: account that the code was issued to; None if the code does not contain it.
    """

    sha256: str
    account: str | None = None

    def describe(self) -> str:
        """Describe the step."""
        return "record that the one-time code is used"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Add the hash to status; the previous one moves to the older hashes."""
        status = snapshot.connector.status.authorization or AuthorizationStatus()
        older = used_code_hashes(status)[-PREVIOUS_CODE_HASHES_MAX:]
        update = {"code_hash": self.sha256, "spent_code_hashes": older, "account": self.account}
        authorization = status.model_copy(update=update)
        return replace(snapshot, connector=connector_with_status(snapshot.connector, authorization=authorization))


@dataclass(frozen=True)
class RecordManagedTags(Action):
    """Write to status which tags are about to be set for the first time.

    Azure does not record who set a tag. Without this record, tags that were set by an operator that stopped before it
    reported them would never be removed.
    """

    keys: tuple[str, ...]

    def describe(self) -> str:
        """Name the tags."""
        return f"record that the operator manages the tags {', '.join(self.keys)}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Add the tags to status."""
        status = snapshot.connector.status.azure or AzureStatus()
        azure = status.model_copy(update={"managed_tag_keys": tuple(sorted({*status.managed_tag_keys, *self.keys}))})
        return replace(snapshot, connector=connector_with_status(snapshot.connector, azure=azure))


@dataclass(frozen=True)
class CreateOrganization(Action):
    """Create the DevOpsOrganization of an organization that Azure returned."""

    is_independent = True

    name: str
    organization: str

    def describe(self) -> str:
        """Name the resource."""
        return f"create DevOpsOrganization {self.name}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:
        """Add a generated resource without decisions."""
        metadata = ObjectMeta(
            name=self.name,
            namespace=snapshot.connector.metadata.namespace,
            uid=f"created/{self.name}",
            generation=1,
            labels={LABEL_GENERATED: "true"},
            owner_references=(_owner(snapshot),),
            creation_timestamp=now,
        )
        reference = ConnectorReference(name=snapshot.connector.metadata.name)
        spec = OrganizationSpec(connector_ref=reference, organization=self.organization)
        return replace(
            snapshot, organizations=(*snapshot.organizations, DevOpsOrganization(metadata=metadata, spec=spec))
        )


@dataclass(frozen=True)
class DeleteOrganization(Action):
    """Delete a generated DevOpsOrganization that is no longer needed."""

    is_independent = True

    resource: DevOpsOrganization = field(repr=False)

    def describe(self) -> str:
        """Name the resource."""
        return f"delete the generated DevOpsOrganization {self.resource.metadata.name}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Remove the resource."""
        uid = self.resource.metadata.uid
        remaining = tuple(resource for resource in snapshot.organizations if resource.metadata.uid != uid)
        return replace(snapshot, organizations=remaining)


@dataclass(frozen=True)
class RestoreOrganization(Action):
    """Add the label and the ownerReference again to a generated resource that lost one of them, as by a replace."""

    is_independent = True

    resource: DevOpsOrganization = field(repr=False)

    def describe(self) -> str:
        """Name the resource."""
        return f"restore labels and ownerReference of the generated DevOpsOrganization {self.resource.metadata.name}"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Set both on the resource."""
        metadata = self.resource.metadata
        other_owners = (reference for reference in metadata.owner_references if not reference.is_connector)
        update = {
            "labels": {**metadata.labels, LABEL_GENERATED: "true"},
            "owner_references": (*other_owners, _owner(snapshot)),
        }
        restored = self.resource.model_copy(update={"metadata": metadata.model_copy(update=update)})
        return _with_organization(snapshot, restored)


@dataclass(frozen=True)
class ReleaseOrganization(Action):
    """Remove the operator's label and ownerReference from a resource that a user or a GitOps tool manages now."""

    is_independent = True

    resource: DevOpsOrganization = field(repr=False)

    def describe(self) -> str:
        """Name the resource."""
        return f"release DevOpsOrganization {self.resource.metadata.name}, which is managed by a user now"

    def effect(self, snapshot: ConnectorSnapshot, now: datetime) -> ConnectorSnapshot:  # noqa: ARG002 - see AddFinalizer
        """Turn the generated resource into a declared one."""
        metadata = self.resource.metadata
        labels = {key: value for key, value in metadata.labels.items() if key != LABEL_GENERATED}
        owners = tuple(reference for reference in metadata.owner_references if not reference.is_connector)
        update = {"labels": labels, "owner_references": owners}
        declared = self.resource.model_copy(update={"metadata": metadata.model_copy(update=update)})
        return _with_organization(snapshot, declared)


def _with_organization(snapshot: ConnectorSnapshot, changed: DevOpsOrganization) -> ConnectorSnapshot:
    uid = changed.metadata.uid
    organizations = (changed if resource.metadata.uid == uid else resource for resource in snapshot.organizations)
    return replace(snapshot, organizations=tuple(organizations))


def _owner(snapshot: ConnectorSnapshot) -> OwnerReference:
    metadata = snapshot.connector.metadata
    return OwnerReference(
        api_version=API_VERSION, kind=CONNECTOR.kind, name=metadata.name, uid=metadata.uid, controller=True
    )


def _other_finalizers(snapshot: ConnectorSnapshot) -> tuple[str, ...]:
    return tuple(finalizer for finalizer in snapshot.connector.metadata.finalizers if finalizer != FINALIZER)


def _with_finalizers(snapshot: ConnectorSnapshot, *finalizers: str) -> ConnectorSnapshot:
    metadata = snapshot.connector.metadata.model_copy(update={"finalizers": finalizers})
    return replace(snapshot, connector=snapshot.connector.model_copy(update={"metadata": metadata}))
