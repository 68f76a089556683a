"""One verdict for each condition of a connector (pure).

A verdict is a condition without its times: status, reason, message, and whether a False one needs a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from defender_devops.api.conditions import Status, find_condition
from defender_devops.api.connector import AuthorizationMethod, ManagementPolicy, OrganizationsMode
from defender_devops.api.organization import Prerequisite
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.reconcile import desired
from defender_devops.reconcile.authorization import (
    Authorization,
    State,
    authorization,
    has_worked,
    is_under_way,
    last_authorized_at,
    unspent_code,
)
from defender_devops.reconcile.ownership import refusal, was_ours
from defender_devops.reconcile.plan import differences
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot, Failure

__all__ = [
    "Verdict",
    "authorized",
    "organizations_available",
    "pending_names",
    "prerequisites_met",
    "prerequisites_verdict",
    "provisioned",
    "reauth_required",
    "signed_in",
]

NAMES_SHOWN = 3
"""A message names so many organizations and counts the rest."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition without its times.

    Attributes:
        stalls: where it is not True, only a person can mend it.
    """

    status: Status
    reason: str
    message: str
    stalls: bool = False

    @property
    def holds(self) -> bool:
        """Whether the condition is True."""
        return self.status == "True"


def failed(failure: Failure) -> Verdict:
    """The verdict that an error ends in."""
    return Verdict("False", failure.reason, failure.message, stalls=failure.terminal)


def provisioned(snapshot: ConnectorSnapshot, failure: Failure | None, now: datetime) -> Verdict:
    """Connector and configuration exist and agree with the spec."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure):
        return failed(cloud)
    if failure is not None:
        return failed(failure)
    refused = refusal(snapshot)
    if refused is not None:
        return failed(refused)
    if cloud.connector is None or cloud.configuration is None:
        return _missing(snapshot, cloud)
    if is_under_way(cloud.configuration):
        return Verdict("False", Reason.PROVISIONING, "Azure is working on the connector's DevOps configuration.")
    return _compared(snapshot, now)


def _missing(snapshot: ConnectorSnapshot, cloud: CloudState) -> Verdict:
    ref, spec = snapshot.connector.connector_ref, snapshot.connector.spec
    what = f"connector {ref.name}" if cloud.connector is None else f"DevOps configuration of connector {ref.name}"
    where = f"in resource group {ref.resource_group} of subscription {ref.subscription_id}"
    if was_ours(snapshot) and has_worked(snapshot):
        return Verdict("False", Reason.CONNECTOR_NOT_FOUND, f"The {what} {where} was deleted.", stalls=True)
    if spec.authorization.method is AuthorizationMethod.ADOPT:
        return Verdict(
            "False",
            Reason.CONNECTOR_NOT_FOUND,
            f"There is no {what} {where}. Create and authorize it in the Defender portal; it is then adopted.",
        )
    return Verdict("False", Reason.CONNECTOR_NOT_FOUND, f"The {what} is created as soon as there is a one-time code.")


def _compared(snapshot: ConnectorSnapshot, now: datetime) -> Verdict:
    different = differences(snapshot, now)
    if not different:
        return Verdict("True", Reason.PROVISIONED, "Azure agrees with the spec.")
    steps = "; ".join(action.describe() for action in different)
    if snapshot.connector.spec.management_policy is ManagementPolicy.OBSERVE:
        return Verdict(
            "False",
            Reason.DRIFT_DETECTED,
            f"Azure differs from the spec, and managementPolicy Observe forbids to {steps}.",
            stalls=True,
        )
    return Verdict("False", Reason.PROVISIONING, f"Still to do: {steps}.")


def authorized(snapshot: ConnectorSnapshot) -> Verdict | None:
    """Defender holds an authorization that works; None where that is not known now and the last word stands."""
    judged = authorization(snapshot)
    match judged.state:
        case State.WORKS:
            return Verdict("True", Reason.AUTHORIZED, "Defender for Cloud reaches Azure DevOps.")
        case State.BEING_EXCHANGED:
            return Verdict(
                "Unknown", Reason.AWAITING_AUTHORIZATION, "Defender for Cloud is redeeming the one-time code."
            )
        case State.EXCHANGE_FAILED:
            return Verdict(
                "False",
                Reason.TOKEN_EXCHANGE_FAILED,
                f"Defender for Cloud could not redeem the one-time code; it is spent. {_how_to_authorize(snapshot)}",
                stalls=True,
            )
        case State.LOST:
            return Verdict("False", Reason.AUTHORIZATION_LOST, _lost(snapshot, judged), stalls=True)
        case State.NEVER_GIVEN:
            return _never_given(snapshot)
        case State.UNKNOWN:
            return _not_known(snapshot)


def _never_given(snapshot: ConnectorSnapshot) -> Verdict:
    problem = snapshot.code.problem
    if snapshot.connector.spec.authorization.method is AuthorizationMethod.CODE and problem:
        refused = Reason.AUTHORIZATION_CODE_INVALID if snapshot.code.refused else Reason.AWAITING_AUTHORIZATION
        return Verdict("False", refused, problem, stalls=snapshot.code.refused)
    if snapshot.code.sha256 is not None and unspent_code(snapshot) is None:
        message = f"The one-time code was handed over already and is never sent again. {_how_to_authorize(snapshot)}"
        return Verdict("False", Reason.AWAITING_AUTHORIZATION, message)
    return Verdict("False", Reason.AWAITING_AUTHORIZATION, _how_to_authorize(snapshot))


def _not_known(snapshot: ConnectorSnapshot) -> Verdict | None:
    if find_condition(snapshot.connector.status.conditions, ConditionType.AUTHORIZED) is not None:
        return None
    return Verdict("Unknown", Reason.NOT_CHECKED, "It is not known yet whether Defender's authorization works.")


def _lost(snapshot: ConnectorSnapshot, judged: Authorization) -> str:
    account = snapshot.connector.spec.authorizing_account
    who = f"the account {account}" if account else "the account that authorized it"
    since = last_authorized_at(snapshot)
    when = f", authorized on {since:%Y-%m-%d %H:%M} UTC," if since else ""
    return (
        f"Defender for Cloud{when} can no longer work in Azure DevOps under {who}: {judged.detail.rstrip('.')}. "
        f"Restore that account's access, or authorize again: {_how_to_authorize(snapshot)}"
    )


def _how_to_authorize(snapshot: ConnectorSnapshot) -> str:
    spec, name = snapshot.connector.spec, snapshot.connector.connector_ref.name
    account = f" as {spec.authorizing_account}" if spec.authorizing_account else ""
    reference = spec.authorization.code_secret_ref
    if spec.authorization.method is AuthorizationMethod.CODE and reference is not None:
        page = snapshot.sign_in.url if snapshot.sign_in else None
        paste = f", or paste it at {page}" if page else ""
        return (
            f"Sign in{account}, get a new one-time code and put it into key {reference.key} of Secret {reference.name}"
            f"{paste}. It is valid for minutes."
        )
    return f"Authorize connector {name} in the Defender portal{account}."


def signed_in(snapshot: ConnectorSnapshot) -> Verdict | None:
    """The operator's own sign-in works; None with method None, or where it is not known."""
    sign_in = snapshot.sign_in
    if sign_in is None:
        return None
    if sign_in.signed_in:
        return Verdict("True", Reason.SIGNED_IN, f"Signed in as {sign_in.account or 'the service principal'}.")
    status: Status = "False" if sign_in.signed_in is False else "Unknown"
    return Verdict(status, sign_in.reason or Reason.SIGN_IN_REQUIRED, sign_in.message, stalls=True)


def organizations_available(snapshot: ConnectorSnapshot) -> Verdict | None:
    """No wanted organization is held elsewhere or missing; None where it is not known."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure) or cloud.configuration is None or cloud.available is None:
        return None
    found = desired.found(cloud)
    wanted = desired.organizations(snapshot)
    if not found and not wanted.named:
        return Verdict(
            "False", Reason.NO_ORGANIZATIONS, "The authorizing account sees no Azure DevOps organization.", stalls=False
        )
    held = [each.name for key, each in found.items() if desired.is_held_elsewhere(each) and key not in wanted.excluded]
    if wanted.inventory is not None and snapshot.connector.spec.organizations.mode is OrganizationsMode.SELECTED:
        held = [name for name in held if name.lower() in wanted.named]
    missing = [name for key, name in wanted.named.items() if cloud.available and key not in found]
    named = any(name.lower() in wanted.named for name in held) or bool(missing)
    if held:
        return Verdict(
            "False",
            Reason.ORGANIZATION_CONFLICT,
            f"Another connector of the tenant holds {_names(held)}. Take it out there, or exclude it here.",
            stalls=named,
        )
    if missing:
        message = (
            f"The authorizing account sees no organization named {_names(missing)}. Correct the name, or add the "
            "account to it."
        )
        return Verdict("False", Reason.ORGANIZATION_NOT_FOUND, message, stalls=True)
    return Verdict("True", Reason.AVAILABLE, "Every organization that is wanted can be onboarded.")


def prerequisites_met(snapshot: ConnectorSnapshot) -> Verdict | None:
    """Every checked organization meets all; None where nothing was checked."""
    return prerequisites_verdict(snapshot.prerequisites)


def prerequisites_verdict(checks: Mapping[str, tuple[Prerequisite, ...]]) -> Verdict | None:
    """The verdict on checks by organization."""
    if not checks:
        return None
    unmet = [(name, each) for name, made in sorted(checks.items()) for each in made if each.status == "False"]
    if unmet:
        first = "; ".join(f"{name}: {each.check} ({each.message})" for name, each in unmet[:NAMES_SHOWN])
        more = f"; and {len(unmet) - NAMES_SHOWN} more" if len(unmet) > NAMES_SHOWN else ""
        return Verdict("False", Reason.PREREQUISITES_NOT_MET, f"{first}{more}")
    unknown = [name for name, made in sorted(checks.items()) if any(each.status == "Unknown" for each in made)]
    if unknown:
        return Verdict("Unknown", Reason.CHECK_UNAVAILABLE, f"Not every check could be made in {_names(unknown)}.")
    return Verdict("True", Reason.PREREQUISITES_MET, "Every check was passed.")


def pending_names(snapshot: ConnectorSnapshot) -> tuple[Verdict, ...]:
    """A verdict that does not hold while an organization that was asked for by name is still to be onboarded."""
    cloud = snapshot.cloud
    if isinstance(cloud, Failure) or cloud.configuration is None:
        return ()
    found = desired.found(cloud)
    pending = [
        name
        for key, name in desired.organizations(snapshot).named.items()
        if key in found and not desired.is_onboarded(found[key]) and not desired.is_held_elsewhere(found[key])
    ]
    if not pending:
        return ()
    return (Verdict("False", Reason.ONBOARDING, f"Defender for Cloud has not onboarded {_names(pending)} yet."),)


def reauth_required(
    snapshot: ConnectorSnapshot, authorization: Verdict | None, sign_in: Verdict | None
) -> Verdict | None:
    """Something that worked has stopped and a person must act; None where the last word stands."""
    if authorization is None:
        return None
    if authorization.status == "False" and has_worked(snapshot):
        return Verdict("True", authorization.reason, authorization.message)
    before = snapshot.connector.status.sign_in
    if sign_in is not None and sign_in.status == "False" and before is not None and before.account:
        message = f"{sign_in.message.rstrip('.')}. Defender still works; the operator's checks have stopped."
        return Verdict("True", sign_in.reason, message)
    return Verdict("False", Reason.NOT_REQUIRED, "No authorization or sign-in has to be renewed.")


def _names(names: list[str]) -> str:
    shown = ", ".join(sorted(names, key=str.lower)[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown
