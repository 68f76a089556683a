"""Connectors as plain lines for logs, grep and pipes, and as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from defender_devops.cli.display.formatting import (
    counts_text,
    findings_text,
    onboarded_text,
    organization_problems,
    organization_state_text,
    pipelines_status_text,
    unscanned_text,
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
        posture = filter(None, [findings_text(view.status.posture), unscanned_text(view.status.posture)])
        if text := "; ".join(posture):
            yield f"{view.key}: {text}"
        if text := pipelines_status_text(organization.status.pipelines for organization in view.organizations):
            yield f"{view.key}: {text}"
        for problem in view.problems:
            yield f"{view.key}: {problem.type}={problem.status} {problem.reason}: {problem.message}"
        for organization in view.organizations:
            yield f"{view.key}/{organization.organization}: {_organization_text(organization)}"
    for orphan in orphans:
        yield f"{orphan.namespace}/{orphan.name}: {_organization_text(orphan)}"


def status_table(connectors: Sequence[ConnectorView]) -> Iterator[tuple[str, ...]]:
    """Yield the header and one row for each connector; the last column exists if findings were counted."""
    header = ("CONNECTOR", "READY", "AUTHORIZED", "ORGS", "REPOS", "FOUND", "REASON")
    findings = [view.status.posture.findings or "" if view.status.posture else "" for view in connectors]
    has_findings = any(findings)
    yield (*header, "FINDINGS") if has_findings else header
    for view, text in zip(connectors, findings, strict=True):
        discovery = view.discovery
        organizations, repositories = discovery.organizations, discovery.repositories
        authorized = view.condition("Authorized")
        most_urgent = view.needs_reauthorization or view.ready
        row = (
            view.key,
            view.ready.status if view.ready else "",
            authorized.status if authorized else "",
            f"{organizations.onboarded}" if organizations and organizations.onboarded is not None else "",
            f"{repositories.discovered}" if repositories and repositories.discovered is not None else "",
            f"{discovery.percent} %" if discovery.percent is not None else "",
            most_urgent.reason if most_urgent else "",
        )
        yield (*row, text) if has_findings else row


def _organization_text(view: OrganizationView) -> str:
    numbers = counts_text(view.status.projects, view.status.repositories)
    problems = " ".join(organization_problems(view))
    state = f"{view.phase} ({organization_state_text(view)})"
    pipelines = pipelines_status_text([view.status.pipelines])
    return "; ".join(filter(None, [state, numbers, findings_text(view.status.posture), pipelines, problems]))
