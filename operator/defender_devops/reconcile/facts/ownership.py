"""Who owns the connector in Azure, by its tags, and so whether it may be written to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from defender_devops.api.azure_types import Connector
from defender_devops.api.connector import AdoptionPolicy
from defender_devops.api.names import TAG_OWNER, TAG_RESOURCE
from defender_devops.api.reasons import Reason
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure, Owner

__all__ = ["Ownership", "OwnershipState", "is_owned", "ownership", "ownership_conflict", "was_owned_before"]


class OwnershipState(Enum):
    """Whose a connector in Azure is."""

    UNOWNED = auto()
    """It carries no owner tag, or that of a resource that no longer exists in this cluster."""
    OWNED = auto()
    OWNED_BY_OTHER = auto()
    """Another living owner's."""
    LOST = auto()
    """Another living owner's, and it was ours before."""
    OTHER_ENVIRONMENT = auto()
    """A connector for another environment (GitHub, AWS, …) has this name."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose it is, and the words to name that owner."""

    state: OwnershipState
    owner_name: str = ""


def ownership(snapshot: ConnectorSnapshot, connector: Connector) -> Ownership:
    """Read the tags of a connector that exists."""
    if connector.environment_name.lower() != "azuredevops":
        return Ownership(OwnershipState.OTHER_ENVIRONMENT, connector.environment_name)
    tags = {name.lower(): value for name, value in connector.tags.items()}
    tag = tags.get(TAG_OWNER)
    if not tag:
        return Ownership(OwnershipState.UNOWNED)
    owner = Owner.parse(tag)
    if owner == snapshot.owner:
        return Ownership(OwnershipState.OWNED)
    resource = tags.get(TAG_RESOURCE, "")
    if owner.cluster == snapshot.owner.cluster and not _lives(snapshot, owner.uid, resource.partition("/")[0]):
        return Ownership(OwnershipState.UNOWNED)
    named = f"{resource or 'a resource of unknown name'} ({owner})"
    return Ownership(OwnershipState.LOST if was_owned_before(snapshot) else OwnershipState.OWNED_BY_OTHER, named)


def is_owned(snapshot: ConnectorSnapshot, connector: Connector) -> bool:
    """Whether a connector that exists carries our tag."""
    return ownership(snapshot, connector).state is OwnershipState.OWNED


def was_owned_before(snapshot: ConnectorSnapshot) -> bool:
    """Whether this resource has owned the connector before: status says who made it."""
    azure = snapshot.connector.status.azure
    return azure is not None and azure.created is not None


def ownership_conflict(snapshot: ConnectorSnapshot) -> Failure | None:
    """Why the connector that is there is not this resource's business, or None where it is.

    Who only observes may look at anybody's connector.
    """
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or cloud.connector is None:
        return None
    owned = ownership(snapshot, cloud.connector)
    if owned.state is OwnershipState.OTHER_ENVIRONMENT:
        return _another_kind(snapshot, owned)
    not_ours = None if desired_state.is_observe_only(snapshot) else _not_ours(snapshot, owned)
    return not_ours or _moved(snapshot, cloud.connector)


def _another_kind(snapshot: ConnectorSnapshot, owned: Ownership) -> Failure:
    return _failure(
        Reason.INVALID_SPEC,
        f"A connector for {owned.owner_name} already has the name {snapshot.connector.connector_name} in "
        f"resource group {snapshot.connector.spec.azure.resource_group}. A connectorName "
        "cannot be changed: delete this resource and create it again with another spec.azure.connectorName.",
    )


def _not_ours(snapshot: ConnectorSnapshot, owned: Ownership) -> Failure | None:
    policy, name = snapshot.connector.spec.adoption_policy, snapshot.connector.connector_name
    match owned.state:
        case OwnershipState.LOST:
            return _failure(
                Reason.OWNERSHIP_LOST,
                f"The connector is now owned by {owned.owner_name}, so nothing in it is changed any more. Delete one "
                f"of the two resources, or remove the tag {TAG_OWNER} in Azure to let this one take it again.",
            )
        case OwnershipState.OWNED_BY_OTHER if policy is not AdoptionPolicy.ALWAYS:
            return _failure(
                Reason.NOT_ADOPTED,
                f"The connector is owned by {owned.owner_name}. Delete that resource with deletionPolicy Detach first, "
                "or set spec.adoptionPolicy to Always to take the connector over.",
            )
        case OwnershipState.UNOWNED if policy is AdoptionPolicy.NEVER and not was_owned_before(snapshot):
            return _failure(
                Reason.NOT_ADOPTED,
                f"A connector named {name} exists already and spec.adoptionPolicy is Never. Set it to IfUnmanaged to "
                "adopt the connector, or create this resource again with another spec.azure.connectorName.",
            )
        case _:
            return None


def _lives(snapshot: ConnectorSnapshot, uid: str, namespace: str) -> bool:
    """Whether a resource is there, or may be: in a namespace that nobody watches here."""
    if snapshot.existing_owner_uids is None or uid in snapshot.existing_owner_uids:
        return True
    return snapshot.namespaces is not None and namespace not in snapshot.namespaces


def _moved(snapshot: ConnectorSnapshot, connector: Connector) -> Failure | None:
    wanted = snapshot.connector.spec.azure.location
    if region(connector.location) == region(wanted):
        return None
    return _failure(
        Reason.INVALID_SPEC,
        f"The connector is in region {connector.location}, spec.azure.location says {wanted}. A connector cannot move: "
        f"make a resource with location {region(connector.location)}, or delete the connector in Azure and create it "
        "again.",
    )


def region(location: str) -> str:
    """A region's short form: ARM takes and gives both `West Europe` and `westeurope`."""
    return location.replace(" ", "").lower()


def _failure(reason: Reason, message: str) -> Failure:
    return Failure(reason=reason, message=message, terminal=True)
