"""How much of each organization Defender has reported: from Resource Graph, and by listing where that has no row."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog

from defender_devops.api.azure_types import ConnectorRef, Counts, DiscoveredCounts
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.errors import OperatorError
from defender_devops.reconcile.cache.connector_cache import OrganizationCounts
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["inventory"]

_log: Final = structlog.get_logger(__name__)


async def inventory(
    snapshot: ConnectorSnapshot,
    cloud: AzureState,
    shown: DiscoveredCounts,
    counted: OrganizationCounts,
    *,
    connectors: SecurityConnectors,
    now: datetime,
) -> DiscoveredCounts:
    """Counts of the onboarded organizations.

    A missing row never means zero. Resource Graph follows with a delay, so listing, which costs a read for each
    project, waits for a check interval first, and then is done once in each.

    Args:
        snapshot: what is known.
        cloud: its state of Azure.
        shown: what Resource Graph shows.
        counted: what is remembered; it is brought up to date.
        connectors: to list with.
        now: the moment.
    """
    onboarded = {each.name.lower(): each.name for each in cloud.organizations if desired_state.is_onboarded(each)}
    _forget_others(counted, onboarded)
    for key, name in onboarded.items():
        row = shown.by_organization.get(key)
        if row is not None:
            counted.known[key] = row
            counted.missing_since.pop(key, None)
        elif _is_due(snapshot, counted, key, now):
            await _list(snapshot.connector.connector_ref, name, counted, connectors)
    return DiscoveredCounts(_told_before(snapshot, onboarded) | counted.known)


def _forget_others(counted: OrganizationCounts, onboarded: dict[str, str]) -> None:
    for kept in (counted.known, counted.missing_since):
        for key in kept.keys() - onboarded.keys():
            del kept[key]


def _is_due(snapshot: ConnectorSnapshot, counted: OrganizationCounts, key: str, now: datetime) -> bool:
    since = counted.missing_since.setdefault(key, now)
    if now - since < snapshot.timings.check_interval:
        return False
    counted.missing_since[key] = now
    return True


async def _list(ref: ConnectorRef, name: str, counted: OrganizationCounts, connectors: SecurityConnectors) -> None:
    try:
        counts = await connectors.count(ref, name)
    except OperatorError as error:
        _log.info("cannot count", organization=name, message=error.message)
        return
    if counts is not None:
        counted.known[name.lower()] = counts


def _told_before(snapshot: ConnectorSnapshot, onboarded: dict[str, str]) -> dict[str, Counts]:
    """What the statuses say: after a restart nothing else is known, and a count does not fall because of that."""
    told = {}
    for resource in snapshot.organizations:
        key, projects, repositories = (
            resource.spec.organization.lower(),
            resource.status.projects,
            resource.status.repositories,
        )
        if key in onboarded and projects and repositories and projects.discovered is not None:
            told[key] = Counts(projects.discovered, repositories.discovered or 0)
    return told
