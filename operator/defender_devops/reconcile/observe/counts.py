"""Counts of projects and repositories that Defender has discovered in each organization.

They come from Resource Graph, and from listing where Resource Graph has no row.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from defender_devops.api.azure_types import Counts, DiscoveredCounts
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.connector_cache import OrganizationCounts
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["discovered_counts"]

_log: Final = structlog.get_logger(__name__)


async def discovered_counts(
    snapshot: ConnectorSnapshot,
    state: AzureState,
    visible: DiscoveredCounts,
    counts: OrganizationCounts,
    *,
    connectors: SecurityConnectors,
    now: datetime,
) -> DiscoveredCounts:
    """Return the counts of the onboarded organizations.

    A missing row never means zero. Resource Graph follows with a delay, so listing, which costs a request for each
    project, begins after an interval without a row and is then done once in each interval.

    Args:
        snapshot: the snapshot so far.
        state: what Azure holds.
        visible: the counts that Resource Graph shows.
        counts: the counts kept of this connector; updated.
        connectors: client to list with.
        now: the current time.
    """
    onboarded = state.onboarded
    counts.keep_only(onboarded)
    for key, name in onboarded.items():
        row = visible.by_organization.get(key)
        if row is not None:
            counts.latest[key] = row
            counts.missing_since.pop(key, None)
        elif now - counts.missing_since.setdefault(key, now) >= snapshot.timings.listing_interval:
            counts.missing_since[key] = now
            try:
                listed = await connectors.count(snapshot.connector.connector_ref, name)
            except OperatorError as error:
                _log.warning("counting projects failed", organization=name, message=error.message)
                continue
            if listed is not None:
                counts.latest[key] = listed
    return DiscoveredCounts(_reported_counts(snapshot, onboarded) | counts.latest)


def _reported_counts(snapshot: ConnectorSnapshot, onboarded: dict[str, str]) -> dict[str, Counts]:
    """Return the counts in the statuses: after a restart nothing else is available, and a count must not fall."""
    reported = {}
    for resource in snapshot.organizations:
        key, status = resource.spec.organization.lower(), resource.status
        projects, repositories = status.projects, status.repositories
        if key in onboarded and projects and repositories and projects.discovered is not None:
            reported[key] = Counts(projects.discovered, repositories.discovered or 0)
    return reported
