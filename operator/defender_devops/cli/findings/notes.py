"""What an incomplete or short list means, as sentences for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from defender_devops.api.posture import Category, Coverage, Severity
from defender_devops.cli.display.formatting import ERROR, merged_notes
from defender_devops.cli.findings.azure_findings import ConnectorFindings
from defender_devops.cli.findings.selection import FindingsFilter

__all__ = ["absent_organizations", "all_notes", "summary", "unscanned_categories"]

_PHRASES: Final = {
    Coverage.NOT_SCANNED: "nothing scans for {}",
    Coverage.PARTIAL: "only a part is scanned for {}",
    Coverage.UNKNOWN: "it is not known whether something scans for {}",
}


def summary(results: Sequence[ConnectorFindings]) -> str:
    """Return how many findings there are, and how many results were examined for it."""
    findings = [finding for item in results for finding in item.findings]
    examined = sum(item.results_total for item in results)
    if not findings:
        return f"No findings among {examined} results." if examined else "No results, so there may be findings."
    by_severity = Counter(finding.severity for finding in findings)
    numbers = ", ".join(f"{by_severity[severity]} {severity}" for severity in Severity if by_severity[severity])
    repositories = {finding.resource for finding in findings if finding.resource.repository}
    places = {(item.organization.lower(), item.project.lower(), item.repository.lower()) for item in repositories}
    return (
        f"{len(findings)} finding{'s' if len(findings) > 1 else ''} ({numbers}) in {len(places)} "
        f"{'repository' if len(places) == 1 else 'repositories'}."
    )


def all_notes(results: Iterable[ConnectorFindings], selection: FindingsFilter) -> Iterator[str]:
    """Yield what keeps the list from being complete; each begins with the names of the connectors that it concerns."""
    return merged_notes((item.key, text) for item in results for text in _connector_notes(item, selection))


def absent_organizations(results: Sequence[ConnectorFindings], names: Iterable[str]) -> list[str]:
    """Return the selected organizations that no connector has onboarded and that have no results.

    None while a connector could not be read: it may have them.
    """
    if any(item.failure is not None for item in results):
        return []
    present = {name.lower() for item in results if item.connector is not None for name in item.connector.onboarded}
    present |= {result.organization.lower() for item in results for result in item.results}
    return [name for name in dict.fromkeys(names) if name.lower() not in present]


def _connector_notes(item: ConnectorFindings, selection: FindingsFilter) -> Iterator[str]:
    if item.failure is not None:
        yield f"{ERROR}{item.failure.message}"
        return
    if not item.results:
        yield (
            "Defender for Cloud has no results yet, which does not mean that there are no findings. The first ones "
            "take up to 24 hours."
        )
    elif missing := item.organizations_without_results:
        yield f"no results yet of {', '.join(missing)}, which does not mean that there are no findings."
    unscanned = unscanned_categories(item, selection)
    phrases = [
        phrase.format(", ".join(category for category, value in unscanned.items() if value is coverage))
        for coverage, phrase in _PHRASES.items()
        if coverage in unscanned.values()
    ]
    if phrases:
        yield f"{'; '.join(phrases)}. See docs/posture.md."


def unscanned_categories(item: ConnectorFindings, selection: FindingsFilter) -> dict[Category, Coverage]:
    """Return the selected kinds of finding that are not fully scanned, so that no finding of them means little.

    A kind that has results is examined at least in a part, whatever the operator knew when it wrote the status.
    """
    coverage = item.connector.coverage if item.connector is not None else {}
    categories_with_results = {result.category for result in item.results}
    return {
        category: Coverage.PARTIAL if category in categories_with_results else value
        for category, value in coverage.items()
        if value is not Coverage.SCANNED and (not selection.categories or category in selection.categories)
    }
