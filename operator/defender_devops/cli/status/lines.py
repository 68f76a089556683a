"""Connectors as plain lines, each complete in itself: for logs, grep and pipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from defender_devops.cli.status.view import ConnectorView, OrganizationView
from defender_devops.cli.status.words import counts, needs, onboarded, state

__all__ = ["lines", "table"]


def lines(connectors: Iterable[ConnectorView], orphans: Iterable[OrganizationView] = ()) -> Iterator[str]:
    """One line for each connector, each of its problems and each organization, beginning with its name."""
    for view in connectors:
        numbers = [onboarded(view), counts(view.discovery.projects, view.discovery.repositories)]
        percent = view.discovery.percent
        numbers.append(f"{percent} % discovered" if percent is not None else "")
        yield f"{view.key}: {view.phase}; {', '.join(each for each in numbers if each)}"
        for problem in view.problems:
            yield f"{view.key}: {problem.type}={problem.status} {problem.reason}: {problem.message}"
        for each in view.organizations:
            yield f"{view.key}/{each.organization}: {_organization(each)}"
    for each in orphans:
        yield f"{each.namespace}/{each.name}: {_organization(each)}"


def _organization(view: OrganizationView) -> str:
    numbers = counts(view.status.projects, view.status.repositories)
    words = " ".join(needs(view))
    return f"{view.phase} ({state(view)}){f'; {numbers}' if numbers else ''}{f'; {words}' if words else ''}"


def table(connectors: Iterable[ConnectorView]) -> Iterator[tuple[str, ...]]:
    """Head and rows, one for each connector."""
    yield ("CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON")
    for view in connectors:
        discovery = view.discovery
        organizations, repositories = discovery.organizations, discovery.repositories
        authorized = view.condition("Authorized")
        urgent = view.needs_reauthorization or view.ready
        yield (
            view.key,
            view.ready.status if view.ready else "",
            authorized.status if authorized else "",
            f"{organizations.onboarded}" if organizations and organizations.onboarded is not None else "",
            f"{repositories.discovered}" if repositories and repositories.discovered is not None else "",
            f"{discovery.percent} %" if discovery.percent is not None else "",
            urgent.reason if urgent else "",
        )
