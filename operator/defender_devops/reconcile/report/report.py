"""What is known of a connector, as the status that is written: `report(snapshot, failure, now)`, a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.conditions import (
    Conditions,
    find_condition,
    is_true,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    remove_condition,
    set_condition,
)
from defender_devops.api.connector import AuthorizationStatus, ConnectorStatus, SignInMethod, SignInStatus
from defender_devops.api.names import FINALIZER
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure
from defender_devops.reconcile.report import azure_conditions
from defender_devops.reconcile.report.authorization_conditions import authorized, reauth_required, signed_in
from defender_devops.reconcile.report.azure_status import azure_status
from defender_devops.reconcile.report.condition_result import ConditionResult, condition_of, not_checked
from defender_devops.reconcile.report.deletion import report_deletion
from defender_devops.reconcile.report.discovery_progress import Discovery, discovery
from defender_devops.reconcile.report.organizations import report_organizations, report_unobserved_organizations

__all__ = ["Report", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """The statuses to write, and when time alone changes one of them.

    Attributes:
        status: of the connector.
        organizations: of each DevOpsOrganization that refers to it.
        reevaluate_at: a moment at which a deadline or a rest ends, or None.
    """

    status: ConnectorStatus
    organizations: tuple[tuple[DevOpsOrganization, OrganizationStatus], ...] = ()
    reevaluate_at: datetime | None = None


def report(snapshot: ConnectorSnapshot, failure: Failure | None, now: datetime) -> Report:
    """Write up a snapshot into which every step that succeeded was folded.

    Args:
        snapshot: what is known.
        failure: of the step that failed, if one did.
        now: the moment, for transition times and deadlines.
    """
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        conditions = report_deletion(snapshot, failure, now)
        stays = snapshot.organizations if FINALIZER in connector.metadata.finalizers else ()
        return Report(
            _with(connector.status, snapshot, conditions), report_unobserved_organizations(stays, conditions, now)
        )
    if connector.spec.suspend:
        conditions = _suspended(snapshot, now)
        organizations = report_unobserved_organizations(snapshot.organizations, conditions, now)
        return Report(_with(connector.status, snapshot, conditions), organizations)
    if _is_patient(snapshot):
        return Report(connector.status)
    cloud = snapshot.cloud
    progress = discovery(snapshot, cloud, now) if isinstance(cloud, AzureState) and cloud.is_settled else None
    conditions = _conditions(snapshot, failure, progress, now)
    status = _with(_facts(snapshot, progress), snapshot, conditions)
    return Report(
        status.model_copy(update={"authorization": _authorization(snapshot, conditions, now)}),
        report_organizations(snapshot, conditions, progress, now),
        progress.reevaluate_at if progress else None,
    )


def _is_patient(snapshot: ConnectorSnapshot) -> bool:
    """A passing failure to read says nothing of a connector that works: a few of them in a row change no condition."""
    cloud, status = snapshot.cloud, snapshot.connector.status
    return (
        isinstance(cloud, Failure)
        and not cloud.terminal
        and snapshot.failures < snapshot.timings.patience
        and status.observed_generation == snapshot.connector.metadata.generation
        and is_true(status.conditions, ConditionType.READY)
    )


def _with(status: ConnectorStatus, snapshot: ConnectorSnapshot, conditions: Conditions) -> ConnectorStatus:
    return status.model_copy(
        update={
            "observed_generation": snapshot.connector.metadata.generation,
            "last_handled_reconcile_at": snapshot.connector.reconcile_requested_at,
            "conditions": conditions,
        }
    )


def _facts(snapshot: ConnectorSnapshot, progress: Discovery | None) -> ConnectorStatus:
    cloud = snapshot.cloud
    update: dict[str, object] = {"sign_in": _sign_in(snapshot)}
    if progress is not None:
        update["discovery"] = progress.status
    if isinstance(cloud, AzureState):
        update["connector_id"] = snapshot.connector.connector_ref.id if cloud.connector is not None else None
        update["azure"] = azure_status(snapshot, cloud)
    return snapshot.connector.status.model_copy(update=update)


def _sign_in(snapshot: ConnectorSnapshot) -> SignInStatus | None:
    sign_in, before = snapshot.sign_in, snapshot.connector.status.sign_in
    if snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        return None
    if sign_in is None:
        return before
    known = before or SignInStatus()
    return SignInStatus(
        account=sign_in.account or known.account,
        tenant_id=sign_in.tenant_id or known.tenant_id,
        url=sign_in.url,
        token_expires_at=sign_in.expires_at,
    )


def _authorization(snapshot: ConnectorSnapshot, conditions: Conditions, now: datetime) -> AuthorizationStatus | None:
    """LastAuthorizedAt moves when the condition turns True, not with each look.

    A code that is there when an authorization is first found to work is set aside, as if it had been sent.
    """
    status = snapshot.connector.status
    known = status.authorization or AuthorizationStatus()
    if not is_true(conditions, ConditionType.AUTHORIZED):
        return status.authorization
    if known.last_authorized_at is not None and is_true(status.conditions, ConditionType.AUTHORIZED):
        return status.authorization
    first = known.last_authorized_at is None and known.code_hash is None
    return known.model_copy(
        update={"last_authorized_at": now, "code_hash": snapshot.code.sha256 if first else known.code_hash}
    )


def _conditions(
    snapshot: ConnectorSnapshot, failure: Failure | None, progress: Discovery | None, now: datetime
) -> Conditions:
    conditions = snapshot.connector.status.conditions
    if snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        conditions = remove_condition(conditions, ConditionType.SIGNED_IN, ConditionType.PREREQUISITES_MET)
    generation = snapshot.connector.metadata.generation
    found = _verdicts(snapshot, failure, progress)
    for kind, verdict in found.items():
        conditions = _set(conditions, kind, verdict, generation, now)
    return _summary(conditions, _gates(snapshot, failure, found, conditions), generation, now)


def _verdicts(
    snapshot: ConnectorSnapshot, failure: Failure | None, progress: Discovery | None
) -> dict[ConditionType, ConditionResult | None]:
    """A verdict for each condition but the summary; None where nothing is known now and the last word stands."""
    authorization, sign_in = authorized(snapshot, failure), signed_in(snapshot)
    found: dict[ConditionType, ConditionResult | None] = {
        ConditionType.PROVISIONED: azure_conditions.provisioned(snapshot, failure),
        ConditionType.AUTHORIZED: authorization,
        ConditionType.REAUTH_REQUIRED: reauth_required(snapshot, authorization, sign_in),
        ConditionType.ORGANIZATIONS_AVAILABLE: azure_conditions.organizations_available(snapshot),
        ConditionType.DISCOVERED: _discovered(snapshot, progress),
    }
    if snapshot.connector.spec.sign_in_method is not SignInMethod.NONE:
        found[ConditionType.SIGNED_IN] = sign_in
        found[ConditionType.PREREQUISITES_MET] = azure_conditions.prerequisites_met(snapshot)
    return found


def _discovered(snapshot: ConnectorSnapshot, progress: Discovery | None) -> ConditionResult | None:
    if progress is not None:
        return azure_conditions.discovered(progress)
    if isinstance(snapshot.cloud, AzureState) and snapshot.cloud.configuration is None:
        return not_checked("Discovery begins as soon as Defender is authorized.")
    return None


def _set(
    conditions: Conditions, kind: str, verdict: ConditionResult | None, generation: int, now: datetime
) -> Conditions:
    """Set a condition; where nothing is known now the last word stands, for this generation too."""
    last = find_condition(conditions, kind)
    if verdict is not None:
        return set_condition(conditions, condition_of(kind, verdict, generation), now)
    if last is not None:
        return set_condition(conditions, last.model_copy(update={"observed_generation": generation}), now)
    if kind == ConditionType.SIGNED_IN:
        return conditions
    return set_condition(conditions, condition_of(kind, not_checked("It is not known yet."), generation), now)


def _summary(conditions: Conditions, gates: tuple[ConditionResult, ...], generation: int, now: datetime) -> Conditions:
    """Ready, Reconciling and Stalled, from the first of the verdicts that does not hold."""
    first = next((each for each in gates if not each.is_true), None)
    if first is None:
        return mark_ready(
            conditions,
            reason=Reason.READY,
            message="The connector is provisioned and authorized.",
            generation=generation,
            now=now,
        )
    mark = mark_stalled if first.needs_user_action else mark_reconciling
    return mark(conditions, reason=first.reason, message=first.message, generation=generation, now=now)


def _gates(
    snapshot: ConnectorSnapshot,
    failure: Failure | None,
    found: dict[ConditionType, ConditionResult | None],
    conditions: Conditions,
) -> tuple[ConditionResult, ...]:
    """What Ready rests on, the most important first."""
    provisioned = found[ConditionType.PROVISIONED] or _previous_condition(conditions, ConditionType.PROVISIONED)
    authorized = _previous_condition(conditions, ConditionType.AUTHORIZED)
    available = found[ConditionType.ORGANIZATIONS_AVAILABLE]
    first = (authorized, provisioned) if _waits(provisioned, authorized) else (provisioned, authorized)
    named = available if available is not None and available.needs_user_action else None
    gates = (azure_conditions.operator_failure(failure), *first, named, azure_conditions.pending_names(snapshot))
    return tuple(each for each in gates if each is not None)


def _waits(provisioned: ConditionResult, authorized: ConditionResult) -> bool:
    """Whether there is nothing to do in Azure until Defender is authorized."""
    waiting = (
        provisioned.reason in {Reason.CONNECTOR_NOT_FOUND, Reason.PROVISIONING} and not provisioned.needs_user_action
    )
    return waiting and authorized.status == "False"


def _previous_condition(conditions: Conditions, kind: str) -> ConditionResult:
    """What a condition says, new or old; but for a first authorization, what is False needs a person."""
    last = find_condition(conditions, kind)
    if last is None:
        return not_checked("It is not known yet.")
    needs_user_action = last.status == "False" and last.reason != Reason.AWAITING_AUTHORIZATION
    return ConditionResult(last.status, last.reason, last.message, needs_user_action=needs_user_action)


def _suspended(snapshot: ConnectorSnapshot, now: datetime) -> Conditions:
    """Ready keeps its status: what works goes on working while the operator looks away."""
    conditions = remove_condition(
        snapshot.connector.status.conditions, ConditionType.RECONCILING, ConditionType.STALLED
    )
    last = find_condition(conditions, ConditionType.READY)
    message = "spec.suspend is true: the operator neither reads nor changes anything in Azure."
    verdict = ConditionResult(last.status if last else "Unknown", Reason.SUSPENDED, message)
    return _set(conditions, ConditionType.READY, verdict, snapshot.connector.metadata.generation, now)
