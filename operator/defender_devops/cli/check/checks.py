"""Results of checks, and the checks of what was read from Azure. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from defender_devops.api.conditions import Status
from defender_devops.api.connector import AuthorizationMethod
from defender_devops.api.reasons import Reason
from defender_devops.api.regions import is_known_region, region_advice
from defender_devops.errors import WILL_RETRY, OperatorError
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot
from defender_devops.reconcile.report.authorization_conditions import authorized_condition
from defender_devops.reconcile.report.azure_conditions import organizations_available_condition, provisioned_condition
from defender_devops.reconcile.report.condition_result import ConditionResult

__all__ = ["AZURE", "Check", "azure_checks", "failed_read_check"]

AZURE: Final = "Azure"


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check. The attributes are fields of the JSON output.

    Attributes:
        subject: `Azure`, `Cluster`, or the name of an organization.
        name: what was checked.
        status: False if somebody must act, Unknown if the check could not be made.
        reason: one of the operator's reasons, or empty.
        message: cause and cure.
    """

    subject: str
    name: str
    status: Status
    reason: str = ""
    message: str = ""


def failed_read_check(error: OperatorError) -> Check:
    """Return the result if Azure could not be read at all."""
    message = error.message.replace(WILL_RETRY, "Try again.")
    return Check(AZURE, "Readable", "False" if error.terminal else "Unknown", str(error.reason), message)


def azure_checks(snapshot: ConnectorSnapshot) -> Iterator[Check]:
    """Yield the checks of what was read from Azure."""
    yield Check(AZURE, "Readable", "True")
    location = snapshot.connector.spec.azure.location
    if not is_known_region(location):
        advice = f"{location} is not in the list of regions with Defender's DevOps security. {region_advice(location)}"
        yield Check(AZURE, "Region", "Unknown", Reason.REGION_NOT_SUPPORTED, advice)
    assessment = Assessment(snapshot)
    yield _connector(assessment)
    if assessment.azure.connector is not None:
        yield _from_condition("Authorized", authorized_condition(assessment))
        available = organizations_available_condition(assessment)
        if available is not None:
            yield _from_condition("OrganizationsAvailable", available)


def _connector(assessment: Assessment) -> Check:
    """Check whether the existing connector may be adopted, or a new one can be created."""
    conflict = assessment.ownership_conflict
    if conflict is not None:
        return Check(AZURE, "Connector", "False", conflict.reason, conflict.message)
    is_missing = assessment.azure.is_known and assessment.azure.connector is None
    result = provisioned_condition(assessment, None) if is_missing else None
    if result is None:
        return Check(AZURE, "Connector", "True")
    # Only a person can create a connector that is to be adopted; with another method the operator creates it.
    is_adopted = assessment.connector.spec.authorization.method is AuthorizationMethod.ADOPT
    return Check(AZURE, "Connector", "False" if is_adopted else "True", result.reason, result.message)


def _from_condition(name: str, result: ConditionResult | None) -> Check:
    if result is None:
        return Check(AZURE, name, "Unknown", Reason.NOT_CHECKED, "Your sign-in has no permission to check this.")
    return Check(AZURE, name, result.status, str(result.reason), "" if result.is_true else result.message)
