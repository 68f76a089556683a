"""Whether Defender for Cloud holds an authorization that works, read off what Azure says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from defender_devops.api.cloud import Configuration, ProvisioningState
from defender_devops.api.connector import AuthorizationMethod, AuthorizationStatus
from defender_devops.reconcile.snapshot import CloudState, ConnectorSnapshot

__all__ = ["Authorization", "State", "authorization", "is_under_way", "token_exchange_failed", "unspent_code"]

_LOST_CODES = frozenset({"TokenExchangeFailed", "InvalidOAuthCode", "AuthorizationLost"})


class State(Enum):
    """How it stands with Defender's authorization."""

    UNKNOWN = auto()
    NEVER_GIVEN = auto()
    BEING_EXCHANGED = auto()
    EXCHANGE_FAILED = auto()
    LOST = auto()
    WORKS = auto()


@dataclass(frozen=True, slots=True)
class Authorization:
    """The state, and Azure's words for it where it is a bad one."""

    state: State
    detail: str = ""


def authorization(snapshot: ConnectorSnapshot) -> Authorization:
    """Judge by the configuration's state, by the probe of listAvailableAzureDevOpsOrgs and by the checks."""
    cloud = snapshot.cloud
    if not isinstance(cloud, CloudState):
        return Authorization(State.UNKNOWN)
    configuration = cloud.configuration
    if configuration is None:
        return _absent(snapshot, cloud)
    if token_exchange_failed(configuration):
        return Authorization(State.EXCHANGE_FAILED, configuration.status_message)
    if is_under_way(configuration) and not has_worked(snapshot):
        return Authorization(State.BEING_EXCHANGED)
    return _probed(snapshot, cloud)


def unspent_code(snapshot: ConnectorSnapshot) -> str | None:
    """The hash of a code that was never sent, or None."""
    if snapshot.connector.spec.authorization.method is not AuthorizationMethod.CODE:
        return None
    spent = snapshot.connector.status.authorization or AuthorizationStatus()
    digest = snapshot.code.sha256
    return None if digest is None or digest in {spent.code_hash, *spent.spent_code_hashes} else digest


def token_exchange_failed(configuration: Configuration) -> bool:
    """Whether the configuration says that the code could not be redeemed."""
    if configuration.provisioning_state != ProvisioningState.FAILED:
        return False
    message = configuration.status_message.lower()
    return "token exchange failed" in message or "invalidoauthcode" in message


def is_under_way(configuration: Configuration) -> bool:
    """Whether an operation on the configuration has not ended."""
    return configuration.provisioning_state in {ProvisioningState.PENDING, ProvisioningState.PENDING_DELETION}


def last_authorized_at(snapshot: ConnectorSnapshot) -> datetime | None:
    """Since when Defender has held its authorization, or when it last got one that is lost by now."""
    status = snapshot.connector.status.authorization
    return status.last_authorized_at if status else None


def has_worked(snapshot: ConnectorSnapshot) -> bool:
    """Whether Defender ever held a working authorization for this resource."""
    return last_authorized_at(snapshot) is not None


def _absent(snapshot: ConnectorSnapshot, cloud: CloudState) -> Authorization:
    if not has_worked(snapshot):
        return Authorization(State.NEVER_GIVEN)
    what = "connector was" if cloud.connector is None else "connector's DevOps configuration was"
    return Authorization(State.LOST, f"The {what} deleted in Azure, and its authorization with it.")


def _probed(snapshot: ConnectorSnapshot, cloud: CloudState) -> Authorization:
    lost = snapshot.sign_in.authorizing_account_lost if snapshot.sign_in else None
    if lost:
        return Authorization(State.LOST, lost)
    failure = cloud.probe_failure
    if failure is not None:
        refused = failure.code in _LOST_CODES or failure.terminal
        return Authorization(State.LOST, failure.message) if refused else Authorization(State.UNKNOWN, failure.message)
    if cloud.available is None:
        return Authorization(State.UNKNOWN)
    if not cloud.available and _saw_organizations(snapshot):
        return Authorization(State.LOST, "The authorization sees no organization any more.")
    return Authorization(State.WORKS)


def _saw_organizations(snapshot: ConnectorSnapshot) -> bool:
    discovery = snapshot.connector.status.discovery
    return bool(discovery and discovery.organizations and discovery.organizations.available)
