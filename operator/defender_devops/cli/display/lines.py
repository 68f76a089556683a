"""Connectors as plain lines for logs, grep and pipes, and as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from defender_devops.cli.display.formatting import (
    counts_text,
    onboarded_text,
    organization_problems,
    organization_state_text,
)
from defender_devops.cli.display.view import ConnectorView, OrganizationView

__all__ = ["status_lines", "status_table"]


def status_lines(connectors: Iterable[ConnectorView], orphans: Iterable[OrganizationView] = ()) -> Iterator[str]:
    """Yield a line for each connector, problem and organization; each begins with the name of its resource."""
    for view in connectors:
        discovery = view.discovery
        numbers = [onboarded_text(view), counts_text(discovery.projects, discovery.repositories)]
        numbers.append(f"{discovery.percent} % discovered" if discovery.percent is not None else "")
        yield f"{view.key}: {view.phase}; {', '.join(filter(None, numbers))}"
        for problem in view.problems:
            yield f"{view.key}: {problem.type}={problem.status} {problem.reason}: {problem.message}"
        for organization in view.organizations:
            yield f"{view.key}/{organization.organization}: {_organization_text(organization)}"
    for orphan in orphans:
        yield f"{orphan.namespace}/{orphan.name}: {_organization_text(orphan)}"


def status_table(connectors: Iterable[ConnectorView]) -> Iterator[tuple[str, ...]]:
    """Yield the header and one row for each connector."""
    yield ("CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON")
    for view in connectors:
        discovery = view.discovery
        organizations, repositories = discovery.organizations, discovery.repositories
        authorized = view.condition("Authorized")
        most_urgent = view.needs_reauthorization or view.ready
        yield (
            view.key,
            view.ready.status if view.ready else "",
            authorized.status if authorized else "",
            f"{organizations.onboarded}" if organizations and organizations.onboarded is not None else "",
            f"{repositories.discovered}" if repositories and repositories.discovered is not None else "",
            f"{discovery.percent} %" if discovery.percent is not None else "",
            most_urgent.reason if most_urgent else "",
        )


def _organization_text(view: OrganizationView) -> str:
    numbers = counts_text(view.status.projects, view.status.repositories)
    problems = " ".join(organization_problems(view))
    return "; ".join(filter(None, [f"{view.phase} ({organization_state_text(view)})", numbers, problems]))
