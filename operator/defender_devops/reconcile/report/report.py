"""The statuses to write for a connector: `report(assessment, failure, now)`, a pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from defender_devops.api.conditions import Conditions, is_true, remove_condition
from defender_devops.api.connector import AuthorizationStatus, ConnectorStatus, SignInMethod, SignInStatus
from defender_devops.api.connector_status import Prerequisite
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report import azure_conditions
from defender_devops.reconcile.report.authorization_conditions import (
    authorized_condition,
    reauth_required_condition,
    signed_in_condition,
)
from defender_devops.reconcile.report.azure_status import azure_status
from defender_devops.reconcile.report.condition_result import (
    OPERATOR_FAILURE_REASONS,
    ConditionResult,
    apply_condition_results,
    mark_result,
    not_checked_result,
    previous_condition_result,
    result_of_failure,
)
from defender_devops.reconcile.report.defender_plan import connector_prerequisites
from defender_devops.reconcile.report.deletion import report_deletion
from defender_devops.reconcile.report.discovery_progress import Discovery, discovered_condition, discovery_progress
from defender_devops.reconcile.report.organization_resources import (
    OrganizationError,
    report_organizations,
    report_unobserved_organizations,
)
from defender_devops.reconcile.report.posture import ConnectorPosture, OrganizationFindings, posture, stale_names

__all__ = ["Report", "is_confirmed", "report"]

_AZURE_CONDITIONS: Final = frozenset(
    {
        ConditionType.READY,
        ConditionType.PROVISIONED,
        ConditionType.AUTHORIZED,
        ConditionType.ORGANIZATIONS_AVAILABLE,
        ConditionType.ONBOARDED,
    }
)
"""Conditions of both kinds that state what Azure Resource Manager returns."""


@dataclass(frozen=True, slots=True)
class Report:
    """The statuses to write, and when time alone changes one of them.

    Attributes:
        status: of the connector.
        organizations: of each DevOpsOrganization that refers to it.
        reevaluate_at: when a deadline or an interval ends, or None.
        findings: recommendations of the organizations that have results, for metrics; None if unknown now.
        errors: organizations whose status could not be computed, each with the unexpected exception.
    """

    status: ConnectorStatus
    organizations: tuple[tuple[DevOpsOrganization, OrganizationStatus], ...] = ()
    reevaluate_at: datetime | None = None
    findings: tuple[OrganizationFindings, ...] | None = None
    errors: tuple[OrganizationError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Results:
    """What the status and several conditions of a connector state.

    Attributes:
        discovery: progress of discovery; None if unknown now.
        posture: the results of Defender for Cloud; None if unknown now.
        prerequisites: of the connector as a whole.
    """

    discovery: Discovery | None
    posture: ConnectorPosture | None
    prerequisites: tuple[Prerequisite, ...]

    @property
    def reevaluate_at(self) -> datetime | None:
        """When time alone changes one of them, or None."""
        times = (item.reevaluate_at for item in (self.discovery, self.posture) if item is not None)
        return min((time for time in times if time is not None), default=None)


def report(assessment: Assessment, failure: Failure | None, now: datetime) -> Report:
    """Return the statuses for a snapshot that includes the effect of every step that succeeded.

    Args:
        assessment: of that snapshot.
        failure: of the step that failed, if one did.
        now: transition time of conditions whose status changes; deadlines are compared with it.
    """
    connector, organizations = assessment.connector, assessment.snapshot.organizations
    if connector.metadata.is_deleting:
        conditions = report_deletion(assessment, failure, now)
        remaining = organizations if FINALIZER in connector.metadata.finalizers else ()
        statuses = report_unobserved_organizations(remaining, conditions, now)
        return Report(_with_conditions(assessment, connector.status, conditions), statuses)
    if connector.spec.suspend:
        # Ready keeps its status, because suspending the operator changes nothing in Azure.
        ready = previous_condition_result(connector.status.conditions, ConditionType.READY)
        message = "spec.suspend is true: the operator neither reads nor changes anything in Azure."
        suspended = ConditionResult(ready.status if ready else "Unknown", Reason.SUSPENDED, message)
        flags = (ConditionType.RECONCILING, ConditionType.STALLED)
        conditions = remove_condition(connector.status.conditions, *flags)
        conditions = apply_condition_results(
            conditions, {ConditionType.READY: suspended}, connector.metadata.generation, now
        )
        statuses = report_unobserved_organizations(organizations, conditions, now)
        return Report(_with_conditions(assessment, connector.status, conditions), statuses)
    if _is_tolerated(assessment):
        return Report(connector.status)
    results = _Results(
        discovery_progress(assessment, now) if assessment.azure.is_settled else None,
        posture(assessment, now),
        connector_prerequisites(assessment),
    )
    conditions = _conditions(assessment, failure, results, now)
    errors: list[OrganizationError] = []
    return Report(
        _with_conditions(assessment, _status(assessment, results, conditions, now), conditions),
        report_organizations(assessment, conditions, results.discovery, results.posture, now=now, errors=errors),
        results.reevaluate_at,
        _findings(assessment, results.posture),
        tuple(errors),
    )


def is_confirmed(assessment: Assessment, new: Report) -> bool:
    """Whether the statuses state the same of the connector in Azure and of its organizations as a new report.

    Counts and results, which change by themselves, may differ, and so may messages.

    Args:
        assessment: of the snapshot with the present statuses.
        new: the report for it.
    """
    present = assessment.connector.status
    covered = assessment.onboarded.keys() | assessment.selection.requested.keys()
    return (
        not new.errors
        and covered <= assessment.overrides.keys()
        and (present.connector_id, present.azure, present.authorization)
        == (new.status.connector_id, new.status.azure, new.status.authorization)
        and _azure_results(present.conditions) == _azure_results(new.status.conditions)
        and all(
            _organization_facts(organization.status) == _organization_facts(status)
            for organization, status in new.organizations
        )
    )


def _organization_facts(status: OrganizationStatus) -> tuple[object, ...]:
    """Return what a status states of an organization in Azure, and of which spec."""
    return (
        status.observed_generation,
        status.onboarding_state,
        status.organization_id,
        status.conflicting_connector,
        status.included_by_mode,
        _azure_results(status.conditions),
    )


def _azure_results(conditions: Conditions) -> dict[str, tuple[str, str]]:
    return {
        condition.type: (condition.status, condition.reason)
        for condition in conditions
        if condition.type in _AZURE_CONDITIONS
    }


def _findings(assessment: Assessment, reported: ConnectorPosture | None) -> tuple[OrganizationFindings, ...] | None:
    if assessment.azure.lacks_configuration:
        return ()
    return reported.findings if reported is not None else None


def _is_tolerated(assessment: Assessment) -> bool:
    """Whether a failed read of Azure changes no condition yet: a few transient ones say nothing about a connector."""
    cause, status = assessment.azure.read_failure, assessment.connector.status
    snapshot = assessment.snapshot
    return (
        cause is not None
        and not cause.terminal
        and snapshot.failures < snapshot.timings.max_transient_failures
        and status.observed_generation == assessment.connector.metadata.generation
        and is_true(status.conditions, ConditionType.READY)
    )


def _with_conditions(assessment: Assessment, status: ConnectorStatus, conditions: Conditions) -> ConnectorStatus:
    return status.model_copy(
        update={
            "observed_generation": assessment.connector.metadata.generation,
            "last_handled_reconcile_at": assessment.connector.reconcile_requested_at,
            "conditions": conditions,
        }
    )


def _status(assessment: Assessment, results: _Results, conditions: Conditions, now: datetime) -> ConnectorStatus:
    """Return the status with its typed fields; what is unknown now stays as it is."""
    azure, status = assessment.azure, assessment.connector.status
    update: dict[str, object] = {
        "sign_in": _sign_in_status(assessment),
        "authorization": _authorization_status(assessment, conditions, now),
        "prerequisites": results.prerequisites or None,
    }
    if results.discovery is not None:
        update["discovery"] = results.discovery.status
    if results.posture is not None or assessment.azure.lacks_configuration:
        update["posture"] = results.posture.status if results.posture is not None else None
    if azure.is_known:
        update["connector_id"] = assessment.connector.connector_ref.id if azure.connector is not None else None
        update["azure"] = azure_status(assessment)
    return status.model_copy(update=update)


def _sign_in_status(assessment: Assessment) -> SignInStatus | None:
    sign_in, previous = assessment.snapshot.sign_in, assessment.connector.status.sign_in
    if assessment.connector.spec.sign_in_method is SignInMethod.NONE:
        return None
    if sign_in is None:
        return previous
    return SignInStatus(
        account=sign_in.account or (previous.account if previous else None),
        tenant_id=sign_in.tenant_id or (previous.tenant_id if previous else None),
        url=sign_in.url,
        token_expires_at=sign_in.expires_at,
    )


def _authorization_status(assessment: Assessment, conditions: Conditions, now: datetime) -> AuthorizationStatus | None:
    """Set lastAuthorizedAt when Authorized turns True, not with each check.

    A code that is present when an authorization is first seen to work counts as used, as if the operator had sent it.
    """
    status = assessment.connector.status
    previous = status.authorization or AuthorizationStatus()
    if not is_true(conditions, ConditionType.AUTHORIZED):
        return status.authorization
    if previous.last_authorized_at is not None and is_true(status.conditions, ConditionType.AUTHORIZED):
        return status.authorization
    is_first = previous.last_authorized_at is None and previous.code_hash is None
    code_hash = assessment.snapshot.code.sha256 if is_first else previous.code_hash
    return previous.model_copy(update={"last_authorized_at": now, "code_hash": code_hash})


def _conditions(assessment: Assessment, failure: Failure | None, results: _Results, now: datetime) -> Conditions:
    connector = assessment.connector
    conditions, generation = connector.status.conditions, connector.metadata.generation
    uses_sign_in = connector.spec.sign_in_method is not SignInMethod.NONE
    has_prerequisites = uses_sign_in or bool(results.prerequisites)
    if not uses_sign_in:
        conditions = remove_condition(conditions, ConditionType.SIGNED_IN)
    if not has_prerequisites:
        conditions = remove_condition(conditions, ConditionType.PREREQUISITES_MET)
    if assessment.azure.lacks_configuration:
        conditions = remove_condition(conditions, ConditionType.POSTURE_AVAILABLE)
    authorization, sign_in = authorized_condition(assessment, failure), signed_in_condition(assessment)
    stale = stale_names(assessment, results.posture)
    by_type: dict[str, ConditionResult | None] = {
        ConditionType.PROVISIONED: azure_conditions.provisioned_condition(assessment, failure),
        ConditionType.AUTHORIZED: authorization,
        ConditionType.REAUTH_REQUIRED: reauth_required_condition(assessment, authorization, sign_in, stale),
        ConditionType.ORGANIZATIONS_AVAILABLE: azure_conditions.organizations_available_condition(assessment),
        ConditionType.DISCOVERED: discovered_condition(assessment, results.discovery),
    }
    if has_prerequisites:
        met = azure_conditions.prerequisites_condition(assessment, results.prerequisites)
        by_type[ConditionType.PREREQUISITES_MET] = met
    previous = {kind: previous_condition_result(conditions, kind) for kind in by_type}
    # Every condition but SignedIn and PostureAvailable is present from the first report on.
    by_type = {
        kind: not_checked_result() if result is None and previous[kind] is None else result
        for kind, result in by_type.items()
    }
    if uses_sign_in:
        by_type[ConditionType.SIGNED_IN] = sign_in
    by_type[ConditionType.POSTURE_AVAILABLE] = results.posture.result if results.posture is not None else None
    conditions = apply_condition_results(conditions, by_type, generation, now)
    return mark_result(conditions, _ready(assessment, failure, by_type, previous), generation, now)


def _ready(
    assessment: Assessment,
    failure: Failure | None,
    results: dict[str, ConditionResult | None],
    previous: dict[str, ConditionResult | None],
) -> ConditionResult:
    """Return the result for Ready: the most important result that is not True."""
    provisioned = results[ConditionType.PROVISIONED]
    if provisioned is None:
        provisioned = _needing_action(previous[ConditionType.PROVISIONED])
    authorization = _needing_action(results[ConditionType.AUTHORIZED] or previous[ConditionType.AUTHORIZED])
    # Nothing can be done in Azure before Defender is authorized.
    awaits_authorization = (
        provisioned.reason in {Reason.CONNECTOR_NOT_FOUND, Reason.PROVISIONING}
        and not provisioned.needs_user_action
        and authorization.status == "False"
    )
    available = results[ConditionType.ORGANIZATIONS_AVAILABLE]
    requirements = (
        result_of_failure(failure) if failure is not None and failure.reason in OPERATOR_FAILURE_REASONS else None,
        *((authorization, provisioned) if awaits_authorization else (provisioned, authorization)),
        available if available is not None and available.needs_user_action else None,
        azure_conditions.pending_organizations(assessment),
    )
    for result in requirements:
        if result is not None and not result.is_true:
            return result
    return ConditionResult("True", Reason.READY, "The connector is provisioned and authorized.")


def _needing_action(result: ConditionResult | None) -> ConditionResult:
    """Return a result that needs a person's action if it is False, except before the first authorization."""
    if result is None:
        return not_checked_result()
    needs_user = result.status == "False" and result.reason != Reason.AWAITING_AUTHORIZATION
    return replace(result, needs_user_action=needs_user or result.needs_user_action)
