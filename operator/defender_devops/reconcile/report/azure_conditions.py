"""One verdict for each condition of a connector that is about Azure and its organizations (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from defender_devops.api.azure_types import AzureOrganization, Configuration
from defender_devops.api.conditions import find_condition, truncate
from defender_devops.api.connector import AuthorizationMethod, Progress
from defender_devops.api.organization import Prerequisite
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.authorization import (
    has_worked,
    indicates_authorization_loss,
    is_broken,
    token_exchange_failed,
)
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.diff import differences, is_accepted_by_azure, operation_failed
from defender_devops.reconcile.report.authorization_conditions import how_to_authorize
from defender_devops.reconcile.report.condition_result import (
    NAMES_SHOWN,
    OPERATOR_FAILURE_REASONS,
    QUOTED_MAX,
    ConditionResult,
    failed,
    list_names,
    not_checked,
)
from defender_devops.reconcile.report.discovery_progress import Discovery

__all__ = [
    "discovered",
    "operator_failure",
    "organizations_available",
    "pending_names",
    "prerequisites_met",
    "prerequisites_verdict",
    "provisioned",
]


def operator_failure(failure: Failure | None) -> ConditionResult | None:
    """A step that failed here and not in Azure."""
    return failed(failure) if failure is not None and failure.reason in OPERATOR_FAILURE_REASONS else None


def provisioned(snapshot: ConnectorSnapshot, failure: Failure | None) -> ConditionResult | None:
    """Connector and configuration exist and agree with the spec; None while Azure works and the last word stands."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure):
        return failed(cloud)
    refused = _step_in_azure(failure) or ownership_conflict(snapshot) or _own_rights(cloud)
    if refused is not None:
        return failed(refused)
    if cloud.connector is None or cloud.configuration is None:
        return _missing(snapshot, cloud)
    if cloud.is_busy:
        return _under_way(snapshot)
    if operation_failed(cloud.configuration) and not token_exchange_failed(cloud.configuration):
        return _failed_change(cloud.configuration)
    return _compared(snapshot)


def _step_in_azure(failure: Failure | None) -> Failure | None:
    """A failed step, unless another condition tells of it."""
    told_elsewhere = OPERATOR_FAILURE_REASONS | {Reason.TOKEN_EXCHANGE_FAILED}
    return failure if failure is not None and failure.reason not in told_elsewhere else None


def _failed_change(configuration: Configuration) -> ConditionResult:
    words = truncate(configuration.status_message, QUOTED_MAX).rstrip(".") or configuration.provisioning_state
    message = f"The last change of the connector's DevOps configuration failed in Azure: {words}."
    return ConditionResult("False", Reason.AZURE_UNAVAILABLE, f"{message} It is tried again within minutes.")


def _own_rights(cloud: AzureState) -> Failure | None:
    """A probe that only a person can mend, and that says nothing about Defender's authorization."""
    failure = cloud.probe_failure
    return failure if failure is not None and failure.terminal and not indicates_authorization_loss(failure) else None


def _missing(snapshot: ConnectorSnapshot, cloud: AzureState) -> ConditionResult:
    ref, spec = snapshot.connector.connector_ref, snapshot.connector.spec
    what = f"connector {ref.name}" if cloud.connector is None else f"DevOps configuration of connector {ref.name}"
    where = f"in resource group {ref.resource_group} of subscription {ref.subscription_id}"
    if has_worked(snapshot):
        message = f"The {what} {where} was deleted, and its authorization with it. {how_to_authorize(snapshot)}"
        return ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, message, needs_user_action=True)
    if desired_state.is_observe_only(snapshot):
        message = f"There is no {what} {where}, and managementPolicy Observe creates none."
    elif spec.authorization.method is AuthorizationMethod.ADOPT:
        message = f"There is no {what} {where}. Create and authorize it in the Defender portal; it is then adopted."
    else:
        message = f"The {what} is created as soon as there is a one-time code."
    return ConditionResult("False", Reason.CONNECTOR_NOT_FOUND, message)


def _under_way(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    """What agreed with this spec before goes on doing so while a drift is put right."""
    connector = snapshot.connector
    last = find_condition(connector.status.conditions, ConditionType.PROVISIONED)
    if last is not None and last.is_true and last.observed_generation == connector.metadata.generation:
        return None
    return ConditionResult("False", Reason.PROVISIONING, "Azure is working on the connector's DevOps configuration.")


def _compared(snapshot: ConnectorSnapshot) -> ConditionResult:
    steps = [step.describe() for step in differences(snapshot) if not is_accepted_by_azure(snapshot, step)]
    if not steps:
        return ConditionResult("True", Reason.PROVISIONED, "Azure agrees with the spec.")
    what = "; ".join(steps)
    if desired_state.is_observe_only(snapshot):
        message = f"Azure differs from the spec, and managementPolicy Observe forbids to {what}."
        return ConditionResult("False", Reason.DRIFT_DETECTED, message, needs_user_action=True)
    when = ", once Defender is authorized" if is_broken(snapshot) else ""
    return ConditionResult("False", Reason.PROVISIONING, f"Still to do{when}: {what}.")


def organizations_available(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    """No wanted organization is held elsewhere or missing; None where it is not known."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure):
        return None
    if cloud.configuration is None:
        return not_checked("Which organizations there are is seen as soon as Defender is authorized.")
    if cloud.available is None or not cloud.is_settled:
        return None
    if not desired_state.azure_organizations(cloud):
        message = "The authorizing account sees no Azure DevOps organization. Add the account to the organizations."
        return ConditionResult(
            "False", Reason.NO_ORGANIZATIONS, message, needs_user_action=bool(desired_state.requested_names(snapshot))
        )
    return _unavailable(snapshot, cloud) or ConditionResult(
        "True", Reason.AVAILABLE, "Every organization that is wanted can be onboarded."
    )


def _unavailable(snapshot: ConnectorSnapshot, cloud: AzureState) -> ConditionResult | None:
    """Wanted organizations that are held elsewhere, or named ones that nobody sees."""
    found, wanted, named = (
        desired_state.azure_organizations(cloud),
        desired_state.organization_selection(snapshot).wanted,
        desired_state.requested_names(snapshot),
    )
    held = {key for key, each in found.items() if key in wanted and desired_state.is_held_by_other_connector(each)}
    missing = [name for key, name in named.items() if key not in found and cloud.available]
    needs_user_action = bool(missing) or not held.isdisjoint(named)
    if held:
        who = list_names(_with_holder(snapshot, key, wanted[key]) for key in held)
        message = f"Another connector of the tenant holds {who}. Take it out there, or leave it out here."
        return ConditionResult("False", Reason.ORGANIZATION_CONFLICT, message, needs_user_action=needs_user_action)
    if missing:
        message = (
            f"The authorizing account sees no organization named {list_names(missing)}. Correct the name, or add the "
            "account to it."
        )
        return ConditionResult("False", Reason.ORGANIZATION_NOT_FOUND, message, needs_user_action=needs_user_action)
    return None


def _with_holder(snapshot: ConnectorSnapshot, key: str, name: str) -> str:
    holder = snapshot.conflicting_connectors.get(key)
    return f"{name} (held by {truncate(holder, QUOTED_MAX)})" if holder else name


def pending_names(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    """A verdict that does not hold while an organization that was asked for by name is still to be onboarded."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure) or not cloud.is_settled:
        return None
    found = desired_state.azure_organizations(cloud)
    pending = [
        name
        for key, name in desired_state.requested_names(snapshot).items()
        if _is_pending(found.get(key), told=bool(cloud.available))
    ]
    if not pending:
        return None
    message = f"Defender for Cloud has not onboarded {list_names(pending)} yet."
    return ConditionResult("False", Reason.ONBOARDING, message)


def _is_pending(found: AzureOrganization | None, *, told: bool) -> bool:
    if found is None:
        return not told
    return not desired_state.is_onboarded(found) and not desired_state.is_held_by_other_connector(found)


def discovered(progress: Discovery) -> ConditionResult:
    """Defender has reported what Azure DevOps holds."""
    status = progress.status
    if status.projects is None or status.repositories is None:
        return not_checked("No organization is onboarded yet.")
    counts = f"{_of(status.projects)} projects and {_of(status.repositories)} repositories"
    if progress.complete:
        return ConditionResult("True", Reason.DISCOVERED, f"Defender for Cloud has reported {counts}.")
    if progress.exceeded:
        message = (
            f"After the deadline Defender for Cloud has reported {counts}; lagging: {list_names(progress.lagging)}. "
            "Check the prerequisites there and that repositories are below 1 GB, or raise spec.discovery.deadline."
        )
        return ConditionResult("False", Reason.DEADLINE_EXCEEDED, message)
    return ConditionResult("False", Reason.DISCOVERING, f"Defender for Cloud has reported {counts} so far.")


def _of(progress: Progress) -> str:
    return f"{progress.discovered}" if progress.expected is None else f"{progress.discovered} of {progress.expected}"


def prerequisites_met(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    """Every wanted organization that was checked meets all; None where nothing was checked."""
    wanted = desired_state.organization_selection(snapshot).wanted
    return prerequisites_verdict({key: made for key, made in snapshot.prerequisites.items() if key in wanted})


def prerequisites_verdict(checks: Mapping[str, tuple[Prerequisite, ...]]) -> ConditionResult | None:
    """The verdict on checks by organization."""
    if not checks:
        return None
    unmet = [(name, each) for name, made in sorted(checks.items()) for each in made if each.status == "False"]
    if unmet:
        first = "; ".join(_unmet(name, each) for name, each in unmet[:NAMES_SHOWN])
        more = f"; and {len(unmet) - NAMES_SHOWN} more" if len(unmet) > NAMES_SHOWN else ""
        return ConditionResult("False", Reason.PREREQUISITES_NOT_MET, f"{first}{more}")
    unknown = [name for name, made in checks.items() if any(each.status == "Unknown" for each in made)]
    if unknown:
        return ConditionResult(
            "Unknown", Reason.CHECK_UNAVAILABLE, f"Not every check could be made in {list_names(unknown)}."
        )
    return ConditionResult("True", Reason.PREREQUISITES_MET, "Every check was passed.")


def _unmet(name: str, prerequisite: Prerequisite) -> str:
    why = prerequisite.message or prerequisite.reason
    return f"{name}: {prerequisite.check}" + (f" ({truncate(why, QUOTED_MAX)})" if why else "")
