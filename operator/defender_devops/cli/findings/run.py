"""`findings`: read connectors from the cluster and their findings from Azure, and print them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack
from itertools import groupby

from defender_devops.api.connector import InvalidManifest, parse_connector
from defender_devops.api.posture import Category, Severity
from defender_devops.azure.arm.client import ArmClient
from defender_devops.cli.cluster_access import Cluster, open_cluster, require_organizations
from defender_devops.cli.cluster_target import ListOptions
from defender_devops.cli.display.view import connector_views
from defender_devops.cli.exit_codes import CommandFailed, ExitCode, command_failure
from defender_devops.cli.findings.azure_findings import ConnectorFindings, read_findings
from defender_devops.cli.findings.notes import absent_organizations, all_notes, summary
from defender_devops.cli.findings.render import print_findings
from defender_devops.cli.findings.selection import FindingsFilter, SelectedConnector, select_connector
from defender_devops.cli.local_clients import open_local_clients
from defender_devops.cli.output import print_note
from defender_devops.cluster.client import Body
from defender_devops.errors import OperatorError
from defender_devops.text import list_names

__all__ = ["run_findings"]


async def run_findings(
    options: ListOptions, severities: Collection[Severity] = (), categories: Collection[Category] = ()
) -> ExitCode:
    """Print the findings of connectors. What could not be read is reported, and the findings of the others are printed.

    Args:
        options: which connectors and organizations, and the format.
        severities: severities; empty for all.
        categories: kinds of finding; empty for all.

    Raises:
        OperatorError: the cluster does not return the connectors.
        CommandFailed: there is no connector, or no organization, of that name.
    """
    selection = FindingsFilter(
        frozenset(name.lower() for name in options.organizations),
        frozenset(severities),
        frozenset(categories),
    )
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(open_cluster(options.target))
        connectors, results = await _select(cluster, options, selection)
        clients = await stack.enter_async_context(open_local_clients())
        by_tenant = groupby(sorted(connectors, key=lambda item: item.tenant_id), key=lambda item: item.tenant_id)
        reads = [_read(clients.arm(tenant_id), list(group), selection) for tenant_id, group in by_tenant]
        results += [result for tenant_results in await asyncio.gather(*reads) for result in tenant_results]
    results.sort(key=lambda result: result.key)
    if not any(item.failure is not None for item in results):
        present = [name for item in results if item.connector for name in item.connector.organizations]
        present += [result.organization for item in results for result in item.results]
        require_organizations(options.organizations, present)
    absent = absent_organizations(results, options.organizations)
    if options.organizations:
        results = [item for item in results if item.is_relevant]
    print_findings(results, options.output)
    if not any(item.failure is not None for item in results) or any(item.findings for item in results):
        print_note(summary(results))
    for note in all_notes(results, selection):
        print_note(note)
    if absent:
        print_note(
            f"There are no results of {list_names(absent)}: none of these connectors has onboarded "
            f"{'it' if len(absent) == 1 else 'them'}, so Defender for Cloud examines nothing there through them."
        )
    failures = [item.failure for item in results if item.failure is not None]
    if failures:
        return failures[0].exit_code
    return ExitCode.NOT_OK if absent or any(item.has_no_results for item in results) else ExitCode.OK


async def _select(
    cluster: Cluster, options: ListOptions, selection: FindingsFilter
) -> tuple[list[SelectedConnector], list[ConnectorFindings]]:
    """Return the connectors to read, and a failure for each one that has an invalid spec."""
    bodies, organizations = await cluster.select(options.name, all_namespaces=options.all_namespaces)
    views = {view.key: view for view in connector_views(bodies, organizations)}
    selected: list[SelectedConnector] = []
    failures: list[ConnectorFindings] = []
    for body in bodies:
        key = _key(body)
        try:
            selected.append(select_connector(parse_connector(body), views[key], selection))
        except InvalidManifest as error:
            failure = CommandFailed(f"The connector has an invalid spec: {error.message}", ExitCode.NOT_OK)
            failures.append(ConnectorFindings(key, failure=failure))
    return selected, failures


def _key(body: Body) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


async def _read(
    arm: ArmClient, connectors: list[SelectedConnector], selection: FindingsFilter
) -> list[ConnectorFindings]:
    try:
        return await read_findings(arm, connectors, selection)
    except OperatorError as error:
        failure = command_failure(error)
        return [ConnectorFindings(connector.key, connector, failure=failure) for connector in connectors]
