"""What Azure holds for a connector after the operator's start, without a request to Azure Resource Manager.

A settled connector was Ready by its present spec when the process before ended. Its organizations and their states are
in statuses, and Resource Graph shows what changed since. So a start costs one query for all connectors of an identity,
where reading them would cost four requests each. The recalled state is a hint like every view of Resource Graph: where
it does not agree with the statuses (`reconcile/report/report.py`), or where something is to be written, everything is
read from Azure Resource Manager.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from defender_devops.api.azure_types import AzureOrganization, ProvisioningState
from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.reasons import ConditionType
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.azure.resource_graph.rows import ConnectorView
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["is_settled", "last_check_time", "recall_state"]


def is_settled(connector: AzureDevOpsConnector) -> bool:
    """Whether a connector was Ready by its present spec at the last reconcile, and nothing was requested since."""
    generation, status = connector.metadata.generation, connector.status
    ready = find_condition(status.conditions, ConditionType.READY)
    return (
        not connector.metadata.is_deleting
        and not connector.spec.suspend
        and not connector.is_reconcile_requested
        and status.connector_id is not None
        and ready is not None
        and ready.is_true
        and generation == status.observed_generation == ready.observed_generation
    )


def recall_state(
    base: ConnectorSnapshot, view: ConnectorView, *, needs_readers: bool, now: datetime, probe_interval: timedelta
) -> AzureState | None:
    """Return what Azure holds, by statuses and Resource Graph; None where these do not suffice.

    Args:
        base: what the cluster holds.
        view: the row of the connector.
        needs_readers: whether the role assignments at the connector's scope are needed.
        now: the current time.
        probe_interval: between two checks of the authorization.
    """
    connector, configuration = base.connector, view.configuration
    code = base.code.sha256
    is_sufficient = (
        is_settled(connector)
        and (code is None or code in used_code_hashes(connector.status.authorization))
        and configuration is not None
        and configuration.provisioning_state == ProvisioningState.SUCCEEDED
        and not any(organization.is_in_progress for organization in view.organizations)
        and (view.readers is not None or not needs_readers)
        and ownership_conflict(base, view.connector) is None
    )
    if not is_sufficient:
        return None
    return AzureState(
        connector=view.connector,
        configuration=configuration,
        organizations=view.organizations,
        available=_available_organizations(base, view),
        probed_at=last_check_time(connector.metadata.uid, now, probe_interval),
        readers=view.readers if needs_readers else None,
        is_recalled=True,
    )


def _available_organizations(base: ConnectorSnapshot, view: ConnectorView) -> tuple[AzureOrganization, ...] | None:
    """Return the organizations that the last check listed; None if statuses do not have all of them.

    With mode Selected, an organization that is neither selected nor onboarded has no resource and so no status.
    """
    organizations = {organization.name.lower(): organization for organization in view.organizations}
    for resource in base.organizations:
        name, state = resource.spec.organization, resource.status.onboarding_state
        if state is not None:
            organizations.setdefault(name.lower(), AzureOrganization(name, state))
    discovery = base.connector.status.discovery
    counts = discovery.organizations if discovery is not None else None
    is_complete = counts is not None and counts.available == len(organizations)
    return tuple(organizations.values()) if is_complete else None


def last_check_time(uid: str, now: datetime, interval: timedelta) -> datetime:
    """Return the last of the times at which the authorization of a connector is due to be checked.

    They are an interval apart, at a phase that follows from the uid: after a start the checks of a thousand connectors
    are spread over the interval, and a process that is restarted again and again still makes them. No status has the
    time of the last check, because it would be written with every one.
    """
    seconds = interval.total_seconds()
    phase = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8]) / 2**64 * seconds
    elapsed = (now.timestamp() - phase) % seconds
    return datetime.fromtimestamp(now.timestamp() - elapsed, UTC)
