"""Defender's prerequisites in each organization, checked by the operator's code with the sign-in of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.organization import PrerequisiteCheck
from defender_devops.api.reasons import Reason
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
from defender_devops.cli.check.checks import Check
from defender_devops.errors import WILL_RETRY, OperatorError
from defender_devops.reconcile.facts.assessment import Assessment
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["OrganizationChecks", "check_organizations"]


@dataclass(frozen=True, slots=True)
class OrganizationChecks:
    """Results of all organizations.

    Attributes:
        checks: results.
        note: where the names of the organizations come from, if not from the manifest.
    """

    checks: tuple[Check, ...] = ()
    note: str | None = None


async def check_organizations(
    connector: AzureDevOpsConnector, snapshot: ConnectorSnapshot | None, reader: AzureDevOpsReader
) -> OrganizationChecks:
    """Check every selected organization.

    Args:
        connector: connector whose spec selects organizations.
        snapshot: state of Azure; None if it could not be read.
        reader: reads Azure DevOps.
    """
    # Without spec.signIn, the reader treats the authorizing account as another one than that of the sign-in.
    spec = connector.spec
    authorization = spec.authorization.model_copy(update={"account": spec.authorizing_account})
    spec = spec.model_copy(update={"sign_in": None, "authorization": authorization})
    connector = connector.model_copy(update={"spec": spec})

    organizations, note = await _selected_organizations(connector, snapshot, reader)
    onboarded = frozenset(snapshot.cloud.onboarded) if snapshot is not None else frozenset()
    names = list(organizations.values())
    results = await asyncio.gather(*(reader.check(connector, name) for name in names))
    checks = []
    for name, prerequisites in zip(names, results, strict=True):
        for result in prerequisites:
            is_extension = result.check == PrerequisiteCheck.CONTAINER_MAPPING_EXTENSION
            if is_extension and result.reason == Reason.EXTENSION_MISSING and name.lower() not in onboarded:
                message = "Defender for Cloud installs the extension when it onboards the organization."
                checks.append(Check(name, str(result.check), "Unknown", result.reason, message))
            else:
                checks.append(Check(name, str(result.check), result.status, result.reason or "", result.message or ""))
    return OrganizationChecks(tuple(checks), note)


async def _selected_organizations(
    connector: AzureDevOpsConnector, snapshot: ConnectorSnapshot | None, reader: AzureDevOpsReader
) -> tuple[Mapping[str, str], str | None]:
    """Return organizations by name in lower case, and a note on the source of the names."""
    selected = {name.lower(): name for name in connector.spec.organizations.names}
    excluded = connector.spec.organizations.excluded_names
    if snapshot is not None:
        selection = Assessment(snapshot).selection
        selected, excluded = dict(selection.desired), selection.excluded
    if selected:
        return dict(sorted(selected.items())), None
    try:
        visible_names = await reader.organizations(connector)
    except OperatorError as error:
        return {}, f"The organizations could not be listed. {error.message.replace(WILL_RETRY, 'Try again.')}"
    visible = {name.lower(): name for name in visible_names if name.lower() not in excluded}
    if not visible:
        return {}, "You are not a member of any organization, so nothing could be checked in Azure DevOps."
    account = connector.spec.authorizing_account or "the authorizing account"
    return visible, f"The organizations that you are a member of were checked; {account} may be a member of others."
