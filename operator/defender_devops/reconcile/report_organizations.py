"""The status of each DevOpsOrganization that refers to a connector (pure)."""

from __future__ import annotations

from datetime import datetime

from defender_devops.api.cloud import CloudOrganization
from defender_devops.api.conditions import (
    Condition,
    Conditions,
    find_condition,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    set_condition,
)
from defender_devops.api.connector import Progress
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile import desired
from defender_devops.reconcile.discovery import Discovery
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot
from defender_devops.reconcile.verdicts import Verdict, prerequisites_verdict

__all__ = ["orphaned", "report_organizations"]


def report_organizations(
    snapshot: ConnectorSnapshot, connector: Conditions, progress: Discovery | None, now: datetime
) -> tuple[tuple[DevOpsOrganization, OrganizationStatus], ...]:
    """A status for each resource, given the connector's own conditions."""
    deciding = desired.deciding(snapshot.organizations)
    wanted = desired.organizations(snapshot)
    return tuple(
        (each, _status(snapshot, each, _verdict(snapshot, each, deciding, wanted, connector), progress, now))
        for each in snapshot.organizations
    )


def orphaned(resource: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    """The status of a resource whose connector does not exist."""
    verdict = Verdict(
        "False",
        Reason.CONNECTOR_NOT_FOUND,
        f"There is no AzureDevOpsConnector {resource.spec.connector_ref.name} in this namespace. Create it, or delete "
        "this resource and declare it for another connector.",
        stalls=True,
    )
    return _marked(resource, verdict, resource.status.conditions, now)


def _verdict(
    snapshot: ConnectorSnapshot,
    resource: DevOpsOrganization,
    deciding: dict[str, DevOpsOrganization],
    wanted: desired.Organizations,
    connector: Conditions,
) -> Verdict | None:
    """The verdict on Ready; None where nothing is known now and the last word stands."""
    key, name = resource.spec.organization.lower(), resource.spec.organization
    winner = deciding[key]
    if winner.metadata.uid != resource.metadata.uid:
        message = f"DevOpsOrganization {winner.metadata.name} is older and decides for {name}. Delete one of the two."
        return Verdict("False", Reason.CONFLICT, message, stalls=True)
    cloud = snapshot.cloud
    if not isinstance(cloud, CloudState) or cloud.configuration is None:
        return _waiting(resource, connector)
    found = desired.found(cloud).get(key)
    if key in wanted.excluded or (found and key not in wanted.named and _is_left_out(snapshot, found)):
        return Verdict("True", Reason.EXCLUDED, f"{name} is not onboarded through this connector, as asked.")
    return _seen(snapshot, name, found, cloud, connector)


def _is_left_out(snapshot: ConnectorSnapshot, found: CloudOrganization) -> bool:
    """Whether nobody asked for it: not named with Selected, or come up later with All."""
    if desired.is_onboarded(found) or desired.is_held_elsewhere(found):
        return False
    inventory = desired.organizations(snapshot).inventory
    return inventory is not None and found.name.lower() not in {each.lower() for each in inventory}


def _seen(
    snapshot: ConnectorSnapshot,
    name: str,
    found: CloudOrganization | None,
    cloud: CloudState,
    connector: Conditions,
) -> Verdict | None:
    if found is None:
        if not cloud.available:
            return _waiting_for(connector)
        message = (
            f"The authorizing account sees no organization named {name}. Correct the name, or add the account to it."
        )
        return Verdict("False", Reason.ORGANIZATION_NOT_FOUND, message, stalls=True)
    if desired.is_held_elsewhere(found):
        holder = snapshot.rivals.get(name.lower(), "another connector of the tenant")
        message = f"{name} is onboarded by {holder}. Take it out there, or set onboarding to Excluded here."
        return Verdict("False", Reason.HELD_BY_OTHER_CONNECTOR, message, stalls=True)
    if not desired.is_onboarded(found):
        return Verdict("False", Reason.ONBOARDING, f"Defender for Cloud has not onboarded {name} yet.")
    lost = find_condition(connector, ConditionType.AUTHORIZED)
    if lost is not None and lost.status == "False":
        return Verdict("False", lost.reason, "Defender's authorization has stopped: see the connector.", stalls=True)
    return Verdict("True", Reason.ONBOARDED, f"Defender for Cloud covers {name}.")


def _waiting(resource: DevOpsOrganization, connector: Conditions) -> Verdict | None:
    """Before the connector is there; one that was told of before keeps its last word."""
    return None if resource.status.conditions else _waiting_for(connector)


def _waiting_for(connector: Conditions) -> Verdict:
    ready = find_condition(connector, ConditionType.READY)
    reason = ready.reason if ready is not None and not ready.is_true else Reason.ONBOARDING
    return Verdict("False", reason, "The connector is not ready yet: see its conditions.")


def _status(
    snapshot: ConnectorSnapshot,
    resource: DevOpsOrganization,
    verdict: Verdict | None,
    progress: Discovery | None,
    now: datetime,
) -> OrganizationStatus:
    key = resource.spec.organization.lower()
    conditions = resource.status.conditions
    cloud = snapshot.cloud
    found = desired.found(cloud).get(key) if isinstance(cloud, CloudState) else None
    if found is not None:
        conditions = _set(conditions, ConditionType.ONBOARDED, _onboarded(found), resource, now)
        if progress is not None and desired.is_onboarded(found):
            conditions = _set(conditions, ConditionType.DISCOVERED, _discovered(found, progress), resource, now)
    checks = snapshot.prerequisites.get(key, ())
    if checks:
        conditions = _set(
            conditions,
            ConditionType.PREREQUISITES_MET,
            prerequisites_verdict({resource.spec.organization: checks}),
            resource,
            now,
        )
    status = _marked(resource, verdict, conditions, now)
    return status.model_copy(update=_facts(snapshot, resource, found, key))


def _facts(
    snapshot: ConnectorSnapshot, resource: DevOpsOrganization, found: CloudOrganization | None, key: str
) -> dict[str, object]:
    facts: dict[str, object] = {"prerequisites": snapshot.prerequisites.get(key) or resource.status.prerequisites}
    if found is not None:
        facts["onboarding_state"] = str(found.onboarding_state)
        facts["conflicting_connector"] = snapshot.rivals.get(key) if desired.is_held_elsewhere(found) else None
    counts, expected = snapshot.inventory.by_organization.get(key), snapshot.expected.get(key)
    if counts is not None:
        facts["projects"] = Progress(discovered=counts.projects, expected=expected.projects if expected else None)
        facts["repositories"] = Progress(
            discovered=counts.repositories, expected=expected.repositories if expected else None
        )
    return facts


def _onboarded(found: CloudOrganization) -> Verdict:
    if desired.is_onboarded(found):
        return Verdict("True", Reason.ONBOARDED, "Defender for Cloud covers the organization.")
    if desired.is_held_elsewhere(found):
        return Verdict("False", Reason.HELD_BY_OTHER_CONNECTOR, "Another connector of the tenant holds it.")
    return Verdict("False", Reason.EXCLUDED, "The organization is not onboarded.")


def _discovered(found: CloudOrganization, progress: Discovery) -> Verdict:
    if progress.complete:
        return Verdict("True", Reason.DISCOVERED, "Defender for Cloud has reported what the organization holds.")
    if progress.exceeded and found.name in progress.lagging:
        return Verdict("False", Reason.DEADLINE_EXCEEDED, "Defender for Cloud lags behind the deadline here.")
    return Verdict("False", Reason.DISCOVERING, "Defender for Cloud is still listing projects and repositories.")


def _set(
    conditions: Conditions, kind: str, verdict: Verdict | None, resource: DevOpsOrganization, now: datetime
) -> Conditions:
    if verdict is None:
        return conditions
    new = Condition(
        type=kind,
        status=verdict.status,
        observed_generation=resource.metadata.generation,
        reason=verdict.reason,
        message=verdict.message,
    )
    return set_condition(conditions, new, now)


def _marked(
    resource: DevOpsOrganization, verdict: Verdict | None, conditions: Conditions, now: datetime
) -> OrganizationStatus:
    generation = resource.metadata.generation
    if verdict is None:
        return resource.status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    mark = mark_ready if verdict.holds else (mark_stalled if verdict.stalls else mark_reconciling)
    marked = mark(conditions, reason=verdict.reason, message=verdict.message, generation=generation, now=now)
    return resource.status.model_copy(update={"conditions": marked, "observed_generation": generation})
