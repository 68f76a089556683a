"""Who owns the connector in Azure, by its tags, and so whether this resource may write to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from defender_devops.api.azure_types import Connector
from defender_devops.api.connector import AdoptionPolicy
from defender_devops.api.names import OWNER_TAGS, TAG_OWNER, TAG_RESOURCE, hierarchy_identifier
from defender_devops.api.reasons import Reason
from defender_devops.api.regions import normalized_region
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Owner

__all__ = [
    "Ownership",
    "OwnershipState",
    "creation_conflict",
    "deletion_conflict",
    "is_owned",
    "ownership",
    "ownership_conflict",
    "was_created",
    "was_owned_before",
    "without_owner_tags",
]


class OwnershipState(Enum):
    """Who owns a connector in Azure."""

    UNOWNED = auto()
    """It has no owner tag, or that of a resource that no longer exists in this cluster."""
    OWNED = auto()
    """This resource owns it."""
    OWNED_BY_OTHER = auto()
    """Another resource of this cluster owns it, by the tag or by its status, or one that may exist in a namespace that
    is not watched."""
    CLUSTER_CHANGED = auto()
    """The owner tag has the uid of this resource and another cluster."""
    RELEASABLE = auto()
    """A resource of another cluster owns it, or one of this cluster that is being deleted: Always may adopt it."""
    LOST = auto()
    """Another existing resource owns it, and this resource owned it before."""
    OTHER_ENVIRONMENT = auto()
    """A connector for another environment (GitHub, AWS, …) has this name."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who owns a connector.

    Attributes:
        state: the state.
        owner_name: the owner (or the environment, or the cluster of the owner tag) as text for messages.
    """

    state: OwnershipState
    owner_name: str = ""


def ownership(snapshot: ConnectorSnapshot, connector: Connector) -> Ownership:
    """Return who owns an existing Azure connector, from its tags and from the statuses of this cluster's resources."""
    if connector.environment_name.lower() != "azuredevops":
        return Ownership(OwnershipState.OTHER_ENVIRONMENT, connector.environment_name)
    tags = {name.lower(): value for name, value in connector.tags.items()}
    tag = tags.get(TAG_OWNER)
    by_tag = _by_tag(snapshot, Owner.parse(tag), tags.get(TAG_RESOURCE, "")) if tag else None
    by_tag = by_tag or Ownership(OwnershipState.UNOWNED)
    if by_tag.state in {OwnershipState.UNOWNED, OwnershipState.RELEASABLE}:
        # Anybody who may write tags in Azure can remove ours, and the owner adds them again only when it notices.
        return _by_record(snapshot) or by_tag
    return by_tag


def _by_tag(snapshot: ConnectorSnapshot, owner: Owner, resource: str) -> Ownership:
    """Return who owns a connector with an owner tag.

    Args:
        snapshot: what was read.
        owner: the parsed tag.
        resource: the other tag, namespace and name: a claim that is good for messages only.
    """
    if owner == snapshot.owner:
        return Ownership(OwnershipState.OWNED)
    if _is_equal_uid(owner.uid, snapshot.owner.uid):
        return Ownership(OwnershipState.CLUSTER_CHANGED, owner.cluster)
    is_of_this_cluster = owner.cluster == snapshot.owner.cluster
    if is_of_this_cluster and _is_certainly_deleted(snapshot, owner):
        return Ownership(OwnershipState.UNOWNED)
    owner_name = f"{resource or 'a resource of unknown name'} ({owner})"
    if was_owned_before(snapshot):
        return Ownership(OwnershipState.LOST, owner_name)
    is_alive = _is_alive(snapshot, owner)
    if owner.uid in snapshot.deleting_owner_uids or not (is_of_this_cluster or is_alive):
        return Ownership(OwnershipState.RELEASABLE, owner_name)
    evidence = "which exists in this cluster" if is_alive else "which may exist where this operator cannot see it"
    return Ownership(OwnershipState.OWNED_BY_OTHER, f"{owner_name}, {evidence}")


def _by_record(snapshot: ConnectorSnapshot) -> Ownership | None:
    """Return the ownership of another resource of this cluster by its status, or None if there is no such resource.

    A resource that has owned the connector itself adopts it again as soon as the tags allow it.
    """
    owner = snapshot.recorded_owner
    if owner is None or was_owned_before(snapshot):
        return None
    state = OwnershipState.RELEASABLE if owner.is_deleting else OwnershipState.OWNED_BY_OTHER
    return Ownership(state, f"{owner.name}, which has created or adopted it in this cluster")


def _is_alive(snapshot: ConnectorSnapshot, owner: Owner) -> bool:
    """Whether the owner exists in this cluster and is not being deleted, by its uid alone.

    Uids are unique in all clusters. The cluster's part of a tag is not the present one after a change of the setting
    clusterId, and where somebody has written the tag in another case.
    """
    uid = owner.uid.strip().lower()
    return uid in (snapshot.existing_owner_uids or ()) and uid not in snapshot.deleting_owner_uids


def _is_certainly_deleted(snapshot: ConnectorSnapshot, owner: Owner) -> bool:
    """Whether an owner in this cluster certainly does not exist.

    An operator that watches some namespaces only cannot conclude that from what exists there, whatever namespace the
    tags name: they are the claim of whoever may write tags in Azure.
    """
    if snapshot.existing_owner_uids is None or owner.uid in snapshot.existing_owner_uids:
        return False
    return snapshot.namespaces is None or owner.uid in snapshot.removed_owner_uids


def _is_equal_uid(first: str, second: str) -> bool:
    return first.strip().lower() == second.strip().lower()


def is_owned(snapshot: ConnectorSnapshot, connector: Connector) -> bool:
    """Whether an existing Azure connector has the owner tag of this resource."""
    return ownership(snapshot, connector).state is OwnershipState.OWNED


def was_owned_before(snapshot: ConnectorSnapshot) -> bool:
    """Whether this resource has owned the Azure connector before: status says whether it created or adopted it."""
    azure = snapshot.connector.status.azure
    return azure is not None and azure.created is not None


def ownership_conflict(snapshot: ConnectorSnapshot, connector: Connector) -> Failure | None:
    """Return why this resource must not use an existing Azure connector, or None if it may.

    With managementPolicy Observe any owner is accepted, because nothing is written.
    """
    owner = ownership(snapshot, connector)
    if owner.state is OwnershipState.OTHER_ENVIRONMENT:
        return _conflict(
            Reason.INVALID_SPEC,
            f"A connector for {owner.owner_name} already has the name {snapshot.connector.connector_name} in "
            f"resource group {snapshot.connector.spec.azure.resource_group}. Set another "
            "spec.azure.connectorName, or delete this resource.",
        )
    owned_by_other = None if snapshot.is_observe_only else _adoption_conflict(snapshot, owner)
    if owned_by_other is not None:
        return owned_by_other
    location = snapshot.connector.spec.azure.location
    if normalized_region(connector.location) == normalized_region(location):
        return None
    # The API server refuses another location once this resource has created or adopted a connector.
    cure = "create a resource with location" if was_owned_before(snapshot) else "set spec.azure.location to"
    return _conflict(
        Reason.INVALID_SPEC,
        f"The connector is in region {connector.location}, but spec.azure.location is {location}. A connector cannot "
        f"be moved: {cure} {normalized_region(connector.location)}, or delete the connector in Azure.",
    )


def creation_conflict(snapshot: ConnectorSnapshot) -> Failure | None:
    """Return why this resource must not create the connector, or None if it may.

    Where the connector of another resource was deleted in Azure, that resource creates it again.
    """
    owner = _by_record(snapshot)
    return _adoption_conflict(snapshot, owner) if owner is not None and not snapshot.is_observe_only else None


def deletion_conflict(snapshot: ConnectorSnapshot, connector: Connector) -> Failure | None:
    """Return why it is not certain whether deleting this resource has to delete the connector; None if it is."""
    owner = ownership(snapshot, connector)
    return _cluster_conflict(snapshot, owner.owner_name) if owner.state is OwnershipState.CLUSTER_CHANGED else None


def _adoption_conflict(snapshot: ConnectorSnapshot, owner: Ownership) -> Failure | None:
    policy, name = snapshot.connector.spec.adoption_policy, snapshot.connector.connector_name
    match owner.state:
        case OwnershipState.LOST:
            return _conflict(
                Reason.OWNERSHIP_LOST,
                f"The connector is now owned by {owner.owner_name}, so this resource no longer changes it. Delete one "
                f"of the two resources, or remove the tag {TAG_OWNER} in Azure so that this resource adopts it again.",
            )
        case OwnershipState.CLUSTER_CHANGED:
            return _cluster_conflict(snapshot, owner.owner_name)
        case OwnershipState.OWNED_BY_OTHER:
            # Whatever the policy: otherwise anybody who may create a connector could take over, and delete, another's.
            return _conflict(
                Reason.NOT_ADOPTED,
                f"The connector is owned by {owner.owner_name}, so spec.adoptionPolicy does not apply. Delete that "
                f"resource with deletionPolicy Detach first, or remove the tag {TAG_OWNER} in Azure if it no longer "
                "exists.",
            )
        case OwnershipState.RELEASABLE if policy is not AdoptionPolicy.ALWAYS:
            return _conflict(
                Reason.NOT_ADOPTED,
                f"The connector is owned by {owner.owner_name}. Delete that resource with deletionPolicy Detach first, "
                "or set spec.adoptionPolicy to Always to take the connector over.",
            )
        case OwnershipState.UNOWNED if policy is AdoptionPolicy.NEVER and not was_owned_before(snapshot):
            return _conflict(
                Reason.NOT_ADOPTED,
                f"A connector named {name} exists already and spec.adoptionPolicy is Never. Set it to IfUnmanaged to "
                "adopt the connector, or set another spec.azure.connectorName.",
            )
        case _:
            return None


def _cluster_conflict(snapshot: ConnectorSnapshot, tagged_cluster: str) -> Failure:
    """Return the failure of a resource whose connector has its uid and another cluster in the owner tag.

    It may be the only owner, after a change of the setting, or one of two in copies of one cluster.
    """
    present, reason = snapshot.owner, Reason.OWNERSHIP_LOST if was_owned_before(snapshot) else Reason.NOT_ADOPTED
    return _conflict(
        reason,
        f"The tag {TAG_OWNER} in Azure has the uid of this resource, but names cluster {tagged_cluster or '(none)'} "
        f"instead of {present.cluster}: the operator's setting clusterId (DEFENDER_DEVOPS_CLUSTER_ID) was changed, or "
        "this cluster is a copy of another. Nothing is changed in Azure. "
        + (f"Set clusterId to {tagged_cluster} again" if tagged_cluster else "Set clusterId to its earlier value")
        + f", or, if this cluster is to manage the connector from now on, set the tag to {present}.",
    )


def _conflict(reason: Reason, message: str) -> Failure:
    return Failure(reason=reason, message=message, terminal=True)


def was_created(snapshot: ConnectorSnapshot) -> bool:
    """Whether the operator created the existing connector.

    The GUID that is derived from the resource's uid decides, so that a connector that a person created in the place of
    the operator's is recognized. Without a GUID, status decides.
    """
    connector, azure = snapshot.cloud.connector, snapshot.connector.status.azure
    if connector is not None and connector.hierarchy_identifier:
        return connector.hierarchy_identifier.lower() == hierarchy_identifier(snapshot.connector.metadata.uid)
    return azure is not None and azure.created is True


def without_owner_tags(existing: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a connector without those of its owner, as the operator leaves them when it releases it."""
    return {key: value for key, value in existing.items() if key.lower() not in OWNER_TAGS}
