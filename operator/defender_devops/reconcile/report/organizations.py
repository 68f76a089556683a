"""The status of each DevOpsOrganization that refers to a connector (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.azure_types import AzureOrganization, ProvisioningState
from defender_devops.api.conditions import (
    Conditions,
    find_condition,
    is_true,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    remove_condition,
    set_condition,
    truncate,
)
from defender_devops.api.connector import Progress, SignInMethod
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.report.azure_conditions import prerequisites_verdict
from defender_devops.reconcile.report.condition_result import QUOTED_MAX, ConditionResult, condition_of
from defender_devops.reconcile.report.discovery_progress import Discovery, lags

__all__ = ["report_missing_connector", "report_organizations", "report_unobserved_organizations"]

_GONE = ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, "The connector that covered the organization is gone.")
_OUT_OF_SIGHT = ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, "Azure tells of no such organization any more.")

_NOT_KNOWN = ConditionResult(
    "False", Reason.ONBOARDING, "It is not known yet how Defender for Cloud sees the organization."
)

_SEE_CONNECTOR = "The connector is not ready yet: see its conditions."
_NOT_OF_AZURE = frozenset({Reason.CONNECTOR_NOT_FOUND, Reason.CONFLICT})
"""Reasons of what was said for what stands in the cluster: it never outlives that."""

_COVERAGE = ("onboarding_state", "conflicting_connector", "organization_id")
_COUNTS = ("projects", "repositories")

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
        is_refused: the connector in Azure is none of this resource's business.
    """

    snapshot: ConnectorSnapshot
    found: Mapping[str, AzureOrganization]
    standing: desired_state.OrganizationSelection
    connector: Conditions
    progress: Discovery | None
    is_refused: bool

    @property
    def is_bare(self) -> bool:
        """Whether there is known to be nothing in Azure that could cover an organization."""
        cloud = self.snapshot.cloud
        return isinstance(cloud, AzureState) and cloud.configuration is None and not self.is_refused

    @property
    def is_read(self) -> bool:
        """Whether it is known what is below the connector."""
        cloud = self.snapshot.cloud
        return isinstance(cloud, AzureState) and cloud.is_settled and not self.is_refused

    def is_known_uncovered(self, key: str) -> bool:
        """Whether this connector is known not to hold an organization."""
        found = self.found.get(key)
        return self.is_bare or (self.is_read and (found is None or not desired_state.is_onboarded(found)))


def report_organizations(
    snapshot: ConnectorSnapshot, connector: Conditions, progress: Discovery | None, now: datetime
) -> Reported:
    """A status for each resource, given the connector's own conditions."""
    cloud, effective_overrides = snapshot.cloud, desired_state.effective_overrides(snapshot.organizations)
    refused = ownership_conflict(snapshot) is not None
    found = (
        desired_state.azure_organizations(cloud)
        if isinstance(cloud, AzureState) and cloud.is_settled and not refused
        else {}
    )
    view = _View(snapshot, found, desired_state.organization_selection(snapshot), connector, progress, refused)
    return tuple((each, _status(view, each, effective_overrides[_key(each)], now)) for each in snapshot.organizations)


def _key(resource: DevOpsOrganization) -> str:
    return resource.spec.organization.lower()


def _status(view: _View, resource: DevOpsOrganization, winner: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    won = winner.metadata.uid == resource.metadata.uid
    verdict = _verdict(view, resource) if won else _conflict(resource, winner)
    marked = _marked(resource, verdict, _conditions(view, resource, now), now)
    return marked.model_copy(update=_facts(view, resource))


def report_unobserved_organizations(
    organizations: Iterable[DevOpsOrganization], connector: Conditions, now: datetime
) -> Reported:
    """A word to those of whom nothing that holds was said, while nobody looks at Azure; the others stay as they are."""
    organizations = tuple(organizations)
    effective_overrides = desired_state.effective_overrides(organizations)
    told = ((each, _unread(each, effective_overrides[_key(each)], connector)) for each in organizations)
    return tuple(
        (each, _marked(each, verdict, each.status.conditions, now)) for each, verdict in told if verdict is not None
    )


def _unread(resource: DevOpsOrganization, winner: DevOpsOrganization, connector: Conditions) -> ConditionResult | None:
    won = winner.metadata.uid == resource.metadata.uid
    return _waiting(resource, connector) if won else _conflict(resource, winner)


def report_missing_connector(resource: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    """The status of a resource whose connector does not exist.

    One that never had a connector may just have been applied before it; one that has lost it needs a person.
    """
    before = resource.status.conditions
    ready = find_condition(before, ConditionType.READY)
    had_one = ready is not None and ready.reason != Reason.CONNECTOR_NOT_FOUND
    verdict = ConditionResult(
        "False",
        Reason.CONNECTOR_NOT_FOUND,
        f"There is no AzureDevOpsConnector {resource.spec.connector_ref.name} in this namespace. Create it, or delete "
        "this resource and declare it for another connector.",
        needs_user_action=had_one or is_true(before, ConditionType.STALLED),
    )
    observed = (ConditionType.ONBOARDED, ConditionType.DISCOVERED, ConditionType.PREREQUISITES_MET)
    status = _marked(resource, verdict, remove_condition(before, *observed), now)
    return status.model_copy(update={**dict.fromkeys((*_COVERAGE, *_COUNTS)), "prerequisites": ()})


def _conflict(resource: DevOpsOrganization, winner: DevOpsOrganization) -> ConditionResult:
    message = (
        f"DevOpsOrganization {winner.metadata.name} is older and decides for {resource.spec.organization}. Delete one "
        "of the two."
    )
    return ConditionResult("False", Reason.CONFLICT, message, needs_user_action=True)


def _verdict(view: _View, resource: DevOpsOrganization) -> ConditionResult | None:
    """The verdict on Ready; None where nothing is known now and the last word stands."""
    if view.is_bare and _key(resource) in view.standing.excluded:
        return _left_out(view, resource.spec.organization, None)
    if view.is_bare or view.is_refused:
        return _waiting_for(view.connector)
    return _judged(view, resource) if view.is_read else _waiting(resource, view.connector)


def _judged(view: _View, resource: DevOpsOrganization) -> ConditionResult | None:
    """The verdict by what Azure shows."""
    key, name, cloud = _key(resource), resource.spec.organization, view.snapshot.cloud
    found = view.found.get(key)
    if key not in view.standing.wanted and (found is not None or key in view.standing.excluded):
        return _left_out(view, name, found)
    if found is None:
        told_all = isinstance(cloud, AzureState) and bool(cloud.available)
        return _not_found(name) if told_all else _unseen(resource, view.connector)
    if desired_state.is_held_by_other_connector(found):
        holder = view.snapshot.conflicting_connectors.get(key, "another connector of the tenant")
        message = f"{name} is onboarded by {holder}. Take it out there, or set onboarding to Excluded here."
        return ConditionResult("False", Reason.HELD_BY_OTHER_CONNECTOR, message, needs_user_action=True)
    if not desired_state.is_onboarded(found):
        return _not_yet(view, name, found)
    return _covered(name, found, view.connector)


def _left_out(view: _View, name: str, found: AzureOrganization | None) -> ConditionResult:
    if found is not None and desired_state.is_onboarded(found):
        if desired_state.is_observe_only(view.snapshot):
            return _drifted(f"{name} is onboarded through this connector, although it should not be")
        still = ConditionResult("False", Reason.PROVISIONING, f"{name} is still to be taken out of this connector.")
        return _unauthorized(view.connector) or still
    if name.lower() in view.standing.excluded:
        return ConditionResult("True", Reason.EXCLUDED, f"{name} is kept out of this connector, as asked.")
    message = (
        f"Nobody asked for {name}, so it is not onboarded. Set onboarding to Onboarded here, or mode AllAndFuture on "
        "the connector, to cover it."
    )
    return ConditionResult("True", Reason.NOT_INCLUDED, message)


def _drifted(what: str) -> ConditionResult:
    message = f"{what}, and managementPolicy Observe forbids to change that."
    return ConditionResult("False", Reason.DRIFT_DETECTED, message, needs_user_action=True)


def _not_found(name: str) -> ConditionResult:
    message = f"The authorizing account sees no organization named {name}. Correct the name, or add the account to it."
    return ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=True)


def _not_yet(view: _View, name: str, found: AzureOrganization) -> ConditionResult:
    if desired_state.is_observe_only(view.snapshot):
        return _drifted(f"{name} is not onboarded")
    words = f": {truncate(found.status_message, QUOTED_MAX)}" if found.status_message else ""
    return _unauthorized(view.connector) or ConditionResult(
        "False", Reason.ONBOARDING, f"Defender for Cloud has not onboarded {name} yet{words}."
    )


def _covered(name: str, found: AzureOrganization, connector: Conditions) -> ConditionResult:
    unauthorized = _unauthorized(connector)
    if unauthorized is not None:
        return unauthorized
    if found.provisioning_state == ProvisioningState.FAILED:
        words = truncate(found.status_message, QUOTED_MAX).rstrip(".") or "Azure does not say why"
        message = f"Defender for Cloud cannot work in {name}: {words}. Mend that; it looks again every 8 hours."
        return ConditionResult("False", Reason.ONBOARDING, message, needs_user_action=True)
    return ConditionResult("True", Reason.ONBOARDED, f"Defender for Cloud covers {name}.")


def _unauthorized(connector: Conditions) -> ConditionResult | None:
    """The verdict while Defender can do nothing, neither take an organization in nor out; None where it can."""
    lost = find_condition(connector, ConditionType.AUTHORIZED)
    if lost is None or lost.status != "False":
        return None
    return ConditionResult(
        "False", lost.reason, "Defender's authorization has stopped: see the connector.", needs_user_action=True
    )


def _unseen(resource: DevOpsOrganization, connector: Conditions) -> ConditionResult | None:
    """Of what is not below the connector, while nobody tells what else there is."""
    if is_true(resource.status.conditions, ConditionType.ONBOARDED):
        return _unauthorized(connector) or _NOT_KNOWN
    return _waiting(resource, connector)


def _waiting(resource: DevOpsOrganization, connector: Conditions) -> ConditionResult | None:
    """While nothing can be told; what was said about the resource in its present form stands.

    Unless it was about what stands in the cluster: no connector, two for one, what the connector itself said.
    """
    told = resource.status.observed_generation == resource.metadata.generation
    last = find_condition(resource.status.conditions, ConditionType.READY) if told else None
    stands = last is not None and last.reason not in _NOT_OF_AZURE and last.message != _SEE_CONNECTOR
    return None if stands else _waiting_for(connector)


def _waiting_for(connector: Conditions) -> ConditionResult:
    ready = find_condition(connector, ConditionType.READY)
    if ready is None or (ready.is_true and ready.reason != Reason.SUSPENDED):
        return _NOT_KNOWN
    return ConditionResult(
        "False", ready.reason, _SEE_CONNECTOR, needs_user_action=is_true(connector, ConditionType.STALLED)
    )


def _conditions(view: _View, resource: DevOpsOrganization, now: datetime) -> Conditions:
    key, prerequisites = _key(resource), view.snapshot.prerequisites
    conditions, found = resource.status.conditions, view.found.get(key)
    if view.snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        conditions = remove_condition(conditions, ConditionType.PREREQUISITES_MET)
    if view.is_known_uncovered(key):
        conditions = remove_condition(conditions, ConditionType.DISCOVERED)
    checks = {resource.spec.organization: prerequisites[key]} if key in prerequisites else {}
    verdicts = {
        ConditionType.ONBOARDED: _onboarded(found, key, view.standing) if found else _lost(view, conditions),
        ConditionType.DISCOVERED: _discovered(view, found) if found else None,
        ConditionType.PREREQUISITES_MET: prerequisites_verdict(checks),
    }
    for kind, verdict in verdicts.items():
        conditions = _set(conditions, kind, verdict, resource.metadata.generation, now)
    return conditions


def _set(
    conditions: Conditions, kind: str, verdict: ConditionResult | None, generation: int, now: datetime
) -> Conditions:
    """Set a condition; where nothing is known now the last word stands, for this generation too."""
    if verdict is not None:
        return set_condition(conditions, condition_of(kind, verdict, generation), now)
    last = find_condition(conditions, kind)
    if last is None:
        return conditions
    return set_condition(conditions, last.model_copy(update={"observed_generation": generation}), now)


def _lost(view: _View, conditions: Conditions) -> ConditionResult | None:
    """Of what was covered and is not to be seen any more."""
    if not is_true(conditions, ConditionType.ONBOARDED):
        return None
    if view.is_bare:
        return _GONE
    return _OUT_OF_SIGHT if view.is_read else None


def _onboarded(found: AzureOrganization, key: str, standing: desired_state.OrganizationSelection) -> ConditionResult:
    """Its reason is also the memory of who was there when mode All was carried out."""
    if desired_state.is_onboarded(found):
        return ConditionResult("True", Reason.ONBOARDED, "Defender for Cloud covers the organization.")
    if key in standing.not_selected:
        return ConditionResult("False", Reason.NOT_INCLUDED, "Nobody asked for the organization.")
    if key in standing.excluded:
        return ConditionResult("False", Reason.EXCLUDED, "The organization is kept out.")
    if desired_state.is_held_by_other_connector(found):
        return ConditionResult("False", Reason.HELD_BY_OTHER_CONNECTOR, "Another connector of the tenant holds it.")
    return ConditionResult("False", Reason.ONBOARDING, "Defender for Cloud has not onboarded it yet.")


def _discovered(view: _View, found: AzureOrganization) -> ConditionResult | None:
    progress, key = view.progress, found.name.lower()
    if progress is None or not desired_state.is_onboarded(found):
        return None
    expected = view.snapshot.expected.get(key)
    complete = expected is not None and not lags(view.snapshot.inventory.by_organization.get(key), expected)
    if progress.complete or complete:
        return ConditionResult(
            "True", Reason.DISCOVERED, "Defender for Cloud has reported what the organization holds."
        )
    if progress.exceeded and found.name in progress.lagging:
        return ConditionResult("False", Reason.DEADLINE_EXCEEDED, "Defender for Cloud lags behind the deadline here.")
    return ConditionResult(
        "False", Reason.DISCOVERING, "Defender for Cloud is still listing projects and repositories."
    )


def _facts(view: _View, resource: DevOpsOrganization) -> dict[str, object]:
    key, snapshot = _key(resource), view.snapshot
    without = snapshot.connector.spec.sign_in_method is SignInMethod.NONE
    known = () if without else resource.status.prerequisites
    facts: dict[str, object] = {"prerequisites": snapshot.prerequisites.get(key) or known}
    found = view.found.get(key)
    if view.is_known_uncovered(key):
        facts |= dict.fromkeys((*_COVERAGE, *_COUNTS))
    if found is not None:
        facts["onboarding_state"] = str(found.onboarding_state)
        facts["conflicting_connector"] = (
            snapshot.conflicting_connectors.get(key) if desired_state.is_held_by_other_connector(found) else None
        )
        facts["organization_id"] = _organization_id(snapshot, found) if desired_state.is_onboarded(found) else None
    counts, expected = snapshot.inventory.by_organization.get(key), snapshot.expected.get(key)
    if counts is not None:
        facts["projects"] = Progress(discovered=counts.projects, expected=expected and expected.projects)
        facts["repositories"] = Progress(discovered=counts.repositories, expected=expected and expected.repositories)
    return facts


def _organization_id(snapshot: ConnectorSnapshot, found: AzureOrganization) -> str:
    return f"{snapshot.connector.connector_ref.id}/devops/default/azureDevOpsOrgs/{found.name}"


def _marked(
    resource: DevOpsOrganization, verdict: ConditionResult | None, conditions: Conditions, now: datetime
) -> OrganizationStatus:
    generation = resource.metadata.generation
    if verdict is None:
        return resource.status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    mark = mark_ready if verdict.is_true else (mark_stalled if verdict.needs_user_action else mark_reconciling)
    marked = mark(conditions, reason=verdict.reason, message=verdict.message, generation=generation, now=now)
    return resource.status.model_copy(update={"conditions": marked, "observed_generation": generation})
