"""The status of each DevOpsOrganization that refers to a connector (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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

_GONE = Verdict("False", Reason.CONNECTOR_NOT_FOUND, "The connector that covered the organization is gone.")

Reported = tuple[tuple[DevOpsOrganization, OrganizationStatus], ...]


@dataclass(frozen=True, slots=True)
class _View:
    """What the statuses of all organizations of a connector rest on.

    Attributes:
        snapshot: what is known.
        found: the organizations that Azure told of, by name in lower case; empty while that is not known.
        standing: what is to become of each.
        connector: the connector's own conditions.
        progress: of discovery, where it is known.
    """

    snapshot: ConnectorSnapshot
    found: Mapping[str, CloudOrganization]
    standing: desired.Standing
    connector: Conditions
    progress: Discovery | None

    @property
    def is_bare(self) -> bool:
        """Whether there is known to be nothing in Azure that could cover an organization."""
        cloud = self.snapshot.cloud
        return isinstance(cloud, CloudState) and cloud.configuration is None and refusal(self.snapshot) is None


def report_organizations(
    snapshot: ConnectorSnapshot, connector: Conditions, progress: Discovery | None, now: datetime
) -> Reported:
    """A status for each resource, given the connector's own conditions."""
    cloud, deciding = snapshot.cloud, desired.deciding(snapshot.organizations)
    found = desired.found(cloud) if isinstance(cloud, CloudState) and cloud.is_settled else {}
    view = _View(snapshot, found, desired.standing(snapshot), connector, progress)
    return tuple((each, _status(view, each, deciding[_key(each)], now)) for each in snapshot.organizations)


def _key(resource: DevOpsOrganization) -> str:
    return resource.spec.organization.lower()


def _status(view: _View, resource: DevOpsOrganization, winner: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    won = winner.metadata.uid == resource.metadata.uid
    verdict = _verdict(view, resource) if won else _conflict(resource, winner)
    marked = _marked(resource, verdict, _conditions(view, resource, now), now)
    return marked.model_copy(update=_facts(view, resource))


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


def _verdict(view: _View, resource: DevOpsOrganization) -> Verdict | None:
    """The verdict on Ready; None where nothing is known now and the last word stands."""
    cloud = view.snapshot.cloud
    if view.is_bare and _key(resource) not in view.standing.excluded:
        return replace(_waiting_for(view.connector), stalls=is_true(view.connector, ConditionType.STALLED))
    if not isinstance(cloud, CloudState) or not cloud.is_settled or refusal(view.snapshot) is not None:
        return _waiting(resource, view.connector)
    return _judged(view, resource, told=bool(cloud.available))


def _judged(view: _View, resource: DevOpsOrganization, *, told: bool) -> Verdict | None:
    """The verdict by what Azure shows; `told` says whether it gave all that the authorization sees."""
    key, name = _key(resource), resource.spec.organization
    found = view.found.get(key)
    if key not in view.standing.wanted and (found is not None or key in view.standing.excluded):
        return _left_out(view, name, found)
    if found is None:
        return _not_found(name) if told else _waiting(resource, view.connector)
    if desired.is_held_elsewhere(found):
        holder = view.snapshot.rivals.get(key, "another connector of the tenant")
        message = f"{name} is onboarded by {holder}. Take it out there, or set onboarding to Excluded here."
        return Verdict("False", Reason.HELD_BY_OTHER_CONNECTOR, message, stalls=True)
    if not desired.is_onboarded(found):
        return _not_yet(view.snapshot, name, found)
    return _covered(name, found, view.connector)


def _left_out(view: _View, name: str, found: CloudOrganization | None) -> Verdict:
    if found is not None and desired.is_onboarded(found):
        if desired.observes(view.snapshot):
            return _drifted(f"{name} is onboarded through this connector, although it should not be")
        return Verdict("False", Reason.PROVISIONING, f"{name} is still to be taken out of this connector.")
    if name.lower() in view.standing.excluded:
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
    """While nothing can be told; what was said about the resource in its present form stands.

    Unless it was that it has no connector.
    """
    told = resource.status.observed_generation == resource.metadata.generation
    last = find_condition(resource.status.conditions, ConditionType.READY) if told else None
    return None if last and last.reason != Reason.CONNECTOR_NOT_FOUND else _waiting_for(connector)


def _waiting_for(connector: Conditions) -> Verdict:
    ready = find_condition(connector, ConditionType.READY)
    if ready is None or ready.is_true:
        return Verdict("False", Reason.ONBOARDING, "It is not known yet how Defender for Cloud sees the organization.")
    return Verdict("False", ready.reason, "The connector is not ready yet: see its conditions.")


def _conditions(view: _View, resource: DevOpsOrganization, now: datetime) -> Conditions:
    key, prerequisites = _key(resource), view.snapshot.prerequisites
    conditions, found = resource.status.conditions, view.found.get(key)
    if view.snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        conditions = remove_condition(conditions, ConditionType.PREREQUISITES_MET)
    checks = {resource.spec.organization: prerequisites[key]} if key in prerequisites else {}
    gone = _GONE if view.is_bare and is_true(conditions, ConditionType.ONBOARDED) else None
    verdicts = {
        ConditionType.ONBOARDED: _onboarded(found, key, view.standing) if found else gone,
        ConditionType.DISCOVERED: _discovered(view, found) if found else None,
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


def _discovered(view: _View, found: CloudOrganization) -> Verdict | None:
    progress, key = view.progress, found.name.lower()
    if progress is None or not desired.is_onboarded(found):
        return None
    expected = view.snapshot.expected.get(key)
    complete = expected is not None and not lags(view.snapshot.inventory.by_organization.get(key), expected)
    if progress.complete or complete:
        return Verdict("True", Reason.DISCOVERED, "Defender for Cloud has reported what the organization holds.")
    if progress.exceeded and found.name in progress.lagging:
        return Verdict("False", Reason.DEADLINE_EXCEEDED, "Defender for Cloud lags behind the deadline here.")
    return Verdict("False", Reason.DISCOVERING, "Defender for Cloud is still listing projects and repositories.")


def _facts(view: _View, resource: DevOpsOrganization) -> dict[str, object]:
    key, snapshot = _key(resource), view.snapshot
    without = snapshot.connector.spec.sign_in_method is SignInMethod.NONE
    known = () if without else resource.status.prerequisites
    facts: dict[str, object] = {"prerequisites": snapshot.prerequisites.get(key) or known}
    found = view.found.get(key)
    if view.is_bare:
        facts |= dict.fromkeys(("onboarding_state", "conflicting_connector", "organization_id"))
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
