"""Writes statuses as merge patches against the newest body, and emits the Kubernetes events of changed conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from defender_devops.api.conditions import conditions_of_body
from defender_devops.api.connector_status import ConnectorStatus
from defender_devops.api.organization import OrganizationStatus
from defender_devops.cluster.connectors import Connectors
from defender_devops.cluster.events import Events
from defender_devops.cluster.organizations import Organizations
from defender_devops.errors import KubernetesNotFound
from defender_devops.reconcile.cache.resource_cache import Key, ResourceCache
from defender_devops.reconcile.cache.write_through import WriteThrough
from defender_devops.reconcile.report.merge_patch import merge_patch
from defender_devops.reconcile.report.status_events import status_events

__all__ = ["StatusWriter"]

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """Writes the status of both kinds; a status that is unchanged, or whose resource is deleted, is not written.

    Attributes:
        resources: the newest bodies.
        write_through: stores what was written.
        connectors: writes statuses of connectors.
        organizations: writes statuses of organizations.
        events: emits events.
        operator: `status.operator` of this installation, which the first status of a connector has.
    """

    resources: ResourceCache
    write_through: WriteThrough
    connectors: Connectors
    organizations: Organizations
    events: Events
    operator: Mapping[str, str] = field(default_factory=dict)

    async def write_connector(self, key: Key, status: Mapping[str, Any], *, version: str | None = None) -> None:
        """Write a connector's status.

        Args:
            key: of the resource.
            status: the whole new status.
            version: the resourceVersion that the write has to replace, or None for any.

        Raises:
            KubernetesConflict: the resource has another version, or would be claimed over a newer one.
            KubernetesError: it could not be written.
        """
        live = self.resources.connector(key)
        if live is None:
            return
        patch = merge_patch(live.get("status") or {}, status, ConnectorStatus)
        patch.pop("operator", None)  # OperatorClaims replaces it, over the value that it has read
        if not patch:
            return
        if self.operator and not (live.get("status") or {}).get("operator"):
            # Only over the version without a claim: another installation may have claimed the connector meanwhile.
            patch["operator"] = dict(self.operator)
            version = version or live["metadata"]["resourceVersion"]
        body = await self.connectors.patch_status(key.namespace, key.name, patch, resource_version=version)
        _log.debug("status written", fields=sorted(patch))
        self.write_through.connector(body)
        for event in status_events(conditions_of_body(live), conditions_of_body(body)):
            self.events.emit(body, event.type, event.reason, event.message)

    async def write_organization(self, key: Key, status: Mapping[str, Any]) -> None:
        """Write an organization's status.

        Raises:
            KubernetesError: it could not be written.
        """
        live = self.resources.organization(key)
        if live is None:
            return
        patch = merge_patch(live.get("status") or {}, status, OrganizationStatus)
        if not patch:
            return
        try:
            body = await self.organizations.patch_status(*key, patch)
        except KubernetesNotFound:
            self.write_through.organization_deleted(key)
            return
        _log.debug("status of organization written", organization=key.name, fields=sorted(patch))
        self.write_through.organization(body)
