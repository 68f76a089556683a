"""Who holds the organizations that another connector of the tenant has onboarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from defender_devops.azure.resource_graph.poller import ResourceGraphPoller
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["find_conflicting_connectors"]

_log: Final = structlog.get_logger(__name__)

_SOMEWHERE_HERE: Final = "another connector of this cluster"
"""All that is said of a connector of another namespace: who may read this one need not know that one."""


async def find_conflicting_connectors(
    snapshot: ConnectorSnapshot, cloud: AzureState, resources: ResourceCache, poller: ResourceGraphPoller
) -> dict[str, str]:
    """The holder of each conflicting organization, by name in lower case; unknown ones are missing."""
    conflicting = {
        key
        for key, each in desired_state.azure_organizations(cloud).items()
        if desired_state.is_held_by_other_connector(each)
    }
    if not conflicting:
        return {}
    metadata = snapshot.connector.metadata
    own = Key.from_metadata(metadata)
    seen: Mapping[str, str] = {}
    try:
        seen = await poller.onboarding_connectors(conflicting)
        # What Resource Graph still shows as ours is older than Defender's word that it is another's.
        seen = {name: holder for name, holder in seen.items() if holder.lower() != snapshot.connector.connector_ref.key}
    except OperatorError as error:
        _log.info("cannot tell who holds organizations", message=error.message)
    told = {name: _told(own, name, seen.get(name), resources) for name in conflicting}
    return {name: holder for name, holder in told.items() if holder}


def _told(own: Key, organization: str, seen: str | None, resources: ResourceCache) -> str | None:
    """What may be said of a holder: whose id Azure gives, or else who says so here.

    The identity that looked may see more than the people of this namespace should.
    """
    here = resources.by_connector_id(seen) if seen else resources.onboarded_by(organization) - {own}
    beside = sorted(key for key in here if key.namespace == own.namespace)
    if here and not beside:
        return _SOMEWHERE_HERE
    if seen or not beside:
        return seen
    body = resources.connector(beside[0]) or {}
    return str((body.get("status") or {}).get("connectorId") or beside[0].name)
