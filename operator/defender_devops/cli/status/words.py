"""The words and marks that all forms of `status` share (pure)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from defender_devops.api.conditions import Condition
from defender_devops.api.connector import DiscoveryStatus, Progress
from defender_devops.api.reasons import ConditionType, Reason
from defender_devops.cli.status.view import ConnectorView, OrganizationView, Phase

__all__ = [
    "ASCII_MARKS",
    "ASIDE",
    "MARKS",
    "STYLES",
    "ago",
    "counts",
    "estimate",
    "needs",
    "of",
    "onboarded",
    "outcome",
    "state",
]

WORKING: Final = "Working"
ASIDE: Final = "Aside"

MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"True": "✓", "False": "✗", "Unknown": "?", WORKING: "…", ASIDE: "·"}
)
ASCII_MARKS: Final[Mapping[str, str]] = MappingProxyType(
    {"True": "+", "False": "x", "Unknown": "?", WORKING: ".", ASIDE: "-"}
)
"""For terminals that know no others."""

STYLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "True": "green",
        "False": "red",
        "Unknown": "yellow",
        WORKING: "yellow",
        ASIDE: "dim",
        Phase.READY: "green",
        Phase.STALLED: "bold red",
        Phase.WORKING: "yellow",
        Phase.UNSEEN: "yellow",
        Phase.SUSPENDED: "magenta",
        Phase.DELETING: "magenta",
    }
)

_ASIDE: Final = frozenset({Reason.EXCLUDED, Reason.NOT_INCLUDED})

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def ago(span: timedelta) -> str:
    """A span in its largest unit, as `kubectl get` shows ages: `3 h`, `2 d`, `40 s`."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def outcome(condition: Condition | None) -> str:
    """What mark and colour a condition gets: what is under way, or left out on purpose, is neither good nor bad."""
    if condition is None:
        return "Unknown"
    if condition.reason == Reason.DISCOVERING:
        return WORKING
    return ASIDE if condition.reason in _ASIDE else condition.status


def of(progress: Progress | None) -> str | None:
    """`951 of 1004`, or `951` where nobody knows how many there should be; None where nothing is known."""
    if progress is None or progress.discovered is None:
        return None
    return f"{progress.discovered}" if progress.expected is None else f"{progress.discovered} of {progress.expected}"


def counts(projects: Progress | None, repositories: Progress | None) -> str:
    """Both counts in words; empty where neither is known."""
    parts = ((of(projects), "project", "projects"), (of(repositories), "repository", "repositories"))
    return ", ".join(f"{number} {one if number == '1' else many}" for number, one, many in parts if number is not None)


def onboarded(view: ConnectorView) -> str:
    """How many organizations are covered."""
    numbers = view.discovery.organizations
    if numbers is None or numbers.onboarded is None:
        return f"{len(view.organizations)} organizations"
    whole = f" of {numbers.available}" if numbers.available is not None else ""
    held = f", {numbers.conflicting} held by another connector" if numbers.conflicting else ""
    return f"{numbers.onboarded}{whole} organizations onboarded{held}"


def estimate(discovery: DiscoveryStatus, discovered: Condition | None, now: datetime) -> str:
    """When discovery is done, or was, or should have been."""
    if discovered is not None and discovered.is_true:
        return f"complete since {ago(now - discovery.completed_at)}" if discovery.completed_at else "complete"
    if discovery.deadline is not None and discovery.deadline < now:
        return f"late since {ago(now - discovery.deadline)}"
    if discovery.estimated_completion_at is not None and discovery.estimated_completion_at > now:
        return f"about {ago(discovery.estimated_completion_at - now)} left"
    return f"deadline in {ago(discovery.deadline - now)}" if discovery.deadline is not None else ""


def state(view: OrganizationView) -> str:
    """One word for an organization: the reason that it is ready or not, else how it stands."""
    if view.ready is None or view.phase is Phase.UNSEEN:
        return view.phase
    return "Onboarded" if view.ready.reason == ConditionType.READY else view.ready.reason


def needs(view: OrganizationView, told: Container[str] = frozenset()) -> list[str]:
    """What has to be said about an organization; nothing where it is well.

    Args:
        view: the organization.
        told: reasons that its connector tells already, at length.
    """
    ready = view.ready
    said = [ready.message] if ready is not None and not ready.is_true and ready.reason not in told else []
    if ready is not None and ready.reason == Reason.HELD_BY_OTHER_CONNECTOR:
        return said  # what it lacks is the other connector's to mend
    return said + [f"{each.check}: {each.message or each.reason or 'not met'}" for each in view.unmet]
