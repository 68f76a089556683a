"""Finds the connectors that have onboarded organizations which this connector should onboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts.organization_selection import azure_organizations
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["find_conflicting_connectors"]

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
