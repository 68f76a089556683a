"""Finds other connectors that are in the way: of its organizations, or as the owner of the same Azure connector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import structlog

from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.resource_cache import Body, Key, ResourceCache
from defender_devops.reconcile.facts.organization_selection import azure_organizations
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, RecordedOwner

__all__ = ["find_conflicting_connectors", "find_recorded_owner"]

_log: Final = structlog.get_logger(__name__)

_IN_ANOTHER_NAMESPACE: Final = "another connector of this cluster"
"""The only thing reported of a connector in another namespace: readers of this one may have no right to read that."""


async def find_conflicting_connectors(
    snapshot: ConnectorSnapshot, state: AzureState, resources: ResourceCache, poller: ResourceGraphPoller
) -> dict[str, str]:
    """Return which connector has onboarded each conflicting organization, by name in lower case.

    Organizations whose connector is unknown are missing.
    """
    conflicting = {
        name for name, organization in azure_organizations(state).items() if organization.is_held_by_other_connector
    }
    if not conflicting:
        return {}
    key, own_id = Key.from_metadata(snapshot.connector.metadata), snapshot.connector.connector_ref.key
    holders: Mapping[str, str] = {}
    try:
        holders = await poller.onboarding_connectors(conflicting)
    except OperatorError as error:
        _log.warning("conflicting connectors could not be determined", message=error.message)
    descriptions = {}
    for name in conflicting:
        connector_id = holders.get(name)
        # Where Resource Graph still shows it as ours, it lags behind Defender's answer that it is not.
        if connector_id is not None and connector_id.lower() == own_id:
            connector_id = None
        if description := _describe(key, name, connector_id, resources):
            descriptions[name] = description
    return descriptions


def find_recorded_owner(key: Key, bodies: Iterable[Body]) -> RecordedOwner | None:
    """Return the resource whose status records that it has created or adopted an Azure connector.

    One that is being deleted is only returned if there is no other.

    Args:
        key: the resource that wants to adopt the same Azure connector.
        bodies: all other resources for it.
    """
    owners = []
    for body in bodies:
        if ((body.get("status") or {}).get("azure") or {}).get("created") is None:
            continue
        other = Key.from_body(body)
        name = f"{other.namespace}/{other.name}" if other.namespace == key.namespace else _IN_ANOTHER_NAMESPACE
        owners.append(RecordedOwner(name, "deletionTimestamp" in body["metadata"]))
    return min(owners, key=lambda owner: (owner.is_deleting, owner.name), default=None)


def _describe(key: Key, organization: str, connector_id: str | None, resources: ResourceCache) -> str | None:
    """Return what may be reported of the connector that has onboarded an organization.

    Args:
        key: the connector that reports.
        organization: name in lower case.
        connector_id: id of the other connector in Azure. The identity that read it may see more than the readers of
            this namespace should.
        resources: the connectors of this cluster.
    """
    in_cluster = (
        resources.by_connector_id(connector_id) if connector_id else resources.onboarded_by(organization) - {key}
    )
    in_namespace = sorted(other for other in in_cluster if other.namespace == key.namespace)
    if in_cluster and not in_namespace:
        return _IN_ANOTHER_NAMESPACE
    if connector_id or not in_namespace:
        return connector_id
    status = (resources.connector(in_namespace[0]) or {}).get("status") or {}
    return str(status.get("connectorId") or in_namespace[0].name)
