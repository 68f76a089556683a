"""The connectors whose findings are read, and what their status says about results and scans. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from defender_devops.api.azure_types import ConnectorRef, OnboardingState
from defender_devops.api.connector import AzureDevOpsConnector
from defender_devops.api.posture import Category, Coverage, PostureStatus, Severity
from defender_devops.cli.display.view import ConnectorView, OrganizationView
from defender_devops.reconcile.facts.coverage import combined_coverage

__all__ = ["FindingsFilter", "SelectedConnector", "select_connector"]


@dataclass(frozen=True, slots=True)
class FindingsFilter:
    """Which findings are listed. An empty collection does not restrict them.

    Attributes:
        organizations: names in lower case.
        severities: severities.
        categories: kinds of finding.
    """

    organizations: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset()
    categories: frozenset[Category] = frozenset()


@dataclass(frozen=True, slots=True)
class SelectedConnector:
    """One connector.

    Attributes:
        key: namespace and name.
        ref: its address in Azure.
        tenant_id: its tenant.
        organizations: names of its organizations in the cluster.
        expected: selected organizations that must have results: they are onboarded, and not known to be empty.
        coverage: whether something scans for each kind of finding, by the operator's status; empty where unknown.
        onboarded: selected organizations that it has onboarded.
    """

    key: str
    ref: ConnectorRef
    tenant_id: str
    organizations: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    coverage: Mapping[Category, Coverage] = field(default_factory=dict)
    onboarded: tuple[str, ...] = ()


def select_connector(
    connector: AzureDevOpsConnector, view: ConnectorView, selection: FindingsFilter
) -> SelectedConnector:
    """Return a connector with what its status, and that of its organizations, says about the selected ones."""
    names = selection.organizations
    selected = [item for item in view.organizations if not names or item.organization.lower() in names]
    onboarded = [item for item in selected if item.status.onboarding_state == OnboardingState.ONBOARDED]
    statuses = [item.status.posture for item in onboarded] if names else [view.status.posture]
    return SelectedConnector(
        view.key,
        connector.connector_ref,
        connector.spec.azure.tenant_id,
        organizations=tuple(item.organization for item in view.organizations),
        expected=tuple(item.organization for item in onboarded if _must_have_results(item)),
        coverage=_coverage(statuses),
        onboarded=tuple(item.organization for item in onboarded),
    )


def _must_have_results(view: OrganizationView) -> bool:
    repositories = view.status.repositories
    return repositories is None or repositories.discovered != 0


def _coverage(statuses: Iterable[PostureStatus | None]) -> dict[Category, Coverage]:
    """Return the coverage of several organizations; Unknown is that of one without a status, not that of the others."""
    values = [{} if status is None else dict(_values(status)) for status in statuses]
    return {
        category: combined_coverage(value.get(category, Coverage.UNKNOWN) for value in values)
        for category in Category
        if any(category in value for value in values)
    }


def _values(status: PostureStatus) -> Iterator[tuple[Category, Coverage]]:
    for category in Category:
        value: Any = getattr(status.coverage, category.name.lower(), None)
        if value in set(Coverage):  # a newer version of the operator may write another one
            yield category, Coverage(value)
