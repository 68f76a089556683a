"""The status of each DevOpsOrganization that refers to a connector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.azure_types import AzureOrganization, ProvisioningState
from defender_devops.api.conditions import Conditions, find_condition, is_true, remove_condition, truncate_message
from defender_devops.api.connector import OverridesPolicy, Progress, SignInMethod
from defender_devops.api.organization import DevOpsOrganization, Onboarding, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.organization_selection import effective_overrides
from defender_devops.reconcile.facts.pipeline_results import PipelinesObservation
from defender_devops.reconcile.report.azure_conditions import prerequisites_result
from defender_devops.reconcile.report.condition_result import (
    QUOTED_MAX,
    ConditionResult,
    apply_condition_results,
    mark_result,
)
from defender_devops.reconcile.report.discovery_progress import Discovery, discovery_lags, was_reported
from defender_devops.reconcile.report.pipelines import (
    annotations_result,
    evidence_result,
    pipelines_result,
    pipelines_status,
)
from defender_devops.reconcile.report.posture import ConnectorPosture

__all__ = ["OrganizationError", "report_missing_connector", "report_organizations", "report_unobserved_organizations"]

_CLUSTER_REASONS = frozenset({Reason.CONNECTOR_NOT_FOUND, Reason.CONFLICT})
"""Reasons of Ready that depend on resources in the cluster only, so they do not stay once those have changed."""

_COVERAGE = ("onboarding_state", "conflicting_connector", "organization_id")
_COUNTS = ("projects", "repositories", "posture", "pipelines")

_PIPELINE_CONDITIONS = (
    ConditionType.PIPELINES_CONFIGURED,
    ConditionType.PIPELINE_EVIDENCE_STORED,
    ConditionType.PULL_REQUEST_ANNOTATIONS_EFFECTIVE,
)

_NOT_OBSERVED = ConditionResult("False", Reason.ONBOARDING, "Azure has not returned this organization yet.")

OrganizationStatuses = tuple[tuple[DevOpsOrganization, OrganizationStatus], ...]

OrganizationError = tuple[DevOpsOrganization, Exception]
"""A resource and the unexpected exception that its report raised."""


@dataclass(frozen=True, slots=True)
class _ReadyResult:
    """The result for Ready.

    Attributes:
        follows_connector: it repeats the state of the connector.
    """

    result: ConditionResult
    follows_connector: bool = False


@dataclass(frozen=True, slots=True)
class _Context:
    """What the statuses of all organizations of a connector depend on.

    Attributes:
        assessment: of the snapshot after the steps.
        conditions: the connector's own, of the same report.
        discovery: progress of the connector, if known.
        posture: results of Defender for Cloud, if known.
        is_empty: it is known that nothing in Azure can cover an organization.
        is_listed: it is known which organizations the connector holds.
    """

    assessment: Assessment
    conditions: Conditions
    discovery: Discovery | None
    posture: ConnectorPosture | None
    is_empty: bool
    is_listed: bool

    def organization(self, resource: DevOpsOrganization) -> AzureOrganization | None:
        """Return the organization of a resource as Azure lists it."""
        if not self.is_listed:
            return None
        return self.assessment.organizations.get(resource.spec.organization.lower())


def report_organizations(
    assessment: Assessment,
    conditions: Conditions,
    discovery: Discovery | None,
    posture: ConnectorPosture | None,
    *,
    now: datetime,
    errors: list[OrganizationError],
) -> OrganizationStatuses:
    """Return a status for each resource.

    Args:
        assessment: of the snapshot after the steps.
        conditions: the connector's own, of the same report.
        discovery: progress of the connector, if known.
        posture: results of Defender for Cloud, if known.
        now: transition time of conditions whose status changes.
        errors: receives unexpected exceptions. Each affects its resource alone, which has no status in the result.
    """
    is_usable = assessment.is_usable
    context = _Context(
        assessment,
        conditions,
        discovery,
        posture,
        is_empty=is_usable and assessment.azure.lacks_configuration,
        is_listed=is_usable and assessment.azure.is_settled,
    )
    statuses = []
    for resource in assessment.snapshot.organizations:
        try:
            effective = assessment.overrides[resource.spec.organization.lower()]
            is_effective = effective.metadata.uid == resource.metadata.uid
            ready = _ready(context, resource) if is_effective else _duplicate(resource, effective)
            status = _observed_status(context, resource, now)
            statuses.append((resource, _with_ready(resource, status, ready, now)))
        except Exception as error:  # noqa: BLE001 - one organization must not hold up the others
            errors.append((resource, error))
    return tuple(statuses)


def report_unobserved_organizations(
    organizations: Iterable[DevOpsOrganization], conditions: Conditions, now: datetime
) -> OrganizationStatuses:
    """Return a status for each resource whose Ready does not apply any more, while Azure is not read.

    Args:
        organizations: all resources of a connector.
        conditions: the connector's own.
        now: transition time of conditions whose status changes.
    """
    organizations = tuple(organizations)
    overrides = effective_overrides(organizations)
    statuses = []
    for resource in organizations:
        effective = overrides[resource.spec.organization.lower()]
        is_effective = effective.metadata.uid == resource.metadata.uid
        ready = _unobserved(resource, conditions) if is_effective else _duplicate(resource, effective)
        if ready is not None:
            statuses.append((resource, _with_ready(resource, resource.status, ready, now)))
    return tuple(statuses)


def report_missing_connector(resource: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    """Return the status of a resource whose connector does not exist.

    A resource that never had a connector may have been applied before it; one that has lost it needs a person.
    """
    conditions = resource.status.conditions
    ready = find_condition(conditions, ConditionType.READY)
    had_connector = ready is not None and ready.reason != Reason.CONNECTOR_NOT_FOUND
    result = ConditionResult(
        "False",
        Reason.CONNECTOR_NOT_FOUND,
        f"There is no AzureDevOpsConnector {resource.spec.connector_ref.name} in this namespace. Create it, or delete "
        "this resource and declare it for another connector.",
        needs_user_action=had_connector or is_true(conditions, ConditionType.STALLED),
    )
    observed = (
        ConditionType.ONBOARDED,
        ConditionType.DISCOVERED,
        ConditionType.POSTURE_AVAILABLE,
        ConditionType.PREREQUISITES_MET,
        *_PIPELINE_CONDITIONS,
    )
    cleared = resource.status.model_copy(
        update={
            **dict.fromkeys((*_COVERAGE, *_COUNTS, "included_by_mode")),
            "prerequisites": (),
            "conditions": remove_condition(conditions, *observed),
        }
    )
    return _with_ready(resource, cleared, _ReadyResult(result), now)


def _with_ready(
    resource: DevOpsOrganization, status: OrganizationStatus, ready: _ReadyResult | None, now: datetime
) -> OrganizationStatus:
    """Return the status with a new Ready; None keeps the previous one, for the new generation too."""
    generation = resource.metadata.generation
    update: dict[str, object] = {"observed_generation": generation}
    if ready is not None:
        update["conditions"] = mark_result(status.conditions, ready.result, generation, now)
        update["ready_follows_connector"] = ready.follows_connector or None
    return status.model_copy(update=update)


def _duplicate(resource: DevOpsOrganization, effective: DevOpsOrganization) -> _ReadyResult:
    message = (
        f"DevOpsOrganization {effective.metadata.name} is older and takes precedence for "
        f"{resource.spec.organization}. Delete one of the two."
    )
    return _ReadyResult(ConditionResult("False", Reason.CONFLICT, message, needs_user_action=True))


def _ready(context: _Context, resource: DevOpsOrganization) -> _ReadyResult | None:
    """Return the result for Ready; None if unknown now."""
    assessment, name = context.assessment, resource.spec.organization
    if context.is_empty and name.lower() in assessment.selection.excluded:
        return _ReadyResult(_not_onboarded_on_purpose(context, name, None))
    if context.is_empty or assessment.ownership_conflict is not None:
        return _from_connector(context.conditions)
    return _listed(context, resource) if context.is_listed else _unobserved(resource, context.conditions)


def _listed(context: _Context, resource: DevOpsOrganization) -> _ReadyResult | None:
    """Return the result while it is known which organizations the connector holds."""
    assessment, organization, name = context.assessment, context.organization(resource), resource.spec.organization
    key, selection = name.lower(), assessment.selection
    denied = _denied_override(assessment, resource)
    if denied is not None:
        return _ReadyResult(denied)
    if key not in selection.desired and (organization is not None or key in selection.excluded):
        return _ReadyResult(_not_onboarded_on_purpose(context, name, organization))
    if organization is not None:
        return _ReadyResult(_coverage(context, name, organization))
    if assessment.azure.available:
        message = (
            f"The authorizing account has no organization named {name}. Correct the name, or add the account to it."
        )
        return _ReadyResult(ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=True))
    # It is not below the connector, and Azure has not listed the available organizations.
    if is_true(resource.status.conditions, ConditionType.ONBOARDED):
        return _ReadyResult(_authorization_problem(context.conditions) or _NOT_OBSERVED)
    return _unobserved(resource, context.conditions)


def _denied_override(assessment: Assessment, resource: DevOpsOrganization) -> ConditionResult | None:
    """Return the result for a decision that the connector does not permit and that would change something."""
    organizations = assessment.connector.spec.organizations
    is_desired = resource.spec.organization.lower() in assessment.selection.desired
    contradicts = {Onboarding.ONBOARDED: not is_desired, Onboarding.EXCLUDED: is_desired, Onboarding.INHERIT: False}
    if organizations.overrides is not OverridesPolicy.DENY or not contradicts[resource.onboarding]:
        return None
    message = (
        f"onboarding {resource.onboarding} has no effect, because spec.organizations.overrides of connector "
        f"{assessment.connector.metadata.name} is Deny. Remove onboarding here, or change the connector."
    )
    return ConditionResult("False", Reason.INVALID_SPEC, message, needs_user_action=True)


def _not_onboarded_on_purpose(context: _Context, name: str, organization: AzureOrganization | None) -> ConditionResult:
    """Return the result for an organization that is excluded or not selected."""
    if organization is not None and organization.is_onboarded:
        if context.assessment.snapshot.is_observe_only:
            return _drift(f"{name} is onboarded through this connector although it should not be")
        message = f"{name} has not been removed from this connector yet."
        pending = ConditionResult("False", Reason.PROVISIONING, message)
        return _authorization_problem(context.conditions) or pending
    if name.lower() in context.assessment.selection.excluded:
        return ConditionResult("True", Reason.EXCLUDED, f"{name} is excluded from this connector.")
    message = (
        f"{name} is not selected, so it is not onboarded. Set onboarding to Onboarded here, or mode AllAndFuture on "
        "the connector, to cover it."
    )
    return ConditionResult("True", Reason.NOT_INCLUDED, message)


def _drift(difference: str) -> ConditionResult:
    message = f"{difference}; managementPolicy Observe prevents the operator from changing that."
    return ConditionResult("False", Reason.DRIFT_DETECTED, message, needs_user_action=True)


def _coverage(context: _Context, name: str, organization: AzureOrganization) -> ConditionResult:
    """Return the result for a desired organization that Azure lists."""
    assessment = context.assessment
    if organization.is_held_by_other_connector:
        holder = assessment.snapshot.conflicting_connectors.get(name.lower(), "another connector of the tenant")
        message = f"{name} is onboarded by {holder}. Remove it there, or set onboarding to Excluded here."
        return ConditionResult("False", Reason.HELD_BY_OTHER_CONNECTOR, message, needs_user_action=True)
    if not organization.is_onboarded and assessment.snapshot.is_observe_only:
        return _drift(f"{name} is not onboarded")
    problem = _authorization_problem(context.conditions)
    if problem is None and name.lower() in assessment.unreachable:
        message = (
            f"Defender's authorization no longer reaches {name}, so its findings become outdated: see the connector."
        )
        problem = ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=True)
    if problem is not None:
        return problem
    detail = truncate_message(organization.status_message, QUOTED_MAX)
    if not organization.is_onboarded:
        cause = f": {detail}" if detail else ""
        message = f"Defender for Cloud has not onboarded {name} yet{cause}."
        return ConditionResult("False", Reason.ONBOARDING, message)
    if organization.provisioning_state == ProvisioningState.FAILED:
        cause = detail.rstrip(".") or "Azure gives no reason"
        message = f"Defender for Cloud cannot scan {name}: {cause}. Fix the cause; Defender retries every 8 hours."
        return ConditionResult("False", Reason.ONBOARDING, message, needs_user_action=True)
    return ConditionResult("True", Reason.ONBOARDED, f"Defender for Cloud covers {name}.")


def _authorization_problem(conditions: Conditions) -> ConditionResult | None:
    """Return the result while Defender can neither onboard nor remove an organization; None if it can."""
    authorized = find_condition(conditions, ConditionType.AUTHORIZED)
    if authorized is None or authorized.status != "False":
        return None
    message = "Defender's authorization does not work: see the connector."
    return ConditionResult("False", authorized.reason, message, needs_user_action=True)


def _unobserved(resource: DevOpsOrganization, conditions: Conditions) -> _ReadyResult | None:
    """Return the result while the organization cannot be observed.

    The previous Ready stays (None) if it is about the present spec, unless it depends on resources in the cluster or
    repeats the state of the connector: those are known.
    """
    status = resource.status
    is_current = status.observed_generation == resource.metadata.generation
    previous = find_condition(status.conditions, ConditionType.READY) if is_current else None
    if previous is not None and previous.reason not in _CLUSTER_REASONS and not status.ready_follows_connector:
        return None
    return _from_connector(conditions)


def _from_connector(conditions: Conditions) -> _ReadyResult:
    """Return the result that repeats the state of the connector."""
    ready = find_condition(conditions, ConditionType.READY)
    if ready is None or (ready.is_true and ready.reason != Reason.SUSPENDED):
        return _ReadyResult(_NOT_OBSERVED)
    message = "The connector is not ready: see its conditions."
    needs_user = is_true(conditions, ConditionType.STALLED)
    result = ConditionResult("False", ready.reason, message, needs_user_action=needs_user)
    return _ReadyResult(result, follows_connector=True)


def _observed_status(context: _Context, resource: DevOpsOrganization, now: datetime) -> OrganizationStatus:
    """Return the status with every fact but Ready; what is unknown now stays as it is."""
    assessment, snapshot = context.assessment, context.assessment.snapshot
    key, status = resource.spec.organization.lower(), resource.status
    organization = context.organization(resource)
    is_uncovered = context.is_empty or (context.is_listed and (organization is None or not organization.is_onboarded))
    conditions, prerequisites = status.conditions, snapshot.prerequisites.get(key) or status.prerequisites
    if assessment.connector.spec.sign_in_method is SignInMethod.NONE:
        conditions = remove_condition(conditions, ConditionType.PREREQUISITES_MET)
        prerequisites = snapshot.prerequisites.get(key) or ()
    update: dict[str, object] = {"prerequisites": prerequisites}
    if is_uncovered:
        conditions = remove_condition(
            conditions, ConditionType.DISCOVERED, ConditionType.POSTURE_AVAILABLE, *_PIPELINE_CONDITIONS
        )
        update |= dict.fromkeys((*_COVERAGE, *_COUNTS))
    if organization is not None:
        holder = snapshot.conflicting_connectors.get(key)
        connector_id = assessment.connector.connector_ref.id
        organization_id = f"{connector_id}/devops/default/azureDevOpsOrgs/{organization.name}"
        update["onboarding_state"] = str(organization.onboarding_state)
        update["conflicting_connector"] = holder if organization.is_held_by_other_connector else None
        update["organization_id"] = organization_id if organization.is_onboarded else None
        update["included_by_mode"] = organization.is_onboarded or key not in assessment.selection.not_selected
    counts, expected = snapshot.inventory.by_organization.get(key), snapshot.expected.get(key)
    if counts is not None:
        update["projects"] = Progress(discovered=counts.projects, expected=expected and expected.projects)
        update["repositories"] = Progress(discovered=counts.repositories, expected=expected and expected.repositories)
    posture = context.posture.organizations.get(key) if context.posture is not None and not is_uncovered else None
    if posture is not None and posture.error is not None:
        raise posture.error
    if posture is not None:
        update["posture"] = posture.status
    pipelines = snapshot.pipelines.get(key) if not is_uncovered else None
    if pipelines is not None:
        update["pipelines"] = pipelines_status(pipelines, status.pipelines)
    elif not assessment.connector.spec.has_pipeline_checks:
        conditions, update["pipelines"] = remove_condition(conditions, *_PIPELINE_CONDITIONS), None
    annotations = _annotations(assessment, organization, pipelines)
    if pipelines is not None and annotations is None and not _has_annotations(assessment, organization):
        conditions = remove_condition(conditions, ConditionType.PULL_REQUEST_ANNOTATIONS_EFFECTIVE)
    checks = {resource.spec.organization: snapshot.prerequisites[key]} if key in snapshot.prerequisites else {}
    results: dict[str, ConditionResult | None] = {
        ConditionType.ONBOARDED: _onboarded(context, conditions, organization),
        ConditionType.DISCOVERED: _discovered(context, organization, status),
        ConditionType.PREREQUISITES_MET: prerequisites_result(checks),
        ConditionType.POSTURE_AVAILABLE: posture.result if posture is not None else None,
        ConditionType.PIPELINES_CONFIGURED: pipelines_result(pipelines, status.pipelines) if pipelines else None,
        ConditionType.PIPELINE_EVIDENCE_STORED: evidence_result(pipelines) if pipelines else None,
        ConditionType.PULL_REQUEST_ANNOTATIONS_EFFECTIVE: annotations,
    }
    update["conditions"] = apply_condition_results(conditions, results, resource.metadata.generation, now)
    return status.model_copy(update=update)


def _has_annotations(assessment: Assessment, organization: AzureOrganization | None) -> bool:
    """Whether the spec enables pull request annotations for the organization."""
    desired = assessment.desired.annotations.get(organization.name.lower()) if organization is not None else None
    return desired is not None and desired.enabled


def _annotations(
    assessment: Assessment, organization: AzureOrganization | None, pipelines: PipelinesObservation | None
) -> ConditionResult | None:
    if pipelines is None or organization is None or not _has_annotations(assessment, organization):
        return None
    return annotations_result(pipelines, organization, assessment.snapshot.cspm_plan)


def _onboarded(
    context: _Context, conditions: Conditions, organization: AzureOrganization | None
) -> ConditionResult | None:
    if organization is None:
        was_onboarded = is_true(conditions, ConditionType.ONBOARDED)
        if was_onboarded and context.is_empty:
            message = "The connector that covered the organization no longer exists in Azure."
            return ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, message)
        if was_onboarded and context.is_listed:
            message = "Azure no longer returns this organization."
            return ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message)
        return None
    key, selection = organization.name.lower(), context.assessment.selection
    if organization.is_onboarded:
        message = "Defender for Cloud covers the organization."
        if key in selection.excluded:
            message = (
                "Defender for Cloud still covers the organization, although it is excluded: see the connector's "
                "condition Provisioned."
            )
        return ConditionResult("True", Reason.ONBOARDED, message)
    reason, message = Reason.ONBOARDING, "Defender for Cloud has not onboarded it yet."
    if key in selection.not_selected:
        reason, message = Reason.NOT_INCLUDED, "The organization is not selected."
    elif key in selection.excluded:
        reason, message = Reason.EXCLUDED, "The organization is excluded."
    elif organization.is_held_by_other_connector:
        reason, message = Reason.HELD_BY_OTHER_CONNECTOR, "Another connector of the tenant has onboarded it."
    return ConditionResult("False", reason, message)


def _discovered(
    context: _Context, organization: AzureOrganization | None, status: OrganizationStatus
) -> ConditionResult | None:
    discovery = context.discovery
    if discovery is None or organization is None or not organization.is_onboarded:
        return None
    key, snapshot = organization.name.lower(), context.assessment.snapshot
    counts, expected = snapshot.inventory.by_organization.get(key), snapshot.expected.get(key)
    is_complete = expected is not None and not discovery_lags(counts, expected)
    is_unreported = organization.name in discovery.lagging and counts is None and not was_reported(status)
    if is_complete or (discovery.is_complete and not is_unreported):
        message = "Defender for Cloud has reported all projects and repositories of the organization."
        return ConditionResult("True", Reason.DISCOVERED, message)
    if discovery.deadline_exceeded and organization.name in discovery.lagging:
        message = "Defender for Cloud has not reported everything before the deadline."
        return ConditionResult("False", Reason.DEADLINE_EXCEEDED, message)
    message = "Defender for Cloud is still listing projects and repositories."
    return ConditionResult("False", Reason.DISCOVERING, message)
