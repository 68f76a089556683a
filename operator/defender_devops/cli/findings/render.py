"""Findings as a table, as CSV, and as a document for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from defender_devops.azure.resource_graph.recommendations import Recommendation
from defender_devops.cli.display.formatting import table_text
from defender_devops.cli.findings.azure_findings import ConnectorFindings
from defender_devops.cli.output import Format, ListFormat, console, csv_text, print_document, print_text
from defender_devops.text import printable

__all__ = ["document", "print_findings"]


_TABLE_HEADER: Final = ("REPOSITORY", "SEVERITY", "CATEGORY", "SINCE", "FINDING")


def print_findings(results: Sequence[ConnectorFindings], output: ListFormat) -> None:
    """Print the findings of all connectors."""
    if output is ListFormat.CSV:
        sys.stdout.write(_csv_text(results))
    elif output is ListFormat.TABLE:
        _print_table([finding for item in results for finding in item.findings])
    else:
        print_document(document(results), Format(output))


def document(results: Sequence[ConnectorFindings]) -> dict[str, Any]:
    """Return findings and connectors for JSON and YAML. Fields without a value are absent."""
    return {
        "findings": [_without_empty(_fields(item.key, finding)) for item in results for finding in item.findings],
        "connectors": [
            _without_empty(
                {
                    "connector": item.key,
                    "results": item.results_total if item.failure is None else None,
                    "organizationsWithoutResults": list(item.organizations_without_results),
                    "coverage": _coverage(item),
                    "error": item.failure.message if item.failure is not None else None,
                }
            )
            for item in results
        ],
    }


def _coverage(item: ConnectorFindings) -> dict[str, str]:
    coverage = item.connector.coverage if item.connector is not None else {}
    return {category.value: value.value for category, value in coverage.items()}


def _fields(connector: str, finding: Recommendation) -> dict[str, str]:
    resource = finding.resource
    return {
        "connector": connector,
        "organization": resource.organization,
        "project": resource.project,
        "repository": resource.repository,
        "resource": resource.path,
        "severity": finding.severity.value,
        "category": finding.category.value,
        "since": _time_text(finding.since),
        "name": finding.name,
        "link": finding.portal_link or "",
    }


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _time_text(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if time is not None else ""


def _csv_text(results: Sequence[ConnectorFindings]) -> str:
    names = ("connector", "organization", "project", "repository", "resource", "severity", "category", "since", "name")
    return csv_text((*names, "link"), (_fields(item.key, finding) for item in results for finding in item.findings))


def _print_table(findings: Sequence[Recommendation]) -> None:
    """Print a line for each finding. On a terminal, its name is a link to the portal."""
    from rich.style import Style  # noqa: PLC0415 - as in output.console
    from rich.text import Text  # noqa: PLC0415 - as in output.console

    if not findings:
        return
    screen = console()
    rows = [_row(finding) for finding in findings]
    lines = table_text([_TABLE_HEADER, *rows], screen.width if screen.is_terminal else None)
    if not screen.is_terminal:
        for line in lines:
            print_text(line)
        return
    screen.print(Text(next(lines), "bold"), soft_wrap=True)
    for finding, row in zip(findings, rows, strict=True):
        line = next(lines)
        if line == row[0]:  # the repository has a line of its own, because the terminal is narrow
            screen.print(Text(line), soft_wrap=True)
            line = next(lines)
        text = Text(line)
        if finding.portal_link is not None:
            text.stylize(Style(link=finding.portal_link), len(line) - len(row[-1]))
        screen.print(text, soft_wrap=True)


def _row(finding: Recommendation) -> tuple[str, ...]:
    resource = finding.resource
    place = "/".join(filter(None, (resource.organization, resource.project, resource.repository, resource.path)))
    since = finding.since.astimezone(UTC).date().isoformat() if finding.since is not None else ""
    return tuple(
        printable(cell).strip() for cell in (place, finding.severity.value, finding.category.value, since, finding.name)
    )
