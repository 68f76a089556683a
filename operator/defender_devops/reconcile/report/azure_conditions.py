"""The results for the conditions of a connector that concern Azure and its organizations."""

from __future__ import annotations

from collections.abc import Mapping

from defender_devops.api.conditions import find_condition, truncate_message
from defender_devops.api.connector import AuthorizationMethod, SignInMethod
from defender_devops.api.organization import Prerequisite
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.api.regions import region_hint
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.authorization import AuthorizationState, token_exchange_failed
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.plan.diff import (
    differences,
    is_accepted_by_azure,
    kept_organizations,
    operation_failed,
)
from defender_devops.reconcile.report.authorization_conditions import how_to_authorize
from defender_devops.reconcile.report.condition_result import (
    OPERATOR_FAILURE_REASONS,
    QUOTED_MAX,
    ConditionResult,
    not_checked_result,
    result_of_failure,
)
from defender_devops.text import NAMES_SHOWN, list_names

__all__ = [
    "organizations_available_condition",
    "pending_organizations",
    "prerequisites_condition",
    "prerequisites_result",
    "provisioned_condition",
]


def provisioned_condition(assessment: Assessment, failure: Failure | None) -> ConditionResult | None:
    """Return whether connector and configuration exist and match the spec; None if unchanged while Azure works on it.

    Args:
        assessment: of the snapshot after the steps.
        failure: of the step that failed, if one did.
    """
    azure = assessment.azure
    cause = azure.read_failure or _failure_in_azure(assessment, failure)
    if cause is not None:
        return result_of_failure(cause)
    if azure.connector is None or azure.configuration is None:
        return _missing(assessment)
    if assessment.azure.is_busy:
        # A configuration that matched this spec before keeps its condition while drift is corrected.
        condition = find_condition(assessment.connector.status.conditions, ConditionType.PROVISIONED)
        generation = assessment.connector.metadata.generation
        if condition is not None and condition.is_true and condition.observed_generation == generation:
            return None
        return ConditionResult("False", Reason.PROVISIONING, "Azure is changing the connector's DevOps configuration.")
    if operation_failed(azure.configuration) and not token_exchange_failed(azure.configuration):
        detail = truncate_message(azure.configuration.status_message, QUOTED_MAX).rstrip(".")
        message = (
            "The last change of the connector's DevOps configuration failed in Azure: "
            f"{detail or azure.configuration.provisioning_state}. The operator retries within minutes."
        )
        return ConditionResult("False", Reason.AZURE_UNAVAILABLE, message)
    return _difference(assessment)


def _failure_in_azure(assessment: Assessment, failure: Failure | None) -> Failure | None:
    """Return a failed step, an ownership conflict, or missing permissions of the operator."""
    reported_elsewhere = OPERATOR_FAILURE_REASONS | {Reason.TOKEN_EXCHANGE_FAILED}
    if failure is not None and failure.reason not in reported_elsewhere:
        return failure
    if assessment.ownership_conflict is not None:
        return assessment.ownership_conflict
    probe = assessment.azure.probe_failure
    is_own_access = probe is not None and probe.terminal and probe.category is ErrorCategory.ACCESS
    return probe if is_own_access else None


def _missing(assessment: Assessment) -> ConditionResult:
    ref = assessment.connector.connector_ref
    missing = "connector" if assessment.azure.connector is None else "DevOps configuration of connector"
    location = f"in resource group {ref.resource_group} of subscription {ref.subscription_id}"
    if assessment.was_authorized:
        message = (
            f"The {missing} {ref.name} {location} was deleted, and its authorization with it. "
            f"{how_to_authorize(assessment)}"
        )
        return ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, message, needs_user_action=True)
    if assessment.snapshot.is_observe_only:
        message = (
            f"There is no {missing} {ref.name} {location}; with managementPolicy Observe the operator does not create "
            "it."
        )
    elif assessment.connector.spec.authorization.method is AuthorizationMethod.ADOPT:
        message = (
            f"There is no {missing} {ref.name} {location}. Create and authorize it in the Defender portal; the "
            f"operator then adopts it.{region_hint(assessment.connector.spec.azure.location)}"
        )
    else:
        reference = assessment.connector.spec.authorization.code_secret_ref
        source = f" in key {reference.key} of Secret {reference.name}" if reference is not None else ""
        message = f"The {missing} {ref.name} will be created once a one-time code is provided{source}."
    return ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, message)


def _difference(assessment: Assessment) -> ConditionResult:
    steps = [step for step in differences(assessment) if not is_accepted_by_azure(assessment, step)]
    if not steps:
        return ConditionResult("True", Reason.PROVISIONED, "Azure matches the spec.")
    changes = "; ".join(step.describe() for step in steps)
    if assessment.snapshot.is_observe_only:
        message = f"Azure differs from the spec. managementPolicy Observe prevents these changes: {changes}."
        return ConditionResult("False", Reason.DRIFT_DETECTED, message, needs_user_action=True)
    condition = ", once Defender is authorized" if assessment.authorization.is_broken else ""
    return ConditionResult("False", Reason.PROVISIONING, f"Pending changes{condition}: {changes}.{_kept(assessment)}")


def _kept(assessment: Assessment) -> str:
    """Return which organizations Azure keeps although it accepted a list without them, with a space before it."""
    names = kept_organizations(assessment)
    if not names:
        return ""
    return (
        f" Azure accepted the list of organizations and still has {list_names(names)} onboarded, which it lacks. The "
        "list is sent again later; if that does not help, remove them from the connector in the Defender portal."
    )


def organizations_available_condition(assessment: Assessment) -> ConditionResult | None:
    """Return whether every desired organization exists and is not held by another connector; None if unknown."""
    azure = assessment.azure
    if assessment.azure.lacks_configuration:
        return not_checked_result("Organizations are listed as soon as Defender is authorized.")
    if azure.available is None or not assessment.azure.is_settled:
        return None
    if not azure.available and assessment.authorization.state is not AuthorizationState.WORKING:
        # An empty answer says nothing about the account's organizations while no authorization works.
        return not_checked_result("Organizations can be listed once Defender's authorization works.")
    return _availability(assessment)


def _availability(assessment: Assessment) -> ConditionResult:
    azure, selection, organizations = assessment.azure, assessment.selection, assessment.organizations
    if not organizations:
        message = "The authorizing account has no Azure DevOps organization. Add the account to the organizations."
        needs_user = bool(selection.requested)
        return ConditionResult("False", Reason.NO_ORGANIZATIONS, message, needs_user_action=needs_user)
    conflicting = {
        key
        for key, organization in organizations.items()
        if key in selection.desired and organization.is_held_by_other_connector
    }
    missing = [name for key, name in selection.requested.items() if key not in organizations and azure.available]
    needs_user = bool(missing) or not conflicting.isdisjoint(selection.requested)
    if conflicting:
        names = []
        for key in conflicting:
            holder = assessment.snapshot.conflicting_connectors.get(key)
            suffix = f" (by {truncate_message(holder, QUOTED_MAX)})" if holder else ""
            names.append(f"{selection.desired[key]}{suffix}")
        message = f"Already onboarded by another connector: {list_names(names)}. Remove it there, or exclude it here."
        return ConditionResult("False", Reason.ORGANIZATION_CONFLICT, message, needs_user_action=needs_user)
    if assessment.unreachable:
        account = assessment.connector.spec.authorizing_account
        message = (
            f"Defender's authorization no longer reaches {list_names(assessment.unreachable.values())}, so their "
            f"findings become outdated. Add the account that authorized Defender{f' ({account})' if account else ''} "
            f"to them again, or authorize again: {how_to_authorize(assessment)}"
        )
        return ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=True)
    if missing:
        message = (
            f"The authorizing account has no organization named {list_names(missing)}. Correct the name, or add the "
            "account to it."
        )
        return ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=needs_user)
    return ConditionResult("True", Reason.AVAILABLE, "Every selected organization can be onboarded.")


def pending_organizations(assessment: Assessment) -> ConditionResult | None:
    """Return a result that is not True while an organization that is requested by name is not onboarded."""
    azure = assessment.azure
    if not assessment.azure.is_settled:
        return None
    pending = []
    for key, name in assessment.selection.requested.items():
        organization = assessment.organizations.get(key)
        if organization is None:
            is_pending = not azure.available
        else:
            is_pending = not organization.is_onboarded and not organization.is_held_by_other_connector
        if is_pending:
            pending.append(name)
    if not pending:
        return None
    message = f"Defender for Cloud has not onboarded {list_names(pending)} yet."
    return ConditionResult("False", Reason.ONBOARDING, message)


def prerequisites_condition(
    assessment: Assessment, of_connector: tuple[Prerequisite, ...] = ()
) -> ConditionResult | None:
    """Return whether the connector and every desired organization that was checked meet all prerequisites.

    None while nothing was checked, and while only the connector's own were checked and are not violated.
    """
    desired, subscription = assessment.selection.desired, assessment.connector.spec.azure.subscription_id
    checks = {key: outcomes for key, outcomes in assessment.snapshot.prerequisites.items() if key in desired}
    awaits_organizations = not checks and assessment.connector.spec.sign_in_method is not SignInMethod.NONE
    result = prerequisites_result(checks | ({f"subscription {subscription}": of_connector} if of_connector else {}))
    if result is not None and awaits_organizations and result.status != "False":
        return None
    return result


def prerequisites_result(checks: Mapping[str, tuple[Prerequisite, ...]]) -> ConditionResult | None:
    """Return the result of the checks of some organizations; None if there is no check.

    Args:
        checks: by name of the organization or of the subscription.
    """
    if not checks:
        return None
    unmet = [
        (name, prerequisite)
        for name, prerequisites in sorted(checks.items())
        for prerequisite in prerequisites
        if prerequisite.status == "False"
    ]
    if unmet:
        parts = []
        for name, prerequisite in unmet[:NAMES_SHOWN]:
            cause = prerequisite.message or prerequisite.reason
            parts.append(
                f"{name}: {prerequisite.check}" + (f" ({truncate_message(cause, QUOTED_MAX)})" if cause else "")
            )
        hidden = f"; and {len(unmet) - NAMES_SHOWN} more" if len(unmet) > NAMES_SHOWN else ""
        return ConditionResult("False", Reason.PREREQUISITES_NOT_MET, f"{'; '.join(parts)}{hidden}")
    unknown = [name for name, outcomes in checks.items() if any(outcome.status == "Unknown" for outcome in outcomes)]
    if unknown:
        message = f"Not every check could be run in {list_names(unknown)}."
        return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message)
    return ConditionResult("True", Reason.PREREQUISITES_MET, "Every check passed.")
