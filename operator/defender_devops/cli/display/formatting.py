"""Marks, colors and phrases that all forms of output share. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from defender_devops.api.conditions import Condition
from defender_devops.api.connector import DiscoveryStatus, Progress
from defender_devops.api.pipelines.states import PipelineState
from defender_devops.api.pipelines.status import PipelinesStatus
from defender_devops.api.posture import Category, Coverage, PostureStatus, Severity
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.cli.display.view import WAITING_REASONS, ConnectorView, OrganizationView, Phase

__all__ = [
    "ASCII_MARKS",
    "BAR",
    "ERROR",
    "EXCLUDED",
    "MARKS",
    "STYLES",
    "condition_mark",
    "counts_text",
    "discovery_time",
    "duration_text",
    "findings_text",
    "merged_notes",
    "onboarded_text",
    "organization_problems",
    "organization_state_text",
    "pipelines_status_text",
    "pipelines_text",
    "progress_text",
    "table_text",
    "unscanned_text",
]

WORKING: Final = "Working"
EXCLUDED: Final = "Excluded"
BAR: Final = "Bar"

MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"True": "✓", "False": "✗", "Unknown": "?", WORKING: "…", EXCLUDED: "·", BAR: "━"}
)
ASCII_MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"True": "+", "False": "x", "Unknown": "?", WORKING: ".", EXCLUDED: "-", BAR: "-"}
)
"""For terminals without Unicode."""

STYLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "True": "green",
        "False": "red",
        "Unknown": "yellow",
        WORKING: "yellow",
        EXCLUDED: "dim",
        Phase.READY: "green",
        Phase.STALLED: "bold red",
        Phase.WORKING: "yellow",
        Phase.PENDING: "yellow",
        Phase.SUSPENDED: "magenta",
        Phase.DELETING: "magenta",
    }
)

ERROR: Final = "error: "
"""Beginning of a note about something that could not be read."""

_NAMES_IN_NOTE_MAX: Final = 8

_EXCLUDED_REASONS: Final = frozenset({Reason.EXCLUDED, Reason.NOT_INCLUDED, Reason.DISABLED})

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def duration_text(duration: timedelta) -> str:
    """Return a duration in the largest unit of which it has at least two: `3 h`, `2 d`, `40 s`."""
    seconds = max(0, int(duration.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def condition_mark(condition: Condition | None) -> str:
    """Return the key of a condition's mark and style; work in progress and exclusions are neither good nor bad."""
    if condition is None:
        return "Unknown"
    if condition.reason in WAITING_REASONS:
        return WORKING
    return EXCLUDED if condition.reason in _EXCLUDED_REASONS else condition.status


def progress_text(progress: Progress | None) -> str | None:
    """Return `951 of 1004`, or `951` if the expected number is not known; None without progress."""
    if progress is None or progress.discovered is None:
        return None
    return f"{progress.discovered}" if progress.expected is None else f"{progress.discovered} of {progress.expected}"


def counts_text(projects: Progress | None, repositories: Progress | None) -> str:
    """Return both counts with their nouns; empty if neither is known."""
    counts = (
        (progress_text(projects), "project", "projects"),
        (progress_text(repositories), "repository", "repositories"),
    )
    return ", ".join(
        f"{number} {singular if number == '1' else plural}" for number, singular, plural in counts if number is not None
    )


def onboarded_text(view: ConnectorView) -> str:
    """Return how many organizations are onboarded."""
    organizations = view.discovery.organizations
    if organizations is None or organizations.onboarded is None:
        return f"{len(view.organizations)} organizations"
    total = f" of {organizations.available}" if organizations.available is not None else ""
    conflicting = organizations.conflicting
    conflicts = f", {conflicting} onboarded by another connector" if conflicting else ""
    return f"{organizations.onboarded}{total} organizations onboarded{conflicts}"


def findings_text(posture: PostureStatus | None) -> str:
    """Return how many findings there are, such as `2 critical, 14 high findings in 9 repositories`.

    Empty if the operator has not written anything about results.
    """
    if posture is None:
        return ""
    if posture.recommendations is None:
        return "no results of Defender for Cloud yet"
    numbers = [(getattr(posture.recommendations, severity.value), severity.value) for severity in Severity]
    parts = [f"{number} {severity}" for number, severity in numbers if number]
    if not parts:
        return "no findings"
    repositories = posture.affected_repositories
    total = sum(number for number, _ in numbers)
    place = f" in {repositories} {'repository' if repositories == 1 else 'repositories'}" if repositories else ""
    return f"{', '.join(parts)} finding{'s' if total > 1 else ''}{place}"


def unscanned_text(posture: PostureStatus | None) -> str:
    """Return the kinds of finding for which nothing, or only a part, is known to be scanned; mostly empty."""
    values = [(category, _coverage(posture, category)) for category in Category]
    phrases = (
        (Coverage.NOT_SCANNED, "not scanned"),
        (Coverage.PARTIAL, "partly scanned"),
        (Coverage.UNKNOWN, "not known whether scanned"),
    )
    parts = ((phrase, [category for category, value in values if value == coverage]) for coverage, phrase in phrases)
    return "; ".join(f"{phrase}: {', '.join(categories)}" for phrase, categories in parts if categories)


def _coverage(posture: PostureStatus | None, category: Category) -> str | None:
    coverage = posture.coverage if posture is not None else None
    return getattr(coverage, category.name.lower(), None)


def pipelines_text(counts: Mapping[PipelineState, int]) -> str:
    """Return how many repositories are not scanned, such as `12 of 40 repositories not scanned, 3 undecided`.

    Those to which scanning does not apply are not counted.
    """
    total = sum(counts.get(state, 0) for state in PipelineState if state is not PipelineState.NOT_APPLICABLE)
    if not total:
        return "no repositories to scan"
    noun = "repository" if total == 1 else "repositories"
    missing, undecided = counts.get(PipelineState.MISSING, 0), counts.get(PipelineState.UNDECIDED, 0)
    if not missing and not undecided:
        return f"all {total} {noun} scanned, or configured to be"
    rest = f", {undecided} undecided" if undecided else ""
    return f"{missing} of {total} {noun} not scanned{rest}"


def pipelines_status_text(statuses: Iterable[PipelinesStatus | None]) -> str:
    """Return how many repositories of organizations are not scanned; empty if none has been checked."""
    checked = [status for status in statuses if status is not None and status.repositories is not None]
    if not checked:
        return ""
    counts: Counter[PipelineState] = Counter()
    for status in checked:
        counts.update({state: getattr(status.repositories, state.name.lower()) for state in PipelineState})
    without_results = sum(status.ran_without_results or 0 for status in checked)
    rest = f", {without_results} scanned without results" if without_results else ""
    return f"{pipelines_text(counts)}{rest}"


def discovery_time(discovery: DiscoveryStatus, discovered: Condition | None, now: datetime) -> str:
    """Return when discovery was completed, will be, or should have been."""
    if discovered is not None and discovered.is_true:
        completed_at = discovery.completed_at
        return f"completed {duration_text(now - completed_at)} ago" if completed_at else "completed"
    if discovery.deadline is not None and discovery.deadline < now:
        return f"overdue by {duration_text(now - discovery.deadline)}"
    if discovery.estimated_completion_at is not None and discovery.estimated_completion_at > now:
        return f"about {duration_text(discovery.estimated_completion_at - now)} left"
    return f"deadline in {duration_text(discovery.deadline - now)}" if discovery.deadline is not None else ""


def organization_state_text(view: OrganizationView) -> str:
    """Return the state of an organization in one word: the reason of its condition Ready, or its phase."""
    if view.ready is None or view.phase is Phase.PENDING:
        return view.phase
    return "Onboarded" if view.ready.reason == ConditionType.READY else view.ready.reason


def organization_problems(view: OrganizationView, reported_reasons: Container[str] = frozenset()) -> list[str]:
    """Return the messages about an organization that need attention.

    Args:
        view: the organization.
        reported_reasons: reasons that its connector already shows with a message.
    """
    ready = view.ready
    messages = []
    if ready is not None and not ready.is_true and ready.reason not in reported_reasons:
        messages.append(ready.message)
    if ready is not None and ready.reason == Reason.HELD_BY_OTHER_CONNECTOR:
        return messages  # unmet prerequisites concern the other connector
    return messages + [f"{check.check}: {check.message or check.reason or 'not met'}" for check in view.unmet]


def merged_notes(notes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield each text once, after the names of everything that it concerns.

    Args:
        notes: name of a connector or an organization, and a text, which begins with `ERROR` for an error.
    """
    names_by_text: dict[str, list[str]] = {}
    for name, text in notes:
        names_by_text.setdefault(text, []).append(name)
    for text, names in names_by_text.items():
        omitted = len(names) - _NAMES_IN_NOTE_MAX
        listed = ", ".join(names[:_NAMES_IN_NOTE_MAX]) + (f" and {omitted} more" if omitted > 0 else "")
        yield f"{ERROR}{listed}: {text[len(ERROR) :]}" if text.startswith(ERROR) else f"{listed}: {text}"


def table_text(rows: Iterable[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield the lines of a table. Words are never broken, and nothing is cut off.

    Args:
        rows: header and rows.
        width: width of the terminal; None for no limit. If the table is wider, a value of the first column that is
            longer than its header gets a line of its own.
    """
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_split = width is not None and sum(widths) + 2 * (len(widths) - 1) > width
    if is_split:
        widths[0] = len(cells[0][0])
    for row in cells:
        if is_split and len(row[0]) > widths[0]:
            yield row[0]
            row[0] = ""
        yield "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
