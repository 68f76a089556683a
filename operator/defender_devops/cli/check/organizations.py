"""Defender's prerequisites in each organization: the operator's own checks, made with the sign-in of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import Prerequisite, PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
from defender_devops.cli.check.checks import Check
from defender_devops.errors import OperatorError
from defender_devops.reconcile.facts import desired_state
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["OrganizationChecks", "check_organizations"]


@dataclass(frozen=True, slots=True)
class OrganizationChecks:
    """What was found.

    Attributes:
        checks: of all organizations.
        note: whose organizations these are, where the manifest does not say.
    """

    checks: tuple[Check, ...] = ()
    note: str | None = None


async def check_organizations(
    connector: AzureDevOpsConnector, snapshot: ConnectorSnapshot | None, checker: PrerequisiteChecker
) -> OrganizationChecks:
    """Check every organization that is wanted.

    Args:
        connector: with the spec that says who is wanted.
        snapshot: what Azure shows; None where it could not be read.
        checker: asks Azure DevOps.
    """
    asking = _as_ourselves(connector)
    wanted, note = await _wanted(asking, snapshot, checker)
    onboarded = _onboarded(snapshot)
    made = await asyncio.gather(*(checker.check(asking, name) for name in wanted.values()))
    checks = (
        _softened(_check(name, each), is_onboarded=key in onboarded)
        for (key, name), outcomes in zip(wanted.items(), made, strict=True)
        for each in outcomes
    )
    return OrganizationChecks(tuple(checks), note)


def _as_ourselves(connector: AzureDevOpsConnector) -> AzureDevOpsConnector:
    """The connector as one whose sign-in is not its own: the account that it names is another one than ours."""
    spec = connector.spec
    authorization = spec.authorization.model_copy(update={"account": spec.authorizing_account})
    changed = spec.model_copy(update={"sign_in": None, "authorization": authorization})
    return connector.model_copy(update={"spec": changed})


async def _wanted(
    connector: AzureDevOpsConnector, snapshot: ConnectorSnapshot | None, checker: PrerequisiteChecker
) -> tuple[Mapping[str, str], str | None]:
    """Organizations by name in lower case, and a remark on where they are from."""
    named = {name.lower(): name for name in connector.spec.organizations.names}
    wanted = desired_state.organization_selection(snapshot).wanted if snapshot is not None else named
    if wanted:
        return dict(sorted(wanted.items())), None
    try:
        seen = await checker.organizations(connector)
    except OperatorError as error:
        return {}, f"Which organizations there are could not be told. {error.message.replace('It is tried', 'Try')}"
    left_out = (
        desired_state.excluded_names(snapshot) if snapshot is not None else connector.spec.organizations.excluded_names
    )
    found = {name.lower(): name for name in seen if name.lower() not in left_out}
    if not found:
        return {}, "You are a member of no organization, so nothing could be checked in Azure DevOps."
    account = connector.spec.authorizing_account or "the authorizing account"
    return found, f"Checked are the organizations that you are a member of; {account} may see others."


def _onboarded(snapshot: ConnectorSnapshot | None) -> frozenset[str]:
    if snapshot is None or not isinstance(snapshot.cloud, AzureState):
        return frozenset()
    return frozenset(each.name.lower() for each in snapshot.cloud.organizations if desired_state.is_onboarded(each))


def _check(organization: str, made: Prerequisite) -> Check:
    return Check(organization, str(made.check), made.status, made.reason or "", made.message or "")


def _softened(check: Check, *, is_onboarded: bool) -> Check:
    """The extension comes with onboarding: before, its absence is no failure."""
    is_extension = check.name == PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION
    if is_extension and check.reason == Reason.EXTENSION_MISSING and not is_onboarded:
        return replace(check, status="Unknown", message="Defender for Cloud installs it when it onboards.")
    return check
