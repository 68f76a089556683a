"""The results for the conditions of a connector that concern authorizations and sign-ins."""

from __future__ import annotations

from collections.abc import Collection

from defender_devops.api.conditions import Status, find_condition, truncate_message
from defender_devops.api.connector import AuthorizationMethod, SignInMethod
from defender_devops.api.reasons import REASONS, ConditionType, Reason
from defender_devops.api.regions import region_hint
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.authorization import Authorization, AuthorizationState
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.report.condition_result import (
    QUOTED_MAX,
    ConditionResult,
    not_checked_result,
    previous_condition_result,
)
from defender_devops.text import list_names

__all__ = ["authorized_condition", "how_to_authorize", "reauth_required_condition", "signed_in_condition"]

_COPIED_MAX = 800
"""Bytes of a message that is copied from another condition, so that the sentence after it still fits."""

_BROWSER_METHODS = frozenset({SignInMethod.AUTHORIZATION_CODE, SignInMethod.DEVICE_CODE})
"""Methods with which a person signs in on the connector's page."""


def authorized_condition(assessment: Assessment, failure: Failure | None = None) -> ConditionResult | None:
    """Return whether Defender holds a working authorization; None if unknown now.

    Args:
        assessment: of the snapshot after the steps.
        failure: of the step that failed, if one did: Azure may reject a code in its answer to the request.
    """
    code_was_rejected = failure is not None and failure.reason == Reason.TOKEN_EXCHANGE_FAILED
    authorization = assessment.authorization
    if failure is not None and code_was_rejected:
        authorization = Authorization(AuthorizationState.EXCHANGE_FAILED, failure.message)
    uses_code = _uses_code(assessment)
    match authorization.state:
        case AuthorizationState.WORKING:
            return ConditionResult("True", Reason.AUTHORIZED, "Defender for Cloud can access Azure DevOps.")
        case AuthorizationState.EXCHANGING:
            activity = "redeeming the one-time code" if uses_code else "validating its authorization"
            message = f"Defender for Cloud is {activity}.{_code_warning(assessment)}"
            return ConditionResult("Unknown", Reason.AWAITING_AUTHORIZATION, message)
        case AuthorizationState.NEVER_AUTHORIZED:
            return _never_authorized(assessment)
        case AuthorizationState.UNKNOWN:
            is_first = find_condition(assessment.connector.status.conditions, ConditionType.AUTHORIZED) is None
            return not_checked_result("Defender's authorization has not been checked yet.") if is_first else None
        case _:
            return _problem(assessment, authorization)


def _problem(assessment: Assessment, authorization: Authorization) -> ConditionResult:
    """Return the result for an authorization that does not work, or may not."""
    if authorization.state is AuthorizationState.EXCHANGE_FAILED:
        attempt = "use its authorization"
        if _uses_code(assessment):
            attempt = "redeem the one-time code, which cannot be used again"
        detail = f": {truncate_message(authorization.detail, QUOTED_MAX).rstrip('.')}" if authorization.detail else ""
        message = (
            f"Defender for Cloud could not {attempt}{detail}.{_code_warning(assessment)} {how_to_authorize(assessment)}"
        )
        return ConditionResult("False", Reason.TOKEN_EXCHANGE_FAILED, message, needs_user_action=True)
    if authorization.state is AuthorizationState.WRONG_ACCOUNT:
        message = (
            f"Defender was authorized as {authorization.detail}, not as spec.authorization.account. Correct that "
            f"field, or authorize again: {how_to_authorize(assessment)}"
        )
        return ConditionResult("False", Reason.WRONG_ACCOUNT, message, needs_user_action=True)
    if authorization.state is AuthorizationState.UNEXPLAINED:
        return _unexplained(assessment, authorization)
    message = _loss_message(assessment, authorization)
    return ConditionResult("False", Reason.AUTHORIZATION_LOST, message, needs_user_action=True)


def _code_warning(assessment: Assessment) -> str:
    """Return the warning about a code that was sent although it looks unusual, with a space before it."""
    warning = assessment.snapshot.code.warning
    return f" {warning}" if warning and _uses_code(assessment) else ""


def _uses_code(assessment: Assessment) -> bool:
    """Whether the operator sends a one-time code that a user provides."""
    method = assessment.connector.spec.authorization.method
    return method is AuthorizationMethod.CODE and not assessment.snapshot.is_observe_only


def _unexplained(assessment: Assessment, authorization: Authorization) -> ConditionResult:
    """Return the result for a refusal that may or may not concern the authorization."""
    detail = truncate_message(authorization.detail, QUOTED_MAX)
    failure = assessment.azure.probe_failure
    if failure is None:
        return _contradiction(assessment, detail)
    if failure.category is ErrorCategory.DENIAL and not authorization.is_suspected_loss:
        message = (
            f"Azure denied the check of Defender's authorization: {detail.rstrip('.')}. Either the authorization "
            "is lost, or the operator's identity lacks the right to "
            "Microsoft.Security/securityConnectors/devops/listAvailableAzureDevOpsOrgs/action. The check is repeated."
        )
        return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message)
    if not authorization.is_suspected_loss:
        message = f"Azure rejected the check of Defender's authorization: {detail}"
        return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message)
    is_refused = failure.terminal
    activity = "keeps rejecting" if is_refused else "keeps failing at"
    message = (
        f"Azure {activity} the check of Defender's authorization, which may be lost: {detail} If the "
        f"organizations show no new findings in Defender for Cloud, authorize again: {how_to_authorize(assessment)}"
    )
    return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message, needs_user_action=is_refused)


def _contradiction(assessment: Assessment, detail: str) -> ConditionResult:
    """Return the result where the check succeeds although the last operation on the configuration failed."""
    verification = "The operator repeats the operation, whose outcome shows whether the authorization works."
    if assessment.snapshot.is_observe_only:
        instructions = how_to_authorize(assessment)
        verification = (
            f"If the organizations show no new findings in Defender for Cloud, authorize again: {instructions}"
        )
    answer = "still lists organizations, which may be an old answer" if assessment.azure.available else "lists none"
    message = (
        "Whether Defender's authorization works is not known: the last change of the connector's DevOps configuration "
        f"failed ({detail.rstrip('.')}), and Azure {answer}. {verification}"
    )
    return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message)


def _never_authorized(assessment: Assessment) -> ConditionResult:
    code, instructions = assessment.snapshot.code, how_to_authorize(assessment)
    if _uses_code(assessment):
        if code.problem:
            reason = Reason.AUTHORIZATION_CODE_INVALID if code.refused else Reason.AWAITING_AUTHORIZATION
            return ConditionResult("False", reason, code.problem, needs_user_action=code.refused)
        if code.sha256 is not None and assessment.unused_code_hash is None:
            instructions = f"The one-time code was sent before and is never sent again. {instructions}"
    return ConditionResult("False", Reason.AWAITING_AUTHORIZATION, instructions)


def _loss_message(assessment: Assessment, authorization: Authorization) -> str:
    spec, status = assessment.connector.spec, assessment.connector.status.authorization
    account = spec.authorizing_account
    owner = f"the account {account}" if account else "the account that authorized it"
    since = status.last_authorized_at if status else None
    authorized_on = f", authorized on {since:%Y-%m-%d %H:%M} UTC," if since else ""
    message = (
        f"Defender for Cloud{authorized_on} can no longer access Azure DevOps with {owner}: "
        f"{truncate_message(authorization.detail, QUOTED_MAX).rstrip('.')}. Its findings become outdated. Restore that "
        f"account's access, or authorize again: {how_to_authorize(assessment)}"
    )
    failure = assessment.azure.probe_failure
    if failure is not None and failure.category is ErrorCategory.DENIAL:
        message = (
            f"{message} If the account's access is in order, check that the role of the operator's identity includes "
            "Microsoft.Security/securityConnectors/devops/listAvailableAzureDevOpsOrgs/action: the denial does not say "
            "whose access is missing."
        )
    sign_in = assessment.snapshot.sign_in or assessment.connector.status.sign_in
    if spec.sign_in_method in _BROWSER_METHODS and sign_in is not None and sign_in.url:
        # A sign-in makes the operator check at once, so that the user sees whether it worked.
        message = f"{message} Then sign in on the connector's page (status.signIn.url) to have it checked at once."
    return message


def how_to_authorize(assessment: Assessment) -> str:
    """Return the instructions for authorizing Defender."""
    spec = assessment.connector.spec
    account = f" as {spec.authorizing_account}" if spec.authorizing_account else ""
    reference = spec.authorization.code_secret_ref
    if not _uses_code(assessment) or reference is None:
        # A connector that does not exist yet may have a misspelled region, which would keep it from being found.
        hint = region_hint(spec.azure.location) if assessment.azure.connector is None else ""
        return f"Authorize connector {assessment.connector.connector_name} in the Defender portal{account}.{hint}"
    sign_in = assessment.snapshot.sign_in
    # Only a browser that has signed in on the page may paste a code there (signin/pages/code_session.py).
    has_page = spec.page_accepts_code and sign_in is not None and bool(sign_in.url)
    page = ", or enter it on the connector's page (status.signIn.url)" if has_page else ""
    return (
        f"Sign in{account}, get a new one-time code and put it into key {reference.key} of Secret {reference.name}"
        f"{page}. The code expires after a few minutes."
    )


def signed_in_condition(assessment: Assessment) -> ConditionResult | None:
    """Return whether the operator's own sign-in works; None if unknown now.

    A condition that asks for a person's action stays until it is known that the sign-in works.
    """
    sign_in = assessment.snapshot.sign_in
    if sign_in is None or (sign_in.signed_in is None and sign_in.reason in {"", Reason.NOT_CHECKED}):
        return None
    if sign_in.signed_in:
        message = f"Signed in as {sign_in.account or 'the service principal'}."
        return ConditionResult("True", Reason.SIGNED_IN, message)
    previous = find_condition(assessment.connector.status.conditions, ConditionType.SIGNED_IN)
    if sign_in.signed_in is None and previous is not None and previous.status == "False":
        return None
    status: Status = "False" if sign_in.signed_in is False else "Unknown"
    return ConditionResult(status, sign_in.reason or Reason.SIGN_IN_REQUIRED, sign_in.message)


def reauth_required_condition(
    assessment: Assessment,
    authorization: ConditionResult | None,
    sign_in: ConditionResult | None,
    stale: Collection[str] = (),
) -> ConditionResult:
    """Return whether an authorization or a sign-in that worked needs a person to renew it.

    Args:
        assessment: of the snapshot after the steps.
        authorization: the result for Authorized; None if the previous condition stays.
        sign_in: the result for SignedIn; None if the previous condition stays.
        stale: organizations whose results have stopped changing: a sign of a lost authorization, which the message
            has, and not a proof, so it never makes the condition True.
    """
    sign = f" The results of {list_names(stale)} in Defender for Cloud have stopped changing." if stale else ""
    conditions = assessment.connector.status.conditions
    authorization = authorization or previous_condition_result(conditions, ConditionType.AUTHORIZED)
    sign_in_loss = _sign_in_loss(assessment, sign_in)
    if authorization is not None and authorization.status == "False":
        is_loss = authorization.reason == Reason.AUTHORIZATION_LOST
        if is_loss or authorization.reason == Reason.WRONG_ACCOUNT or assessment.was_authorized:
            addition = " The operator's own sign-in has stopped as well: see SignedIn." if sign_in_loss else ""
            message = f"{truncate_message(authorization.message, _COPIED_MAX)}{addition}{sign}"
            return ConditionResult("True", authorization.reason, message)
    if sign_in_loss is not None:
        works = authorization is not None and authorization.is_true
        addition = "Defender still works; the operator's checks" if works else "The operator's checks"
        if sign_in_loss.reason == Reason.ACCOUNT_BLOCKED and _signs_in_as_authorizing_account(assessment):
            addition = "Defender works under this account, too, so its findings may stop; the operator's checks"
        message = f"{truncate_message(sign_in_loss.message, _COPIED_MAX).rstrip('.')}. {addition} have stopped.{sign}"
        return ConditionResult("True", sign_in_loss.reason, message)
    if _is_suspected(assessment, authorization):
        message = (
            "Whether Defender's authorization has to be renewed is not known, because the check of it fails: see "
            f"Authorized.{sign}"
        )
        return ConditionResult("Unknown", Reason.CHECK_UNAVAILABLE, message)
    hint = f"{sign} That can be a sign of a lost authorization: see PostureAvailable." if stale else ""
    return ConditionResult("False", Reason.NOT_REQUIRED, f"No authorization or sign-in has to be renewed.{hint}")


def _signs_in_as_authorizing_account(assessment: Assessment) -> bool:
    """Whether the operator signs in as the account that authorizes Defender."""
    spec = assessment.connector.spec
    account, authorizing = spec.sign_in.account if spec.sign_in else None, spec.authorizing_account
    return account is not None and authorizing is not None and account.casefold() == authorizing.casefold()


def _is_suspected(assessment: Assessment, authorization: ConditionResult | None) -> bool:
    """Whether a loss of Defender's authorization is suspected, now or since an earlier check."""
    if authorization is None or (authorization.status, authorization.reason) != ("Unknown", Reason.CHECK_UNAVAILABLE):
        return False
    previous = previous_condition_result(assessment.connector.status.conditions, ConditionType.REAUTH_REQUIRED)
    return assessment.authorization.is_suspected_loss or (previous is not None and previous.status == "Unknown")


def _sign_in_loss(assessment: Assessment, sign_in: ConditionResult | None) -> ConditionResult | None:
    """Return the result for SignedIn if the sign-in worked before and a person must renew it, else None."""
    status = assessment.connector.status
    if assessment.connector.spec.sign_in_method is SignInMethod.NONE:
        return None
    if sign_in is not None:
        is_lost = assessment.snapshot.sign_in is not None and assessment.snapshot.sign_in.is_lost
    else:
        sign_in = previous_condition_result(status.conditions, ConditionType.SIGNED_IN)
        is_lost = status.sign_in is not None and status.sign_in.tenant_id is not None
    if sign_in is None or not is_lost:
        return None
    # A new sign-in helps only for these reasons, not for a broken app registration or an outage.
    needs_person = sign_in.status == "False" and sign_in.reason in REASONS[ConditionType.REAUTH_REQUIRED]
    return sign_in if needs_person else None
