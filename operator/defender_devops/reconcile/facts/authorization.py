"""Whether Defender for Cloud holds an authorization that works, read off what Azure says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from defender_devops.api.azure_types import Configuration, ProvisioningState
from defender_devops.api.conditions import find_condition
from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.authorization_code.used_codes import used_code_hashes
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot, Failure, is_in_progress

__all__ = [
    "Authorization",
    "AuthorizationState",
    "authorization",
    "has_worked",
    "indicates_authorization_loss",
    "is_broken",
    "is_in_progress",
    "last_authorized_at",
    "token_exchange_failed",
    "unused_code_hash",
]

_LOST_CODES = frozenset({"TokenExchangeFailed", "InvalidOAuthCode", "AuthorizationLost"})
_LOSSES = frozenset({Reason.TOKEN_EXCHANGE_FAILED, Reason.AUTHORIZATION_LOST, Reason.INVALID_SPEC})
"""Reasons of a final refusal that is about Defender's authorization, not about our own rights in Azure."""


class AuthorizationState(Enum):
    """How it stands with Defender's authorization."""

    UNKNOWN = auto()
    NEVER_AUTHORIZED = auto()
    EXCHANGING = auto()
    EXCHANGE_FAILED = auto()
    LOST = auto()
    WORKING = auto()


@dataclass(frozen=True, slots=True)
class Authorization:
    """The state, and Azure's words for it where it is a bad one."""

    state: AuthorizationState
    detail: str = ""


def authorization(snapshot: ConnectorSnapshot) -> Authorization:
    """Judge by the configuration's state, by the probe of listAvailableAzureDevOpsOrgs and by the checks.

    The authorization of a connector that is not this resource's business is nobody's business here.
    """
    cloud = snapshot.cloud
    if not isinstance(cloud, AzureState) or ownership_conflict(snapshot) is not None:
        return Authorization(AuthorizationState.UNKNOWN)
    configuration = cloud.configuration
    if configuration is None:
        return _absent(snapshot, cloud)
    if is_in_progress(configuration) and cloud.available is None and _last_word(snapshot) != Reason.AUTHORIZED:
        return Authorization(AuthorizationState.EXCHANGING)
    if token_exchange_failed(configuration) and not _answers(cloud):
        return _failed(snapshot, configuration)
    return _probed(snapshot, cloud)


def is_broken(snapshot: ConnectorSnapshot) -> bool:
    """Whether Defender would refuse every change below the connector until somebody authorizes it again."""
    return authorization(snapshot).state in {AuthorizationState.EXCHANGE_FAILED, AuthorizationState.LOST}


def unused_code_hash(snapshot: ConnectorSnapshot) -> str | None:
    """The hash of a code that may be sent: new, of the right shape, and ours to send. None where there is none."""
    if snapshot.connector.spec.authorization.method is not AuthorizationMethod.CODE:
        return None
    if snapshot.code.refused or desired_state.is_observe_only(snapshot):
        return None
    digest = snapshot.code.sha256
    if digest is None or digest in used_code_hashes(snapshot.connector.status.authorization):
        return None
    return None if _is_of_unknown_age(snapshot) else digest


def _is_of_unknown_age(snapshot: ConnectorSnapshot) -> bool:
    """Whether the code may be as old as an authorization that was there before this resource, and still works.

    So it is where resources were restored from a backup or moved from another cluster: status, and with it the memory
    of the codes that were sent, is gone. A spent code sent again would break what works.
    """
    status = snapshot.connector.status.authorization
    if status is not None and (status.code_hash or status.last_authorized_at):
        return False
    return authorization(snapshot).state in {AuthorizationState.WORKING, AuthorizationState.UNKNOWN}


def token_exchange_failed(configuration: Configuration) -> bool:
    """Whether the configuration says that the code could not be redeemed."""
    if configuration.provisioning_state != ProvisioningState.FAILED:
        return False
    message = configuration.status_message.lower()
    return "token exchange failed" in message or "invalidoauthcode" in message


def last_authorized_at(snapshot: ConnectorSnapshot) -> datetime | None:
    """Since when Defender has held its authorization, or when it last got one that is lost by now."""
    status = snapshot.connector.status.authorization
    return status.last_authorized_at if status else None


def has_worked(snapshot: ConnectorSnapshot) -> bool:
    """Whether Defender ever held a working authorization for this resource."""
    return last_authorized_at(snapshot) is not None


def indicates_authorization_loss(failure: Failure) -> bool:
    """Whether a failed probe is about Defender's authorization, and not about our own rights or an outage."""
    return failure.code in _LOST_CODES or (failure.terminal and failure.reason in _LOSSES)


def _last_word(snapshot: ConnectorSnapshot) -> str | None:
    last = find_condition(snapshot.connector.status.conditions, ConditionType.AUTHORIZED)
    return last.reason if last is not None else None


def _answers(cloud: AzureState) -> bool:
    """Whether the last probe went well: it outweighs the trace of an operation that failed while access was lost."""
    return cloud.probe_failure is None and bool(cloud.available)


def _absent(snapshot: ConnectorSnapshot, cloud: AzureState) -> Authorization:
    if not has_worked(snapshot):
        return Authorization(AuthorizationState.NEVER_AUTHORIZED)
    what = "connector was" if cloud.connector is None else "connector's DevOps configuration was"
    return Authorization(AuthorizationState.LOST, f"The {what} deleted in Azure, and its authorization with it.")


def _failed(snapshot: ConnectorSnapshot, configuration: Configuration) -> Authorization:
    """An authorization that worked until now, or a new one that never did."""
    worked = has_worked(snapshot) and _last_word(snapshot) in {Reason.AUTHORIZED, Reason.AUTHORIZATION_LOST}
    return Authorization(
        AuthorizationState.LOST if worked else AuthorizationState.EXCHANGE_FAILED, configuration.status_message
    )


def _probed(snapshot: ConnectorSnapshot, cloud: AzureState) -> Authorization:
    lost = snapshot.sign_in.authorizing_account_lost if snapshot.sign_in else None
    if lost:
        return Authorization(AuthorizationState.LOST, lost)
    failure = cloud.probe_failure
    if failure is not None:
        return Authorization(
            AuthorizationState.LOST if indicates_authorization_loss(failure) else AuthorizationState.UNKNOWN,
            failure.message,
        )
    if cloud.available is None:
        return Authorization(AuthorizationState.UNKNOWN)
    if not cloud.available and _saw_organizations(snapshot):
        return Authorization(AuthorizationState.LOST, "The authorization sees no organization any more.")
    return Authorization(AuthorizationState.WORKING)


def _saw_organizations(snapshot: ConnectorSnapshot) -> bool:
    """Whether there were any to see: status keeps their number until there are some again."""
    discovery = snapshot.connector.status.discovery
    return bool(discovery and discovery.organizations and discovery.organizations.available)
