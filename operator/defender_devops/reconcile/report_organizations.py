"""The status of each DevOpsOrganization that refers to a connector (pure)."""

from __future__ import annotations

from datetime import datetime

from defender_devops.api.cloud import CloudOrganization, ProvisioningState
from defender_devops.api.conditions import (
    Conditions,
    cut,
    find_condition,
    is_true,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    remove_condition,
    set_condition,
)
from defender_devops.api.connector import Progress, SignInMethod
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile import desired
from defender_devops.reconcile.discovery import Discovery, lags
from defender_devops.reconcile.ownership import refusal
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot
from defender_devops.reconcile.verdict import QUOTED_MAX, Verdict, condition_of
from defender_devops.reconcile.verdicts import prerequisites_verdict

__all__ = ["orphaned", "report_organizations", "report_suspended_organizations"]

Reported = tuple[tuple[DevOpsOrganization, OrganizationStatus], ...]


def report_organizations(
    snapshot: ConnectorSnapshot, connector: Conditions, progress: Discovery | None, now: datetime
) -> Reported:
    """A status for each resource, given the connector's own conditions."""
    deciding, standing = desired.deciding(snapshot.organizations), desired.standing(snapshot)
    reported = []
    for each in snapshot.organizations:
        winner = deciding[each.spec.organization.lower()]
        lost = _conflict(each, winner) if winner.metadata.uid != each.metadata.uid else None
        verdict = lost or _verdict(snapshot, each, standing, connector)
        conditions = _conditions(snapshot, each, standing, progress, now)
        facts = _facts(snapshot, each)
        reported.append((each, _marked(each, verdict, conditions, now).model_copy(update=facts)))
    return tuple(reported)


def report_suspended_organizations(snapshot: ConnectorSnapshot, connector: Conditions, now: datetime) -> Reported:
    """A word to those that nobody has looked at in their present form; the others stay as they are."""
    return tuple(
        (each, _marked(each, _waiting_for(connector), each.status.conditions, now))
        for each in snapshot.organizations
        if each.status.observed_generation != each.metadata.generation
    )


def orphaned(resource: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    """The status of a resource whose connector does not exist.

    One that never had a connector may just have been applied before it; one that has lost it needs a person.
    """
    before = resource.status.conditions
    ready = find_condition(before, ConditionType.READY)
    had_one = ready is not None and ready.reason != Reason.CONNECTOR_NOT_FOUND
    verdict = Verdict(
        "False",
        Reason.CONNECTOR_NOT_FOUND,
        f"There is no AzureDevOpsConnector {resource.spec.connector_ref.name} in this namespace. Create it, or delete "
        "this resource and declare it for another connector.",
        stalls=had_one or is_true(before, ConditionType.STALLED),
    )
    observed = (ConditionType.ONBOARDED, ConditionType.DISCOVERED, ConditionType.PREREQUISITES_MET)
    return _marked(resource, verdict, remove_condition(before, *observed), now)


def _conflict(resource: DevOpsOrganization, winner: DevOpsOrganization) -> Verdict:
    message = (
        f"DevOpsOrganization {winner.metadata.name} is older and decides for {resource.spec.organization}. Delete one "
        "of the two."
    )
    return Verdict("False", Reason.CONFLICT, message, stalls=True)


def _verdict(
    snapshot: ConnectorSnapshot, resource: DevOpsOrganization, standing: desired.Standing, connector: Conditions
) -> Verdict | None:
    """The verdict on Ready; None where nothing is known now and the last word stands."""
    key, name, cloud = resource.spec.organization.lower(), resource.spec.organization, snapshot.cloud
    if not isinstance(cloud, CloudState) or not cloud.is_settled or refusal(snapshot) is not None:
        return _waiting(resource, connector)
    found = desired.found(cloud).get(key)
    if key not in standing.wanted and (found is not None or key in standing.excluded):
        return _left_out(snapshot, name, found, standing)
    if found is None:
        return _not_found(name) if cloud.available else _waiting(resource, connector)
    if desired.is_held_elsewhere(found):
        holder = snapshot.rivals.get(key, "another connector of the tenant")
        message = f"{name} is onboarded by {holder}. Take it out there, or set onboarding to Excluded here."
        return Verdict("False", Reason.HELD_BY_OTHER_CONNECTOR, message, stalls=True)
    if not desired.is_onboarded(found):
        return _not_yet(snapshot, name, found)
    return _covered(name, found, connector)


def _left_out(
    snapshot: ConnectorSnapshot, name: str, found: CloudOrganization | None, standing: desired.Standing
) -> Verdict:
    if found is not None and desired.is_onboarded(found):
        if desired.observes(snapshot):
            return _drifted(f"{name} is onboarded through this connector, although it should not be")
        return Verdict("False", Reason.PROVISIONING, f"{name} is still to be taken out of this connector.")
    if name.lower() in standing.excluded:
        return Verdict("True", Reason.EXCLUDED, f"{name} is kept out of this connector, as asked.")
    message = (
        f"Nobody asked for {name}, so it is not onboarded. Set onboarding to Onboarded here, or mode AllAndFuture on "
        "the connector, to cover it."
    )
    return Verdict("True", Reason.NOT_INCLUDED, message)


def _drifted(what: str) -> Verdict:
    message = f"{what}, and managementPolicy Observe forbids to change that."
    return Verdict("False", Reason.DRIFT_DETECTED, message, stalls=True)


def _not_found(name: str) -> Verdict:
    message = f"The authorizing account sees no organization named {name}. Correct the name, or add the account to it."
    return Verdict("False", Reason.ORGANIZATION_NOT_FOUND, message, stalls=True)


def _not_yet(snapshot: ConnectorSnapshot, name: str, found: CloudOrganization) -> Verdict:
    if desired.observes(snapshot):
        return _drifted(f"{name} is not onboarded")
    words = f": {cut(found.status_message, QUOTED_MAX)}" if found.status_message else ""
    return Verdict("False", Reason.ONBOARDING, f"Defender for Cloud has not onboarded {name} yet{words}.")


def _covered(name: str, found: CloudOrganization, connector: Conditions) -> Verdict:
    lost = find_condition(connector, ConditionType.AUTHORIZED)
    if lost is not None and lost.status == "False":
        return Verdict("False", lost.reason, "Defender's authorization has stopped: see the connector.", stalls=True)
    if found.provisioning_state == ProvisioningState.FAILED:
        words = cut(found.status_message, QUOTED_MAX).rstrip(".") or "Azure does not say why"
        message = f"Defender for Cloud cannot work in {name}: {words}. Mend that; it looks again every 8 hours."
        return Verdict("False", Reason.ONBOARDING, message, stalls=True)
    return Verdict("True", Reason.ONBOARDED, f"Defender for Cloud covers {name}.")


def _waiting(resource: DevOpsOrganization, connector: Conditions) -> Verdict | None:
    """While nothing can be told; what was said about the resource in its present form stands."""
    told = resource.status.observed_generation == resource.metadata.generation
    return None if told and resource.status.conditions else _waiting_for(connector)


def _waiting_for(connector: Conditions) -> Verdict:
    ready = find_condition(connector, ConditionType.READY)
    if ready is None or ready.is_true:
        return Verdict("False", Reason.ONBOARDING, "It is not known yet how Defender for Cloud sees the organization.")
    return Verdict("False", ready.reason, "The connector is not ready yet: see its conditions.")


def _conditions(
    snapshot: ConnectorSnapshot,
    resource: DevOpsOrganization,
    standing: desired.Standing,
    progress: Discovery | None,
    now: datetime,
) -> Conditions:
    key, cloud = resource.spec.organization.lower(), snapshot.cloud
    found = desired.found(cloud).get(key) if isinstance(cloud, CloudState) and cloud.is_settled else None
    conditions = resource.status.conditions
    if snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        conditions = remove_condition(conditions, ConditionType.PREREQUISITES_MET)
    checks = {resource.spec.organization: snapshot.prerequisites[key]} if key in snapshot.prerequisites else {}
    verdicts = {
        ConditionType.ONBOARDED: _onboarded(found, key, standing) if found else None,
        ConditionType.DISCOVERED: _discovered(snapshot, found, progress) if found and progress else None,
        ConditionType.PREREQUISITES_MET: prerequisites_verdict(checks),
    }
    for kind, verdict in verdicts.items():
        if verdict is not None:
            conditions = set_condition(conditions, condition_of(kind, verdict, resource.metadata.generation), now)
    return conditions


def _onboarded(found: CloudOrganization, key: str, standing: desired.Standing) -> Verdict:
    """Its reason is also the memory of who was there when mode All was carried out."""
    if desired.is_onboarded(found):
        return Verdict("True", Reason.ONBOARDED, "Defender for Cloud covers the organization.")
    if key in standing.passed_over:
        return Verdict("False", Reason.NOT_INCLUDED, "Nobody asked for the organization.")
    if key in standing.excluded:
        return Verdict("False", Reason.EXCLUDED, "The organization is kept out.")
    if desired.is_held_elsewhere(found):
        return Verdict("False", Reason.HELD_BY_OTHER_CONNECTOR, "Another connector of the tenant holds it.")
    return Verdict("False", Reason.ONBOARDING, "Defender for Cloud has not onboarded it yet.")


def _discovered(snapshot: ConnectorSnapshot, found: CloudOrganization, progress: Discovery) -> Verdict | None:
    if not desired.is_onboarded(found):
        return None
    key = found.name.lower()
    expected = snapshot.expected.get(key)
    complete = expected is not None and not lags(snapshot.inventory.by_organization.get(key), expected)
    if progress.complete or complete:
        return Verdict("True", Reason.DISCOVERED, "Defender for Cloud has reported what the organization holds.")
    if progress.exceeded and found.name in progress.lagging:
        return Verdict("False", Reason.DEADLINE_EXCEEDED, "Defender for Cloud lags behind the deadline here.")
    return Verdict("False", Reason.DISCOVERING, "Defender for Cloud is still listing projects and repositories.")


def _facts(snapshot: ConnectorSnapshot, resource: DevOpsOrganization) -> dict[str, object]:
    key, cloud = resource.spec.organization.lower(), snapshot.cloud
    without = snapshot.connector.spec.sign_in_method is SignInMethod.NONE
    known = () if without else resource.status.prerequisites
    facts: dict[str, object] = {"prerequisites": snapshot.prerequisites.get(key) or known}
    found = desired.found(cloud).get(key) if isinstance(cloud, CloudState) and cloud.is_settled else None
    if found is not None:
        facts["onboarding_state"] = str(found.onboarding_state)
        facts["conflicting_connector"] = snapshot.rivals.get(key) if desired.is_held_elsewhere(found) else None
        facts["organization_id"] = _organization_id(snapshot, found) if desired.is_onboarded(found) else None
    counts, expected = snapshot.inventory.by_organization.get(key), snapshot.expected.get(key)
    if counts is not None:
        facts["projects"] = Progress(discovered=counts.projects, expected=expected and expected.projects)
        facts["repositories"] = Progress(discovered=counts.repositories, expected=expected and expected.repositories)
    return facts


def _organization_id(snapshot: ConnectorSnapshot, found: CloudOrganization) -> str:
    return f"{snapshot.connector.connector_ref.id}/devops/default/azureDevOpsOrgs/{found.name}"


def _marked(
    resource: DevOpsOrganization, verdict: Verdict | None, conditions: Conditions, now: datetime
) -> OrganizationStatus:
    generation = resource.metadata.generation
    if verdict is None:
        return resource.status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    mark = mark_ready if verdict.holds else (mark_stalled if verdict.stalls else mark_reconciling)
    marked = mark(conditions, reason=verdict.reason, message=verdict.message, generation=generation, now=now)
    return resource.status.model_copy(update={"conditions": marked, "observed_generation": generation})
