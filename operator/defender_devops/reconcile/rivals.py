"""Who holds the organizations that another connector of the tenant has onboarded."""

from __future__ import annotations

from typing import Final

import structlog

from defender_devops.azure.watcher import CloudWatcher
from defender_devops.errors import OperatorError
from defender_devops.reconcile import desired
from defender_devops.reconcile.resources import Key, Resources
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = ["rivals"]

_log: Final = structlog.get_logger(__name__)

_SOMEWHERE_HERE: Final = "another connector of this cluster"
"""All that is said of a connector of another namespace: who may read this one need not know that one."""


async def rivals(
    snapshot: ConnectorSnapshot, cloud: CloudState, resources: Resources, watcher: CloudWatcher
) -> dict[str, str]:
    """The holder of each conflicting organization, by name in lower case; unknown ones are missing."""
    conflicting = {key for key, each in desired.found(cloud).items() if desired.is_held_elsewhere(each)}
    if not conflicting:
        return {}
    metadata = snapshot.connector.metadata
    own = Key(metadata.namespace, metadata.name)
    here = {name: _in_cluster(own, name, resources) for name in conflicting}
    try:
        seen = await watcher.holders(conflicting)
    except OperatorError as error:
        _log.info("cannot tell who holds organizations", message=error.message)
        seen = {}
    return {name: holder for name in conflicting if (holder := seen.get(name) or here[name])}


def _in_cluster(own: Key, organization: str, resources: Resources) -> str | None:
    others = resources.holders(organization) - {own}
    for key in sorted(others):
        if key.namespace == own.namespace:
            body = resources.connector(key) or {}
            return str((body.get("status") or {}).get("connectorId") or key.name)
    return _SOMEWHERE_HERE if others else None
