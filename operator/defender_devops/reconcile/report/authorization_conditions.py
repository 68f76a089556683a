"""One verdict for each condition of a connector that is about authorizations and sign-ins (pure)."""

from __future__ import annotations

from defender_devops.api.conditions import Status, find_condition, truncate
from defender_devops.api.connector import AuthorizationMethod, SignInMethod
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.authorization import (
    Authorization,
    AuthorizationState,
    authorization,
    has_worked,
    last_authorized_at,
    unused_code_hash,
)
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot, Failure
from defender_devops.reconcile.report.condition_result import QUOTED_MAX, ConditionResult, not_checked

__all__ = ["authorized", "how_to_authorize", "reauth_required", "signed_in"]

_TOLD_MAX = 800
"""Bytes of another condition's message, so that what stands still fits in behind it."""


def authorized(snapshot: ConnectorSnapshot, failure: Failure | None = None) -> ConditionResult | None:
    """Defender holds an authorization that works; None where that is not known now and the last word stands.

    Args:
        snapshot: what is known.
        failure: of the step that failed, if one did: a code may be refused at once.
    """
    refused = failure is not None and failure.reason == Reason.TOKEN_EXCHANGE_FAILED
    judged = (
        Authorization(AuthorizationState.EXCHANGE_FAILED, failure.message)
        if failure and refused
        else authorization(snapshot)
    )
    match judged.state:
        case AuthorizationState.WORKING:
            return ConditionResult("True", Reason.AUTHORIZED, "Defender for Cloud reaches Azure DevOps.")
        case AuthorizationState.EXCHANGING:
            return _being_exchanged(snapshot)
        case AuthorizationState.EXCHANGE_FAILED:
            return _exchange_failed(snapshot, judged.detail)
        case AuthorizationState.LOST:
            return ConditionResult("False", Reason.AUTHORIZATION_LOST, _lost(snapshot, judged), needs_user_action=True)
        case AuthorizationState.NEVER_AUTHORIZED:
            return _never_given(snapshot)
        case AuthorizationState.UNKNOWN:
            return _not_known(snapshot)


def _uses_code(snapshot: ConnectorSnapshot) -> bool:
    """Whether a code that somebody brings would be sent."""
    spec = snapshot.connector.spec
    return spec.authorization.method is AuthorizationMethod.CODE and not desired_state.is_observe_only(snapshot)


def _being_exchanged(snapshot: ConnectorSnapshot) -> ConditionResult:
    what = "redeeming the one-time code" if _uses_code(snapshot) else "taking its authorization up"
    return ConditionResult("Unknown", Reason.AWAITING_AUTHORIZATION, f"Defender for Cloud is {what}.")


def _exchange_failed(snapshot: ConnectorSnapshot, detail: str) -> ConditionResult:
    what = "redeem the one-time code, which is spent by that" if _uses_code(snapshot) else "use its authorization"
    words = f": {truncate(detail, QUOTED_MAX).rstrip('.')}" if detail else ""
    message = f"Defender for Cloud could not {what}{words}. {how_to_authorize(snapshot)}"
    return ConditionResult("False", Reason.TOKEN_EXCHANGE_FAILED, message, needs_user_action=True)


def _never_given(snapshot: ConnectorSnapshot) -> ConditionResult:
    code, how = snapshot.code, how_to_authorize(snapshot)
    if _uses_code(snapshot) and code.problem:
        reason = Reason.AUTHORIZATION_CODE_INVALID if code.refused else Reason.AWAITING_AUTHORIZATION
        return ConditionResult("False", reason, code.problem, needs_user_action=code.refused)
    if _uses_code(snapshot) and code.sha256 is not None and unused_code_hash(snapshot) is None:
        how = f"The one-time code was handed over already and is never sent again. {how}"
    return ConditionResult("False", Reason.AWAITING_AUTHORIZATION, how)


def _not_known(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    if find_condition(snapshot.connector.status.conditions, ConditionType.AUTHORIZED) is not None:
        return None
    return not_checked("It is not known yet whether Defender's authorization works.")


def _lost(snapshot: ConnectorSnapshot, judged: Authorization) -> str:
    account = snapshot.connector.spec.authorizing_account
    who = f"the account {account}" if account else "the account that authorized it"
    since = last_authorized_at(snapshot)
    when = f", authorized on {since:%Y-%m-%d %H:%M} UTC," if since else ""
    how = how_to_authorize(snapshot)
    return (
        f"Defender for Cloud{when} can no longer work in Azure DevOps under {who}, and its findings go stale: "
        f"{truncate(judged.detail, QUOTED_MAX).rstrip('.')}. Restore that account's access, or authorize again: "
        f"{how}{_how_to_have_it_seen(snapshot, how)}"
    )


def _how_to_have_it_seen(snapshot: ConnectorSnapshot, said: str) -> str:
    """Where a person who has mended something need not wait for the next look; an address is said once."""
    by_a_person = snapshot.connector.spec.sign_in_method in {SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE}
    known = snapshot.sign_in or snapshot.connector.status.sign_in
    if not by_a_person or known is None or not known.url:
        return ""
    return f" Sign in {'there' if known.url in said else f'at {known.url}'} to have it seen at once."


def how_to_authorize(snapshot: ConnectorSnapshot) -> str:
    """What a person does so that Defender is authorized."""
    spec, name = snapshot.connector.spec, snapshot.connector.connector_name
    account = f" as {spec.authorizing_account}" if spec.authorizing_account else ""
    reference = spec.authorization.code_secret_ref
    if _uses_code(snapshot) and reference is not None:
        page = snapshot.sign_in.url if snapshot.sign_in else None
        paste = f", or paste it at {page}" if page else ""
        return (
            f"Sign in{account}, get a new one-time code and put it into key {reference.key} of Secret {reference.name}"
            f"{paste}. It is valid for minutes."
        )
    return f"Authorize connector {name} in the Defender portal{account}."


def signed_in(snapshot: ConnectorSnapshot) -> ConditionResult | None:
    """The operator's own sign-in works; None where that is not known now and the last word stands.

    What a person must do does not go away because nobody can tell for a while.
    """
    sign_in = snapshot.sign_in
    if sign_in is None or (sign_in.signed_in is None and sign_in.reason in {"", Reason.NOT_CHECKED}):
        return None
    if sign_in.signed_in:
        return ConditionResult("True", Reason.SIGNED_IN, f"Signed in as {sign_in.account or 'the service principal'}.")
    last = find_condition(snapshot.connector.status.conditions, ConditionType.SIGNED_IN)
    if sign_in.signed_in is None and last is not None and last.status == "False":
        return None
    status: Status = "False" if sign_in.signed_in is False else "Unknown"
    return ConditionResult(status, sign_in.reason or Reason.SIGN_IN_REQUIRED, sign_in.message)


def reauth_required(
    snapshot: ConnectorSnapshot, authorization: ConditionResult | None, sign_in: ConditionResult | None
) -> ConditionResult:
    """Something that worked has stopped and a person must act.

    Args:
        snapshot: what is known.
        authorization: the verdict on Authorized; None where the last word stands.
        sign_in: the verdict on SignedIn; None where the last word stands.
    """
    authorization = authorization or _previous_condition(snapshot, ConditionType.AUTHORIZED)
    lost = _lost_sign_in(snapshot, sign_in)
    known_loss = authorization is not None and authorization.reason == Reason.AUTHORIZATION_LOST
    if authorization is not None and authorization.status == "False" and (known_loss or has_worked(snapshot)):
        too = " The operator's own sign-in has stopped as well: see SignedIn." if lost else ""
        return ConditionResult("True", authorization.reason, f"{truncate(authorization.message, _TOLD_MAX)}{too}")
    if lost is not None:
        works = authorization is not None and authorization.is_true
        stops = "Defender still works; the operator's checks have stopped." if works else "The operator's checks stop."
        return ConditionResult("True", lost.reason, f"{truncate(lost.message, _TOLD_MAX).rstrip('.')}. {stops}")
    return ConditionResult("False", Reason.NOT_REQUIRED, "No authorization or sign-in has to be renewed.")


def _lost_sign_in(snapshot: ConnectorSnapshot, sign_in: ConditionResult | None) -> ConditionResult | None:
    """What SignedIn says of a sign-in that worked and that a person must renew; None where there is no such loss."""
    if snapshot.connector.spec.sign_in_method is SignInMethod.NONE:
        return None
    if sign_in is not None:
        is_lost = snapshot.sign_in is not None and snapshot.sign_in.is_lost
        return sign_in if is_lost and _asks_for_a_person(sign_in) else None
    before, last = snapshot.connector.status.sign_in, _previous_condition(snapshot, ConditionType.SIGNED_IN)
    worked_before = before is not None and before.tenant_id is not None
    return last if last is not None and worked_before and _asks_for_a_person(last) else None


def _previous_condition(snapshot: ConnectorSnapshot, kind: ConditionType) -> ConditionResult | None:
    last = find_condition(snapshot.connector.status.conditions, kind)
    return ConditionResult(last.status, last.reason, last.message) if last is not None else None


def _asks_for_a_person(sign_in: ConditionResult) -> bool:
    """Whether signing in again mends it; a broken app registration or an outage it does not."""
    return sign_in.status == "False" and sign_in.reason in REASONS[ConditionType.REAUTH_REQUIRED]
