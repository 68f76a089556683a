"""Whether Defender for Cloud holds a working authorization, from what Azure returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from defender_devops.api.azure_types import Configuration, ProvisioningState
from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.errors import ErrorCategory
from defender_devops.reconcile.facts.failure import Failure
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = [
    "REFUSALS_BEFORE_SUSPICION",
    "Authorization",
    "AuthorizationState",
    "authorization",
    "token_exchange_failed",
    "unused_code_hash",
    "was_authorized",
]

_CONCLUSIVE = frozenset({ErrorCategory.AUTHORIZATION, ErrorCategory.ACCESS, ErrorCategory.TRANSIENT})
"""Categories of a failed probe whose meaning is known; any other refusal leaves open what it concerns."""

REFUSALS_BEFORE_SUSPICION = 3
"""Number of unexplained refusals or failures in a row after which a lost authorization is suspected."""

_WORKED_BEFORE = frozenset({Reason.AUTHORIZED, Reason.AUTHORIZATION_LOST, Reason.CHECK_UNAVAILABLE})
"""Reasons of the condition Authorized of an authorization that Defender had redeemed."""


class AuthorizationState(Enum):
    """State of Defender's authorization."""

    UNKNOWN = auto()
    NEVER_AUTHORIZED = auto()
    EXCHANGING = auto()
    EXCHANGE_FAILED = auto()
    WRONG_ACCOUNT = auto()
    """An account other than the declared one authorized Defender, or was about to."""
    UNEXPLAINED = auto()
    """Azure rejects the check, or keeps failing, for a reason that may or may not concern the authorization; or the
    check and the state of the configuration contradict each other."""
    LOST = auto()
    WORKING = auto()


@dataclass(frozen=True, slots=True)
class Authorization:
    """The state of Defender's authorization.

    Attributes:
        state: the state.
        detail: Azure's message if it is a bad one; the account for WRONG_ACCOUNT.
        is_suspected_loss: with UNEXPLAINED, the refusal was repeated so often that a loss is likely.
    """

    state: AuthorizationState
    detail: str = ""
    is_suspected_loss: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether Defender would reject every change below the connector until somebody authorizes it again."""
        return self.state in {AuthorizationState.EXCHANGE_FAILED, AuthorizationState.LOST}


def authorization(snapshot: ConnectorSnapshot) -> Authorization:
    """Return the authorization of a connector that Azure could read and that this resource may use.

    The state of the configuration, the last call of listAvailableAzureDevOpsOrgs and the prerequisite checks decide.
    """
    azure = snapshot.cloud
    configuration = azure.configuration
    if configuration is None:
        if not was_authorized(snapshot):
            if _is_other_account(snapshot, snapshot.code.account):
                return Authorization(AuthorizationState.WRONG_ACCOUNT, snapshot.code.account or "")
            return Authorization(AuthorizationState.NEVER_AUTHORIZED)
        deleted = "connector was" if azure.connector is None else "connector's DevOps configuration was"
        return Authorization(AuthorizationState.LOST, f"The {deleted} deleted in Azure, and its authorization with it.")
    condition = find_condition(snapshot.connector.status.conditions, ConditionType.AUTHORIZED)
    previous_reason = condition.reason if condition is not None else None
    # While the first code is redeemed, a list proves nothing: some answers do not depend on the authorization.
    is_unproven = azure.available is None or _redeems_first_code(snapshot)
    if configuration.is_in_progress and is_unproven and previous_reason != Reason.AUTHORIZED:
        return Authorization(AuthorizationState.EXCHANGING)
    return _by_failed_operation(snapshot, configuration, previous_reason) or _by_probe(snapshot, previous_reason)


def _by_failed_operation(
    snapshot: ConnectorSnapshot, configuration: Configuration, previous_reason: str | None
) -> Authorization | None:
    """Return what a failed operation of the configuration shows, or None where the last probe decides.

    A successful probe outweighs an operation that failed while access was lost, unless its answer may be an old one:
    no answer since the operator's start was any other. An operation that the operator started itself decides then; it
    starts one for each failed configuration (`plan.diff`).
    """
    azure = snapshot.cloud
    is_silent = configuration.provisioning_state == ProvisioningState.FAILED and not configuration.status_message
    if not token_exchange_failed(configuration) and not is_silent:
        return None
    probe_succeeded = azure.probe_failure is None and bool(azure.available)
    is_rejected = azure.relied_on_authorization and not azure.probe_reported_loss
    if is_silent:
        is_contradiction = probe_succeeded and is_rejected
        is_list = azure.probe_failure is None and azure.available is not None
        lists_nothing = azure.available == () and not was_authorized(snapshot)
        if is_contradiction or (is_list and (lists_nothing or _redeems_first_code(snapshot))):
            detail = "the operation failed without a message"
            return Authorization(AuthorizationState.UNEXPLAINED, detail, is_suspected_loss=is_contradiction)
        return None
    if not probe_succeeded or is_rejected:
        # Either an authorization that worked until now, or a new one that never did.
        worked = was_authorized(snapshot) and previous_reason in _WORKED_BEFORE
        state = AuthorizationState.LOST if worked else AuthorizationState.EXCHANGE_FAILED
        return Authorization(state, configuration.status_message)
    is_undecided = previous_reason == Reason.AUTHORIZATION_LOST or snapshot.is_observe_only
    if is_undecided and not azure.probe_reported_loss:
        return Authorization(AuthorizationState.UNEXPLAINED, configuration.status_message, is_suspected_loss=True)
    return None


def _by_probe(snapshot: ConnectorSnapshot, previous_reason: str | None) -> Authorization:
    azure = snapshot.cloud
    account_lost = snapshot.sign_in.authorizing_account_lost if snapshot.sign_in else None
    if account_lost:
        return Authorization(AuthorizationState.LOST, account_lost)
    if azure.probe_failure is not None:
        return _by_failed_probe(snapshot, azure.probe_failure, previous_reason)
    if azure.available is None:
        return Authorization(AuthorizationState.UNKNOWN)
    # Status keeps the number of organizations until some are returned again.
    discovery = snapshot.connector.status.discovery
    had_organizations = bool(discovery and discovery.organizations and discovery.organizations.available)
    if not azure.available and had_organizations:
        return Authorization(AuthorizationState.LOST, "The authorization no longer reaches any organization.")
    status = snapshot.connector.status.authorization
    if status is not None and _is_other_account(snapshot, status.account):
        return Authorization(AuthorizationState.WRONG_ACCOUNT, status.account or "")
    return Authorization(AuthorizationState.WORKING)


def _by_failed_probe(snapshot: ConnectorSnapshot, failure: Failure, previous_reason: str | None) -> Authorization:
    is_repeated = snapshot.cloud.probe_failures >= REFUSALS_BEFORE_SUSPICION
    if failure.category is ErrorCategory.AUTHORIZATION:
        configuration = snapshot.cloud.configuration
        is_failed = configuration is not None and configuration.provisioning_state == ProvisioningState.FAILED
        is_first = is_failed and _redeems_first_code(snapshot)
        state = AuthorizationState.EXCHANGE_FAILED if is_first else AuthorizationState.LOST
        return Authorization(state, failure.message)
    if failure.category is ErrorCategory.DENIAL and was_authorized(snapshot):
        # The same identity reads the connector, and Resource Manager uses other codes for its own denials.
        if is_repeated or previous_reason == Reason.AUTHORIZATION_LOST:
            return Authorization(AuthorizationState.LOST, failure.message)
        return Authorization(AuthorizationState.UNEXPLAINED, failure.message)
    if failure.terminal and failure.category not in _CONCLUSIVE:
        return Authorization(AuthorizationState.UNEXPLAINED, failure.message, is_repeated)
    # A server error that only this request has can be the form in which Defender reports a lost authorization. A known
    # loss stays known, and a full rate limit says nothing.
    may_have_worked = previous_reason in {Reason.AUTHORIZED, Reason.CHECK_UNAVAILABLE}
    if is_repeated and may_have_worked and failure.reason == Reason.AZURE_UNAVAILABLE:
        return Authorization(AuthorizationState.UNEXPLAINED, failure.message, is_suspected_loss=True)
    return Authorization(AuthorizationState.UNKNOWN, failure.message)


def _redeems_first_code(snapshot: ConnectorSnapshot) -> bool:
    """Whether the operation is the one that redeems the first one-time code, so that there is nothing to lose yet."""
    return snapshot.connector.spec.authorization.method is AuthorizationMethod.CODE and not was_authorized(snapshot)


def _is_other_account(snapshot: ConnectorSnapshot, account: str | None) -> bool:
    """Whether an account is known and is not the one that the spec declares."""
    declared = snapshot.connector.spec.authorizing_account
    return account is not None and declared is not None and account.casefold() != declared.casefold()


def unused_code_hash(snapshot: ConnectorSnapshot, state: AuthorizationState) -> str | None:
    """Return the hash of a one-time code that may be sent: well-formed and never sent before. None if there is none.

    Args:
        snapshot: the connector, its status and the code.
        state: of Defender's authorization.
    """
    if snapshot.connector.spec.authorization.method is not AuthorizationMethod.CODE or snapshot.is_observe_only:
        return None
    status = snapshot.connector.status.authorization
    digest = snapshot.code.sha256
    if snapshot.code.refused or digest is None or digest in used_code_hashes(status):
        return None
    if _is_other_account(snapshot, snapshot.code.account):
        return None  # it would give Defender the access of an account that nobody declared
    # After a restore from a backup, or a move to another cluster, status does not record the codes that were sent. A
    # code beside an authorization that works, or may work, can then be the one that created it, and sending that again
    # would break the authorization.
    status_is_blank = status is None or (status.code_hash is None and status.last_authorized_at is None)
    if status_is_blank and state in {AuthorizationState.WORKING, AuthorizationState.UNKNOWN}:
        return None
    return digest


def token_exchange_failed(configuration: Configuration) -> bool:
    """Whether the configuration's status says that the one-time code could not be redeemed."""
    if configuration.provisioning_state != ProvisioningState.FAILED:
        return False
    message = "".join(configuration.status_message.lower().split())
    return "tokenexchangefailed" in message or "invalidoauthcode" in message


def was_authorized(snapshot: ConnectorSnapshot) -> bool:
    """Whether Defender ever held a working authorization for this resource."""
    status = snapshot.connector.status.authorization
    return status is not None and status.last_authorized_at is not None
