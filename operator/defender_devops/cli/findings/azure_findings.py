"""Read the findings of connectors through Resource Graph, with the identity of the caller."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from defender_devops.api.posture import Category, Severity
from defender_devops.azure.arm.client import ArmClient
from defender_devops.azure.resource_graph.client import ResourceGraph, subscription_batches
from defender_devops.azure.resource_graph.queries import (
    RecommendationFilter,
    category_results_query,
    recommendations_query,
)
from defender_devops.azure.resource_graph.recommendations import (
    CATEGORY_VALUES,
    CategoryResults,
    Recommendation,
    parse_category_results,
    parse_recommendation,
)
from defender_devops.azure.resources.security_connectors import SecurityConnectors
from defender_devops.cli.exit_codes import CommandFailed, ExitCode, command_failure
from defender_devops.cli.findings.selection import FindingsFilter, SelectedConnector
from defender_devops.errors import OperatorError

__all__ = ["ConnectorFindings", "read_findings"]

_CONNECTORS_IN_QUERY_MAX: Final = 100
"""With more connectors than this, the query is not restricted to them: it would become too long."""

_READS_MAX: Final = 8
"""Connectors without results that are read at the same time."""


@dataclass(frozen=True, slots=True)
class ConnectorFindings:
    """What was read for one connector.

    Attributes:
        key: namespace and name of the connector.
        connector: the connector; None if its manifest is invalid.
        findings: sorted by severity and place.
        results: categories that have results of any status, by organization.
        failure: why the findings could not be read.
    """

    key: str
    connector: SelectedConnector | None = None
    findings: tuple[Recommendation, ...] = ()
    results: tuple[CategoryResults, ...] = ()
    failure: CommandFailed | None = None

    @property
    def results_total(self) -> int:
        """Number of recommendations of any status."""
        return sum(item.results for item in self.results)

    @property
    def organizations_without_results(self) -> tuple[str, ...]:
        """Organizations that must have results and have none."""
        present = {item.organization.lower() for item in self.results}
        expected = self.connector.expected if self.connector is not None else ()
        return tuple(name for name in expected if name.lower() not in present)

    @property
    def is_relevant(self) -> bool:
        """Whether it says anything about the selected organizations: another one has them otherwise."""
        return self.connector is None or self.failure is not None or bool(self.results or self.connector.onboarded)

    @property
    def has_no_results(self) -> bool:
        """Whether there is nothing to conclude from: no result of the connector, or of an organization."""
        return not self.results or bool(self.organizations_without_results)


async def read_findings(
    arm: ArmClient, connectors: Sequence[SelectedConnector], selection: FindingsFilter
) -> list[ConnectorFindings]:
    """Return the findings of connectors of one tenant.

    Raises:
        OperatorError: Resource Graph refused, failed, or truncated its response.
    """
    graph, query_filter = ResourceGraph(arm), _query_filter(connectors, selection)
    subscriptions = sorted({connector.ref.subscription_id.lower() for connector in connectors})
    findings: defaultdict[str, list[Recommendation]] = defaultdict(list)
    results: defaultdict[str, list[CategoryResults]] = defaultdict(list)
    for batch in subscription_batches(subscriptions):
        recommendations, _ = await graph.parsed_rows(recommendations_query(query_filter), batch, parse_recommendation)
        for finding in recommendations:
            if _is_selected(finding, selection):
                findings[finding.resource.connector].append(finding)
        categories, _ = await graph.parsed_rows(category_results_query(query_filter), batch, parse_category_results)
        for result in categories:
            if not selection.organizations or result.organization.lower() in selection.organizations:
                results[result.connector].append(result)
    items = [
        ConnectorFindings(
            connector.key,
            connector,
            tuple(sorted(findings[connector.ref.key], key=_order)),
            tuple(results[connector.ref.key]),
        )
        for connector in connectors
    ]
    return await _with_access_checked(SecurityConnectors(arm), items, selection)


def _query_filter(connectors: Sequence[SelectedConnector], selection: FindingsFilter) -> RecommendationFilter:
    """Return what Resource Graph can leave out; the rows are filtered again, because names may be encoded."""
    keys = frozenset(connector.ref.key for connector in connectors)
    return RecommendationFilter(
        connectors=keys if len(keys) <= _CONNECTORS_IN_QUERY_MAX else frozenset(),
        organizations=selection.organizations,
        severities=frozenset() if Severity.OTHER in selection.severities else frozenset(selection.severities),
        categories=frozenset()
        if Category.OTHER in selection.categories
        else frozenset(value for value, category in CATEGORY_VALUES.items() if category in selection.categories),
    )


def _is_selected(finding: Recommendation, selection: FindingsFilter) -> bool:
    return (
        (not selection.organizations or finding.resource.organization.lower() in selection.organizations)
        and (not selection.severities or finding.severity in selection.severities)
        and (not selection.categories or finding.category in selection.categories)
    )


def _order(finding: Recommendation) -> tuple[object, ...]:
    resource = finding.resource
    place = (resource.organization, resource.project, resource.repository, resource.path)
    return (list(Severity).index(finding.severity), *(name.lower() for name in place), finding.name, finding.id)


async def _with_access_checked(
    client: SecurityConnectors, items: Iterable[ConnectorFindings], selection: FindingsFilter
) -> list[ConnectorFindings]:
    """Return the same, with a failure for each connector that the caller may not read.

    Resource Graph leaves out what the caller may not read, without an error: no result may mean no permission.
    """
    limit = asyncio.Semaphore(_READS_MAX)

    async def check(item: ConnectorFindings) -> ConnectorFindings:
        if item.results or item.connector is None or (selection.organizations and not item.is_relevant):
            return item
        async with limit:
            try:
                exists = await client.get(item.connector.ref) is not None
            except OperatorError as error:
                return ConnectorFindings(item.key, item.connector, failure=command_failure(error))
        if exists:
            return item
        message = f"There is no connector {item.connector.ref.name} in Azure, or you may not read it."
        return ConnectorFindings(item.key, item.connector, failure=CommandFailed(message, ExitCode.AZURE))

    return list(await asyncio.gather(*(check(item) for item in items)))
