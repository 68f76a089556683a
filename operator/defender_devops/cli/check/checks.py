"""One outcome of a check, and the checks that a snapshot of Azure answers (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from defender_devops.api.conditions import Status
from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.reasons import Reason
from defender_devops.api.regions import is_known_region, region_advice
from defender_devops.errors import WILL_RETRY, OperatorError
from defender_devops.reconcile.facts.ownership import ownership_conflict
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot
from defender_devops.reconcile.report.authorization_conditions import authorized
from defender_devops.reconcile.report.azure_conditions import organizations_available, provisioned
from defender_devops.reconcile.report.condition_result import ConditionResult

__all__ = ["AZURE", "Check", "azure_checks", "of_failure"]

AZURE: Final = "Azure"


@dataclass(frozen=True, slots=True)
class Check:
    """One outcome.

    Attributes:
        subject: `Azure`, `Cluster`, or an organization.
        name: what was checked, in one word.
        status: False where something must be done, Unknown where it could not be told.
        reason: one of the operator's reasons, where it has one.
        message: why, and what to do.
    """

    subject: str
    name: str
    status: Status
    reason: str = ""
    message: str = ""


def of_failure(error: OperatorError) -> Check:
    """Azure could not be read at all."""
    message = error.message.replace(WILL_RETRY, "Try again.")
    return Check(AZURE, "Readable", "False" if error.terminal else "Unknown", str(error.reason), message)


def azure_checks(snapshot: ConnectorSnapshot) -> Iterator[Check]:
    """What Azure shows of a connector."""
    yield Check(AZURE, "Readable", "True")
    location = snapshot.connector.spec.azure.location
    if not is_known_region(location):
        advice = f"It is not known whether Defender offers DevOps security in {location}. {region_advice(location)}"
        yield Check(AZURE, "Region", "Unknown", Reason.REGION_NOT_SUPPORTED, advice)
    yield _connector(snapshot)
    if isinstance(snapshot.cloud, AzureState) and snapshot.cloud.connector is not None:
        yield _of_verdict("Authorized", authorized(snapshot))
        available = organizations_available(snapshot)
        if available is not None:
            yield _of_verdict("OrganizationsAvailable", available)


def _connector(snapshot: ConnectorSnapshot) -> Check:
    """Whether the connector that is there may be taken over, or one may be made."""
    refused = ownership_conflict(snapshot)
    if refused is not None:
        return Check(AZURE, "Connector", "False", refused.reason, refused.message)
    missing = isinstance(snapshot.cloud, AzureState) and snapshot.cloud.connector is None
    verdict = provisioned(snapshot, None) if missing else None
    if verdict is None:
        return Check(AZURE, "Connector", "True")
    adopts = snapshot.connector.spec.authorization.method is AuthorizationMethod.ADOPT
    return Check(AZURE, "Connector", "False" if adopts else "True", verdict.reason, verdict.message)


def _of_verdict(name: str, verdict: ConditionResult | None) -> Check:
    if verdict is None:
        return Check(AZURE, name, "Unknown", Reason.NOT_CHECKED, "It could not be told with your sign-in.")
    return Check(AZURE, name, verdict.status, str(verdict.reason), "" if verdict.is_true else verdict.message)
