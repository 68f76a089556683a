"""`check`: check connectors in the cluster, in Azure and in Azure DevOps, and print the results."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from defender_devops.api.connector import AuthorizationMethod
from defender_devops.azuredevops.azure_devops_reader import AzureDevOpsReader
from defender_devops.azuredevops.client import Endpoints
from defender_devops.cli.check.checks import Check, azure_checks, failed_read_check
from defender_devops.cli.check.organizations import check_organizations
from defender_devops.cli.check.references import reference_checks
from defender_devops.cli.display.formatting import ASCII_MARKS, MARKS, STYLES
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.inputs.cluster_context import ClusterContext
from defender_devops.cli.inputs.connector_inputs import ConnectorInput
from defender_devops.cli.inputs.gather import InputOptions, gather_inputs
from defender_devops.cli.inputs.observation import observe_input
from defender_devops.cli.local_clients import LocalClients, LocalTokens, open_local_clients, read_local_settings
from defender_devops.cli.output import Format, Line, console, print_document, print_lines
from defender_devops.errors import CredentialsError, OperatorError
from defender_devops.http_client import open_http_client
from defender_devops.reconcile.facts.snapshot import ConnectorSnapshot

__all__ = ["run_check"]


@dataclass(frozen=True, slots=True)
class _ConnectorChecks:
    """All results of one connector."""

    key: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    is_signed_in: bool

    def document(self) -> dict[str, Any]:
        checks = [{name: value for name, value in asdict(check).items() if value} for check in self.checks]
        return {"connector": self.key, "checks": checks, "notes": list(self.notes)}


async def run_check(options: InputOptions, output: Format) -> ExitCode:
    """Check and print.

    Raises:
        OperatorError: the cluster does not return a connector by name.
        CommandFailed: a manifest is invalid, or there is no connector of that name.
    """
    settings = read_local_settings()
    async with AsyncExitStack() as stack:
        inputs, context = await gather_inputs(stack, options)
        clients = await stack.enter_async_context(open_local_clients())
        http = open_http_client()
        stack.push_async_callback(http.aclose)
        reader = AzureDevOpsReader(LocalTokens(), http, Endpoints.from_settings(settings), settings.check_interval)
        results = await asyncio.gather(*(_check(item, context, clients, reader) for item in inputs))
    if output is Format.TABLE:
        print_lines(line for result in results for line in _lines(result))
    else:
        print_document({"connectors": [result.document() for result in results]}, output)
    if not all(result.is_signed_in for result in results):
        return ExitCode.AZURE
    has_failed = any(check.status == "False" for result in results for check in result.checks)
    return ExitCode.NOT_OK if has_failed else ExitCode.OK


async def _check(
    item: ConnectorInput, context: ClusterContext, clients: LocalClients, reader: AzureDevOpsReader
) -> _ConnectorChecks:
    connector = item.connector
    # Each part is checked even if another one cannot be read, so that one run names everything that is missing.
    snapshot: ConnectorSnapshot | None = None
    notes: tuple[str, ...] = ()
    is_signed_in = True
    try:
        observation = await observe_input(item, context, clients.arm(connector.spec.azure.tenant_id), datetime.now(UTC))
        snapshot, notes = observation.snapshot, observation.notes
        in_azure = list(azure_checks(snapshot))
    except OperatorError as error:
        is_signed_in = not isinstance(error, CredentialsError)
        in_azure = [failed_read_check(error)]
    in_cluster: list[Check] = []
    if context.cluster is not None:
        has_configuration = snapshot is not None and not snapshot.cloud.lacks_configuration
        is_code_needed = connector.spec.authorization.method is AuthorizationMethod.CODE and not has_configuration
        in_cluster = await reference_checks(connector, context.cluster.client, is_code_needed=is_code_needed)
    organizations = await check_organizations(connector, snapshot, reader)
    notes = (*notes, *((organizations.note,) if organizations.note else ()))
    return _ConnectorChecks(item.key, (*in_cluster, *in_azure, *organizations.checks), notes, is_signed_in)


def _lines(result: _ConnectorChecks) -> Iterator[Line]:
    """Passed checks of a subject in one line, and each of the others with its message."""
    failed = sum(check.status == "False" for check in result.checks)
    unknown = sum(check.status == "Unknown" for check in result.checks)
    counts = f"{len(result.checks) - failed - unknown} passed"
    counts += f", {failed} failed" if failed else ""
    counts += f", {unknown} open" if unknown else ""
    yield Line(f"{result.key}: {counts}", style="bold")
    marks = ASCII_MARKS if console().options.ascii_only else MARKS
    for subject, group in groupby(result.checks, key=lambda check: check.subject):
        checks = list(group)
        passed = [check.name for check in checks if check.status == "True"]
        if passed:
            yield Line(f"{marks['True']} {subject}: {', '.join(passed)}", 2, STYLES["True"])
        # Equal messages, such as "not a member of this organization", are printed once for all of their checks.
        unpassed = [check for check in checks if check.status != "True"]
        for (status, reason, message), equal_checks in groupby(
            unpassed, key=lambda check: (check.status, check.reason, check.message)
        ):
            names = ", ".join(check.name for check in equal_checks)
            explanation = f" ({reason}): {message}" if reason else f": {message}"
            yield Line(f"{marks[status]} {subject}: {names}{explanation}", 2, STYLES[status])
    yield from (Line(note, 2, "cyan") for note in result.notes)
