"""One verdict for each condition of a connector that is about Azure and its organizations (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from defender_devops.api.azure_types import AzureOrganization, Configuration
from defender_devops.api.conditions import find_condition, truncate
from defender_devops.api.connector import AuthorizationMethod, Progress
from defender_devops.api.organization import Prerequisite
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.authorization import has_worked, is_broken, shows_a_loss, token_exchange_failed
from defender_devops.reconcile.facts.ownership import refusal
from defender_devops.reconcile.facts.snapshot import CloudState, ConnectorSnapshot, Failure
from defender_devops.reconcile.plan.diff import differences, has_failed, was_accepted
from defender_devops.reconcile.report.authorization_conditions import how_to_authorize
from defender_devops.reconcile.report.condition_result import (
    NAMES_SHOWN,
    OURSELVES,
    QUOTED_MAX,
    Verdict,
    failed,
    list_names,
    not_checked,
)
from defender_devops.reconcile.report.discovery_progress import Discovery

__all__ = [
    "discovered",
    "organizations_available",
    "ourselves",
    "pending_names",
    "prerequisites_met",
    "prerequisites_verdict",
    "provisioned",
]


def ourselves(failure: Failure | None) -> Verdict | None:
    """A step that failed here and not in Azure."""
    return failed(failure) if failure is not None and failure.reason in OURSELVES else None


def provisioned(snapshot: ConnectorSnapshot, failure: Failure | None) -> Verdict | None:
    """Connector and configuration exist and agree with the spec; None while Azure works and the last word stands."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure):
        return failed(cloud)
    refused = _step_in_azure(failure) or refusal(snapshot) or _own_rights(cloud)
    if refused is not None:
        return failed(refused)
    if cloud.connector is None or cloud.configuration is None:
        return _missing(snapshot, cloud)
    if cloud.is_busy:
        return _under_way(snapshot)
    if has_failed(cloud.configuration) and not token_exchange_failed(cloud.configuration):
        return _failed_change(cloud.configuration)
    return _compared(snapshot)


def _step_in_azure(failure: Failure | None) -> Failure | None:
    """A failed step, unless another condition tells of it."""
    told_elsewhere = OURSELVES | {Reason.TOKEN_EXCHANGE_FAILED}
    return failure if failure is not None and failure.reason not in told_elsewhere else None


def _failed_change(configuration: Configuration) -> Verdict:
    words = truncate(configuration.status_message, QUOTED_MAX).rstrip(".") or configuration.provisioning_state
    message = f"The last change of the connector's DevOps configuration failed in Azure: {words}."
    return Verdict("False", Reason.AZURE_UNAVAILABLE, f"{message} It is tried again within minutes.")


def _own_rights(cloud: CloudState) -> Failure | None:
    """A probe that only a person can mend, and that says nothing about Defender's authorization."""
    failure = cloud.probe_failure
    return failure if failure is not None and failure.terminal and not shows_a_loss(failure) else None


def _missing(snapshot: ConnectorSnapshot, cloud: CloudState) -> Verdict:
    ref, spec = snapshot.connector.connector_ref, snapshot.connector.spec
    what = f"connector {ref.name}" if cloud.connector is None else f"DevOps configuration of connector {ref.name}"
    where = f"in resource group {ref.resource_group} of subscription {ref.subscription_id}"
    if has_worked(snapshot):
        message = f"The {what} {where} was deleted, and its authorization with it. {how_to_authorize(snapshot)}"
        return Verdict("False", Reason.CONNECTOR_NOT_FOUND, message, stalls=True)
    if desired_state.observes(snapshot):
        message = f"There is no {what} {where}, and managementPolicy Observe creates none."
    elif spec.authorization.method is AuthorizationMethod.ADOPT:
        message = f"There is no {what} {where}. Create and authorize it in the Defender portal; it is then adopted."
    else:
        message = f"The {what} is created as soon as there is a one-time code."
    return Verdict("False", Reason.CONNECTOR_NOT_FOUND, message)


def _under_way(snapshot: ConnectorSnapshot) -> Verdict | None:
    """What agreed with this spec before goes on doing so while a drift is put right."""
    connector = snapshot.connector
    last = find_condition(connector.status.conditions, ConditionType.PROVISIONED)
    if last is not None and last.is_true and last.observed_generation == connector.metadata.generation:
        return None
    return Verdict("False", Reason.PROVISIONING, "Azure is working on the connector's DevOps configuration.")


def _compared(snapshot: ConnectorSnapshot) -> Verdict:
    steps = [step.describe() for step in differences(snapshot) if not was_accepted(snapshot, step)]
    if not steps:
        return Verdict("True", Reason.PROVISIONED, "Azure agrees with the spec.")
    what = "; ".join(steps)
    if desired_state.observes(snapshot):
        message = f"Azure differs from the spec, and managementPolicy Observe forbids to {what}."
        return Verdict("False", Reason.DRIFT_DETECTED, message, stalls=True)
    when = ", once Defender is authorized" if is_broken(snapshot) else ""
    return Verdict("False", Reason.PROVISIONING, f"Still to do{when}: {what}.")


def organizations_available(snapshot: ConnectorSnapshot) -> Verdict | None:
    """No wanted organization is held elsewhere or missing; None where it is not known."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure):
        return None
    if cloud.configuration is None:
        return not_checked("Which organizations there are is seen as soon as Defender is authorized.")
    if cloud.available is None or not cloud.is_settled:
        return None
    if not desired_state.found(cloud):
        message = "The authorizing account sees no Azure DevOps organization. Add the account to the organizations."
        return Verdict("False", Reason.NO_ORGANIZATIONS, message, stalls=bool(desired_state.named(snapshot)))
    return _unavailable(snapshot, cloud) or Verdict(
        "True", Reason.AVAILABLE, "Every organization that is wanted can be onboarded."
    )


def _unavailable(snapshot: ConnectorSnapshot, cloud: CloudState) -> Verdict | None:
    """Wanted organizations that are held elsewhere, or named ones that nobody sees."""
    found, wanted, named = (
        desired_state.found(cloud),
        desired_state.standing(snapshot).wanted,
        desired_state.named(snapshot),
    )
    held = {key for key, each in found.items() if key in wanted and desired_state.is_held_elsewhere(each)}
    missing = [name for key, name in named.items() if key not in found and cloud.available]
    stalls = bool(missing) or not held.isdisjoint(named)
    if held:
        who = list_names(_with_holder(snapshot, key, wanted[key]) for key in held)
        message = f"Another connector of the tenant holds {who}. Take it out there, or leave it out here."
        return Verdict("False", Reason.ORGANIZATION_CONFLICT, message, stalls=stalls)
    if missing:
        message = (
            f"The authorizing account sees no organization named {list_names(missing)}. Correct the name, or add the "
            "account to it."
        )
        return Verdict("False", Reason.ORGANIZATION_NOT_FOUND, message, stalls=stalls)
    return None


def _with_holder(snapshot: ConnectorSnapshot, key: str, name: str) -> str:
    holder = snapshot.rivals.get(key)
    return f"{name} (held by {truncate(holder, QUOTED_MAX)})" if holder else name


def pending_names(snapshot: ConnectorSnapshot) -> Verdict | None:
    """A verdict that does not hold while an organization that was asked for by name is still to be onboarded."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure) or not cloud.is_settled:
        return None
    found = desired_state.found(cloud)
    pending = [
        name
        for key, name in desired_state.named(snapshot).items()
        if _is_pending(found.get(key), told=bool(cloud.available))
    ]
    if not pending:
        return None
    message = f"Defender for Cloud has not onboarded {list_names(pending)} yet."
    return Verdict("False", Reason.ONBOARDING, message)


def _is_pending(found: AzureOrganization | None, *, told: bool) -> bool:
    if found is None:
        return not told
    return not desired_state.is_onboarded(found) and not desired_state.is_held_elsewhere(found)


def discovered(progress: Discovery) -> Verdict:
    """Defender has reported what Azure DevOps holds."""
    status = progress.status
    if status.projects is None or status.repositories is None:
        return not_checked("No organization is onboarded yet.")
    counts = f"{_of(status.projects)} projects and {_of(status.repositories)} repositories"
    if progress.complete:
        return Verdict("True", Reason.DISCOVERED, f"Defender for Cloud has reported {counts}.")
    if progress.exceeded:
        message = (
            f"After the deadline Defender for Cloud has reported {counts}; lagging: {list_names(progress.lagging)}. "
            "Check the prerequisites there and that repositories are below 1 GB, or raise spec.discovery.deadline."
        )
        return Verdict("False", Reason.DEADLINE_EXCEEDED, message)
    return Verdict("False", Reason.DISCOVERING, f"Defender for Cloud has reported {counts} so far.")


def _of(progress: Progress) -> str:
    return f"{progress.discovered}" if progress.expected is None else f"{progress.discovered} of {progress.expected}"


def prerequisites_met(snapshot: ConnectorSnapshot) -> Verdict | None:
    """Every wanted organization that was checked meets all; None where nothing was checked."""
    wanted = desired_state.standing(snapshot).wanted
    return prerequisites_verdict({key: made for key, made in snapshot.prerequisites.items() if key in wanted})


def prerequisites_verdict(checks: Mapping[str, tuple[Prerequisite, ...]]) -> Verdict | None:
    """The verdict on checks by organization."""
    if not checks:
        return None
    unmet = [(name, each) for name, made in sorted(checks.items()) for each in made if each.status == "False"]
    if unmet:
        first = "; ".join(_unmet(name, each) for name, each in unmet[:NAMES_SHOWN])
        more = f"; and {len(unmet) - NAMES_SHOWN} more" if len(unmet) > NAMES_SHOWN else ""
        return Verdict("False", Reason.PREREQUISITES_NOT_MET, f"{first}{more}")
    unknown = [name for name, made in checks.items() if any(each.status == "Unknown" for each in made)]
    if unknown:
        return Verdict("Unknown", Reason.CHECK_UNAVAILABLE, f"Not every check could be made in {list_names(unknown)}.")
    return Verdict("True", Reason.PREREQUISITES_MET, "Every check was passed.")


def _unmet(name: str, prerequisite: Prerequisite) -> str:
    why = prerequisite.message or prerequisite.reason
    return f"{name}: {prerequisite.check}" + (f" ({truncate(why, QUOTED_MAX)})" if why else "")
