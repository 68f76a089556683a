"""What is known of a connector, as the status that is written: `report(snapshot, failure, now)`, a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.conditions import (
    Condition,
    Conditions,
    find_condition,
    is_true,
    mark_ready,
    mark_reconciling,
    mark_stalled,
    remove_condition,
    set_condition,
)
from defender_devops.api.connector import AuthorizationStatus, AzureStatus, ConnectorStatus, SignInStatus
from defender_devops.api.organization import DevOpsOrganization, OrganizationStatus
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile import verdicts
from defender_devops.reconcile.deletion import was_created
from defender_devops.reconcile.discovery import Discovery, discovery
from defender_devops.reconcile.ownership import refusal
from defender_devops.reconcile.report_organizations import report_organizations
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot, Failure
from defender_devops.reconcile.verdicts import Verdict

__all__ = ["Report", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """The statuses to write, and when time alone changes one of them.

    Attributes:
        status: of the connector.
        organizations: of each DevOpsOrganization that refers to it.
        next_look: a moment at which a deadline or a rest ends, or None.
    """

    status: ConnectorStatus
    organizations: tuple[tuple[DevOpsOrganization, OrganizationStatus], ...] = ()
    next_look: datetime | None = None


def report(snapshot: ConnectorSnapshot, failure: Failure | None, now: datetime) -> Report:
    """Write up a snapshot into which every step that succeeded was folded.

    Args:
        snapshot: what is known.
        failure: of the step that failed, if one did.
        now: the moment, for transition times and deadlines.
    """
    connector = snapshot.connector
    if connector.metadata.is_deleting:
        return Report(_with(connector.status, snapshot, _deleting(snapshot, failure, now)))
    if connector.spec.suspend:
        return Report(_with(connector.status, snapshot, _suspended(snapshot, now)))
    if _is_patient(snapshot):
        return Report(connector.status)
    cloud = snapshot.cloud
    known = isinstance(cloud, CloudState) and cloud.configuration is not None
    progress = discovery(snapshot, cloud, now) if isinstance(cloud, CloudState) and known else None
    status = _facts(snapshot, progress)
    conditions = _conditions(snapshot, failure, progress, now)
    status = _with(status, snapshot, conditions)
    return Report(
        status.model_copy(update={"authorization": _authorization(snapshot, conditions, now)}),
        report_organizations(snapshot, conditions, progress, now),
        progress.next_look if progress else None,
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
    metadata = snapshot.connector.metadata
    return status.model_copy(
        update={
            "observed_generation": metadata.generation,
            "last_handled_reconcile_at": snapshot.connector.reconcile_requested_at,
            "conditions": conditions,
        }
    )


def _facts(snapshot: ConnectorSnapshot, progress: Discovery | None) -> ConnectorStatus:
    status, cloud = snapshot.connector.status, snapshot.cloud
    update: dict[str, object] = {"sign_in": _sign_in(snapshot)}
    if progress is not None:
        update["discovery"] = progress.status
    if isinstance(cloud, CloudState) and cloud.connector is not None:
        update["connector_id"] = snapshot.connector.connector_ref.id
        if refusal(snapshot) is None:
            update["azure"] = _azure(snapshot, cloud)
    return status.model_copy(update=update)


def _azure(snapshot: ConnectorSnapshot, cloud: CloudState) -> AzureStatus:
    spec, before = snapshot.connector.spec, snapshot.connector.status.azure
    readers = tuple(sorted(each.object_id for each in spec.security_readers))
    settled = cloud.available is not None and cloud.configuration is not None
    mode = spec.organizations.mode if settled else (before.organizations_mode if before else None)
    return AzureStatus(
        created=was_created(snapshot),
        managed_tag_keys=tuple(sorted(spec.azure.tags)),
        organizations_mode=mode,
        security_readers=readers if cloud.readers is not None else (before.security_readers if before else ()),
    )


def _sign_in(snapshot: ConnectorSnapshot) -> SignInStatus | None:
    sign_in, before = snapshot.sign_in, snapshot.connector.status.sign_in
    if sign_in is None:
        return None
    known = before or SignInStatus()
    return SignInStatus(
        account=sign_in.account or known.account,
        tenant_id=sign_in.tenant_id or known.tenant_id,
        url=sign_in.url,
        token_expires_at=sign_in.expires_at,
    )


def _authorization(snapshot: ConnectorSnapshot, conditions: Conditions, now: datetime) -> AuthorizationStatus:
    """LastAuthorizedAt moves when the condition turns True, not with each look."""
    status = snapshot.connector.status
    known = status.authorization or AuthorizationStatus()
    works = is_true(conditions, ConditionType.AUTHORIZED)
    began = works and (known.last_authorized_at is None or not is_true(status.conditions, ConditionType.AUTHORIZED))
    return known.model_copy(update={"last_authorized_at": now}) if began else known


def _conditions(
    snapshot: ConnectorSnapshot, failure: Failure | None, progress: Discovery | None, now: datetime
) -> Conditions:
    before = snapshot.connector.status.conditions
    provisioned = verdicts.provisioned(snapshot, failure, now)
    authorized = verdicts.authorized(snapshot)
    sign_in = verdicts.signed_in(snapshot)
    available = verdicts.organizations_available(snapshot)
    found: dict[ConditionType, Verdict | None] = {
        ConditionType.PROVISIONED: provisioned,
        ConditionType.AUTHORIZED: authorized,
        ConditionType.SIGNED_IN: sign_in,
        ConditionType.REAUTH_REQUIRED: verdicts.reauth_required(snapshot, authorized, sign_in),
        ConditionType.PREREQUISITES_MET: verdicts.prerequisites_met(snapshot),
        ConditionType.ORGANIZATIONS_AVAILABLE: available,
        ConditionType.DISCOVERED: _discovered(progress) if progress else None,
    }
    conditions = before
    if snapshot.sign_in is None:
        conditions = remove_condition(conditions, ConditionType.SIGNED_IN, ConditionType.PREREQUISITES_MET)
    generation = snapshot.connector.metadata.generation
    for kind, verdict in found.items():
        conditions = _set(conditions, kind, verdict, generation, now)
    gates = _gates(snapshot, provisioned, authorized or _remembered(conditions, ConditionType.AUTHORIZED), available)
    return _summary(conditions, gates, generation, now)


def _set(conditions: Conditions, kind: str, verdict: Verdict | None, generation: int, now: datetime) -> Conditions:
    """Set a condition; where nothing is known now the last word stands, for this generation too."""
    if verdict is None:
        last = find_condition(conditions, kind)
        if last is None:
            return conditions
        return set_condition(conditions, last.model_copy(update={"observed_generation": generation}), now)
    new = Condition(
        type=kind,
        status=verdict.status,
        observed_generation=generation,
        reason=verdict.reason,
        message=verdict.message,
    )
    return set_condition(conditions, new, now)


def _discovered(progress: Discovery) -> Verdict:
    status = progress.status
    counts = f"{_of(status.projects)} projects and {_of(status.repositories)} repositories"
    if progress.complete:
        return Verdict("True", Reason.DISCOVERED, f"Defender for Cloud has reported {counts}.")
    if progress.exceeded:
        names = ", ".join(progress.lagging[: verdicts.NAMES_SHOWN])
        message = (
            f"After the deadline Defender for Cloud has reported {counts}; lagging: {names}. Check the prerequisites "
            "there, and that repositories are below 1 GB."
        )
        return Verdict("False", Reason.DEADLINE_EXCEEDED, message)
    return Verdict("False", Reason.DISCOVERING, f"Defender for Cloud has reported {counts} so far.")


def _of(counts: object) -> str:
    discovered, expected = getattr(counts, "discovered", 0), getattr(counts, "expected", None)
    return f"{discovered}" if expected is None else f"{discovered} of {expected}"


def _summary(conditions: Conditions, gates: tuple[Verdict, ...], generation: int, now: datetime) -> Conditions:
    """Ready, Reconciling and Stalled, from the first of the verdicts that does not hold."""
    first = next((each for each in gates if not each.holds), None)
    if first is None:
        return mark_ready(
            conditions,
            reason=Reason.READY,
            message="The connector is provisioned and authorized.",
            generation=generation,
            now=now,
        )
    mark = mark_stalled if first.stalls else mark_reconciling
    return mark(conditions, reason=first.reason, message=first.message, generation=generation, now=now)


def _gates(
    snapshot: ConnectorSnapshot, provisioned: Verdict, authorized: Verdict, available: Verdict | None
) -> tuple[Verdict, ...]:
    """What Ready rests on, the most important first."""
    waits_for_authorization = provisioned.reason in {Reason.CONNECTOR_NOT_FOUND, Reason.PROVISIONING}
    first = (
        (authorized, provisioned)
        if waits_for_authorization and authorized.status == "False"
        else (provisioned, authorized)
    )
    named = (available,) if available is not None and available.stalls else ()
    return (*first, *named, *verdicts.pending_names(snapshot))


def _remembered(conditions: Conditions, kind: str) -> Verdict:
    last = find_condition(conditions, kind)
    if last is None:
        return Verdict("Unknown", Reason.NOT_CHECKED, "It is not known yet whether Defender's authorization works.")
    return Verdict(last.status, last.reason, last.message, stalls=last.status == "False")


def _suspended(snapshot: ConnectorSnapshot, now: datetime) -> Conditions:
    """Ready keeps its status: what works goes on working while the operator looks away."""
    conditions = remove_condition(
        snapshot.connector.status.conditions, ConditionType.RECONCILING, ConditionType.STALLED
    )
    last = find_condition(conditions, ConditionType.READY)
    message = "spec.suspend is true: the operator neither reads nor changes anything in Azure."
    verdict = Verdict(last.status if last else "Unknown", Reason.SUSPENDED, message)
    return _set(conditions, ConditionType.READY, verdict, snapshot.connector.metadata.generation, now)


def _deleting(snapshot: ConnectorSnapshot, failure: Failure | None, now: datetime) -> Conditions:
    connector = snapshot.connector
    cause = failure or (snapshot.cloud if isinstance(snapshot.cloud, Failure) else None)
    generation = connector.metadata.generation
    if cause is None:
        return mark_reconciling(
            connector.status.conditions,
            reason=Reason.DELETING,
            message="The connector is being deleted in Azure.",
            generation=generation,
            now=now,
        )
    message = (
        f"The connector cannot be deleted in Azure: {cause.message.rstrip('.')}. To let go of it and leave it there: "
        f"kubectl -n {connector.metadata.namespace} patch azuredevopsconnector {connector.metadata.name} --type merge "
        """-p '{"spec":{"deletionPolicy":"Detach"}}'"""
    )
    conditions = connector.status.conditions
    return mark_stalled(conditions, reason=Reason.DELETION_BLOCKED, message=message, generation=generation, now=now)
