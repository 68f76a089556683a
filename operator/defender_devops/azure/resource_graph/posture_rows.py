"""Recommendations as Resource Graph counts them: from the rows of the query `POSTURE` to numbers by organization.

No recommendation is dropped: one that is not understood is counted as `other`, or as one of an unknown organization,
and the words that were not understood are returned for the log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from defender_devops.api.posture import Category, PostureCounts, Severity
from defender_devops.azure.resource_graph.recommendations import CATEGORY_VALUES, SEVERITY_VALUES
from defender_devops.azure.resources.serialization import parse_time
from defender_devops.text import printable

__all__ = ["Posture", "PostureRow", "merge_posture_rows", "parse_organization_id", "parse_posture_row"]

_ID: Final = re.compile(
    r"(?P<connector>/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.security/securityconnectors/[^/]+)"
    r"/devops/default/azuredevopsorgs/(?P<organization>[^/]+)"
)
_NUMBER_MAX: Final = 2**31 - 1
"""Sums of as many numbers as there can be organizations still fit into a status and a metric."""

_WORD_MAX: Final = 64
_UNKNOWN_MAX: Final = 20

_PAIRS: Final = {(severity, category): (severity, category) for severity in Severity for category in Category}
"""The keys of all counts, so that thousands of organizations share them."""


class PostureRow(NamedTuple):
    """One row.

    Attributes:
        row_id: its `id`, which is unique in an answer.
        connector: id of the connector in lower case; empty where the row's id has another form.
        organization: name in lower case.
        counts: its numbers.
        unknown: words that were not understood, each with its field.
    """

    row_id: str
    connector: str
    organization: str
    counts: PostureCounts
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Posture:
    """All rows of an answer.

    Attributes:
        connectors: numbers by connector (id in lower case) and organization (name in lower case).
        unattributed: recommendations whose id names no organization of a connector.
        unknown: words that were not understood, each with its field.
    """

    connectors: Mapping[str, Mapping[str, PostureCounts]] = field(default_factory=dict)
    unattributed: int = 0
    unknown: frozenset[str] = frozenset()


def parse_posture_row(row: Mapping[str, Any]) -> PostureRow:
    """Parse one row of the query `POSTURE`, whatever is in it."""
    row_id = str(row.get("id") or "").lower()
    unhealthy: Counter[tuple[Severity, Category]] = Counter()
    statuses: Counter[str] = Counter()
    unknown: set[str] = set()
    value = row.get("counts")
    for bag in value if isinstance(value, list) else ():
        number = _number(bag.get("number")) if isinstance(bag, dict) else 0
        if not number:
            continue
        status = _word(bag.get("status"))
        if status == "unhealthy":
            unhealthy[_pair(bag, unknown)] += number
        else:
            if status not in {"healthy", "notapplicable"}:
                unknown.add(f"status '{status}'")
                status = "other"
            statuses[status] += number
    total = row.get("recommendations")
    # A row is a group of recommendations: a total that is no number must not become zero.
    missing = (0 if total == 0 else max(1, _number(total))) - unhealthy.total() - statuses.total()
    if missing > 0:
        unknown.add("counts that do not add up")
        statuses["other"] += missing
    counts = PostureCounts(
        dict(unhealthy),
        healthy=statuses["healthy"],
        not_applicable=statuses["notapplicable"],
        other_status=statuses["other"],
        affected_repositories=_number(row.get("repositories")),
        latest_change=_latest(parse_time(row.get("evaluatedAt")), parse_time(row.get("changedAt"))),
    )
    connector, organization = parse_organization_id(row_id)
    if not connector:
        return PostureRow(row_id, "", "", counts, frozenset(unknown) | {"id of another form"})
    return PostureRow(row_id, connector, organization, counts, frozenset(unknown))


def parse_organization_id(row_id: str) -> tuple[str, str]:
    """Return a connector's id and the name of its organization, in lower case; empty texts for an id of another form.

    Args:
        row_id: id of an organization, in any case; the name may be percent-encoded.
    """
    match = _ID.fullmatch(unquote(row_id).lower())
    organization = match["organization"].strip() if match is not None else ""
    return (match["connector"], organization) if match is not None and organization else ("", "")


def merge_posture_rows(rows: Iterable[PostureRow]) -> Posture:
    """Return all rows as one value. Rows that spell the same organization differently are added."""
    by_id: dict[str, PostureRow] = {}
    for row in rows:
        # A row that moved to the next page while the pages were read is in both.
        previous = by_id.get(row.row_id)
        if previous is None or previous.counts.total < row.counts.total:
            by_id[row.row_id] = row
    connectors: dict[str, dict[str, PostureCounts]] = {}
    unattributed = 0
    for row in by_id.values():
        if not row.connector:
            unattributed += row.counts.total
            continue
        organizations = connectors.setdefault(row.connector, {})
        counts = organizations.get(row.organization)
        organizations[row.organization] = row.counts if counts is None else _add(counts, row.counts)
    unknown = sorted(frozenset[str]().union(*(row.unknown for row in by_id.values())))
    return Posture(connectors, unattributed, frozenset(unknown[:_UNKNOWN_MAX]))


def _pair(bag: Mapping[str, Any], unknown: set[str]) -> tuple[Severity, Category]:
    """Return severity and category of a bag; add words that have no meaning here to `unknown`."""
    severity, category = _word(bag.get("severity")), _word(bag.get("category"))
    if severity and severity not in SEVERITY_VALUES:
        unknown.add(f"severity '{severity}'")
    if category not in CATEGORY_VALUES:
        unknown.add(f"category '{category}'")
    return _PAIRS[SEVERITY_VALUES.get(severity, Severity.OTHER), CATEGORY_VALUES.get(category, Category.OTHER)]


def _add(one: PostureCounts, other: PostureCounts) -> PostureCounts:
    return replace(
        one,
        unhealthy=dict(Counter(one.unhealthy) + Counter(other.unhealthy)),
        healthy=one.healthy + other.healthy,
        not_applicable=one.not_applicable + other.not_applicable,
        other_status=one.other_status + other.other_status,
        affected_repositories=one.affected_repositories + other.affected_repositories,
        latest_change=_latest(one.latest_change, other.latest_change),
    )


def _latest(*times: datetime | None) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _number(value: object) -> int:
    """Return a number of recommendations or repositories, limited to `_NUMBER_MAX`; 0 for everything that is none."""
    if isinstance(value, float) and value.is_integer():  # false for an infinite one, and for none
        value = int(value)
    return min(value, _NUMBER_MAX) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _word(value: object) -> str:
    """Return a word of the service in lower case, safe to log."""
    return printable(str("" if value is None else value).strip().lower())[:_WORD_MAX]
