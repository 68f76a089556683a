"""Connectors as a tree for a terminal of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from defender_devops.api.conditions import Condition
from defender_devops.api.reasons import ConditionType
from defender_devops.cli.display.formatting import (
    BAR,
    EXCLUDED,
    STYLES,
    condition_mark,
    counts_text,
    discovery_time,
    duration_text,
    findings_text,
    onboarded_text,
    organization_problems,
    organization_state_text,
    pipelines_status_text,
    unscanned_text,
)
from defender_devops.cli.display.view import ConnectorView, OrganizationView
from defender_devops.text import printable

__all__ = ["FOLDED_FROM", "TreeRenderer"]

_BAR_WIDTH: Final = 24
_SMALL_BAR_WIDTH: Final = 8
_NAME_WIDTH: Final = 26
_STATE_WIDTH: Final = 22
"""Columns to which names and states are aligned; longer ones take more."""

FOLDED_FROM: Final = 12
"""With more organizations than this, those without problems are only counted."""

_FIXED_ON_SIGN_IN_PAGE: Final = frozenset({ConditionType.SIGNED_IN, ConditionType.REAUTH_REQUIRED})

_DETAILED_BY_ORGANIZATIONS: Final = frozenset({ConditionType.PREREQUISITES_MET, ConditionType.ORGANIZATIONS_AVAILABLE})

_GUIDE_STYLE: Final = "bright_black"


@dataclass(frozen=True, slots=True)
class TreeRenderer:
    """Renders connectors.

    Attributes:
        now: current time.
        marks: marks of conditions.
        folded_from: with more organizations than this, those without problems are only counted.
    """

    now: datetime
    marks: Mapping[str, str]
    folded_from: int = FOLDED_FROM

    def render(self, connectors: Iterable[ConnectorView], orphans: Sequence[OrganizationView] = ()) -> RenderableType:
        """Return all trees; connectors that need attention come first."""
        by_urgency = sorted(connectors, key=lambda view: view.is_ready and view.needs_reauthorization is None)
        trees: list[RenderableType] = [self._connector(view) for view in by_urgency]
        if orphans:
            tree = Tree(Text("Organizations without a connector", style="bold red"), guide_style=_GUIDE_STYLE)
            self._add_organizations(tree, orphans, frozenset())
            trees.append(tree)
        return Group(*trees)

    def _connector(self, view: ConnectorView) -> Tree:
        since = f" since {duration_text(self.now - view.since)}" if view.since else ""
        title = Text.assemble(
            _text(view.key, "bold"),
            "  ",
            _text(view.phase, STYLES[view.phase]),
            _text(since, "dim"),
            _text(f"  {view.mode}, {view.location}", "dim"),
        )
        tree = Tree(title, guide_style=_GUIDE_STYLE)
        if view.observations:
            # Columns wrap between conditions, so that a mark stays with its condition.
            marks = ((condition_mark(condition), condition.type) for condition in view.observations)
            texts = [_text(f"{self.marks[mark]} {name}", STYLES[mark]) for mark, name in marks]
            tree.add(Columns(texts, padding=(0, 2)))
        has_details = any(organization_problems(organization) for organization in view.organizations)
        problems = [
            problem for problem in view.problems if not (has_details and problem.type in _DETAILED_BY_ORGANIZATIONS)
        ]
        for problem in problems:
            tree.add(self._problem(view, problem))
        if view.discovery.projects or view.discovery.repositories:
            tree.add(self._discovery(view))
        if findings := findings_text(view.status.posture):
            unscanned = unscanned_text(view.status.posture)
            tree.add(Group(_text(findings), _text(unscanned, "dim")) if unscanned else _text(findings))
        if pipelines := pipelines_status_text(organization.status.pipelines for organization in view.organizations):
            tree.add(_text(pipelines))
        if view.organizations:
            reported_reasons = frozenset(problem.reason for problem in problems)
            self._add_organizations(tree.add(_text(onboarded_text(view))), view.organizations, reported_reasons)
        return tree

    def _problem(self, view: ConnectorView, problem: Condition) -> RenderableType:
        is_urgent = problem is view.needs_reauthorization
        title = _text(f"{problem.type}: {problem.reason}", "bold red" if is_urgent else STYLES[condition_mark(problem)])
        texts = [_text(problem.message)]
        if problem.type in _FIXED_ON_SIGN_IN_PAGE and view.status.sign_in and view.status.sign_in.url:
            texts.append(_text(f"kubectl defender-devops authorize {view.key}", "cyan"))
        return Group(title, *(Padding(text, (0, 0, 0, 2), expand=False) for text in texts))

    def _discovery(self, view: ConnectorView) -> RenderableType:
        discovery = view.discovery
        counts = counts_text(discovery.projects, discovery.repositories)
        time_text = discovery_time(discovery, view.condition(ConditionType.DISCOVERED), self.now)
        if discovery.percent is None:
            return Text(f"discovered {counts}{f'; {time_text}' if time_text else ''}")
        row = Table.grid(padding=(0, 2))
        percent = Text(f"{discovery.percent} % discovered", "bold")
        row.add_row(_bar(discovery.percent, _BAR_WIDTH), percent, Text(time_text, "dim"))
        return Group(row, Text(counts))

    def _add_organizations(
        self, tree: Tree, organizations: Sequence[OrganizationView], reported_reasons: frozenset[str]
    ) -> None:
        excluded = [view.organization for view in organizations if condition_mark(view.ready) == EXCLUDED]
        included = [view for view in organizations if condition_mark(view.ready) != EXCLUDED]
        is_folded = len(included) > self.folded_from
        visible = [view for view in included if not (is_folded and view.needs_no_attention)]
        name_width = min(_NAME_WIDTH, max((len(view.organization) for view in visible), default=0))
        state_width = min(_STATE_WIDTH, max((len(organization_state_text(view)) for view in visible), default=0))
        for view in visible:
            row = self._organization_row(view, name_width, state_width)
            problems = organization_problems(view, reported_reasons)
            tree.add(Group(row, *(Padding(_text(problem), (0, 0, 0, 3), expand=False) for problem in problems)))
        if len(visible) < len(included):
            noun = "more" if visible else "organizations"
            tree.add(_text(f"{len(included) - len(visible)} {noun} without problems", "dim"))
        if excluded:
            tree.add(_text(f"{self.marks[EXCLUDED]}  excluded: {', '.join(excluded)}", "dim"))

    def _organization_row(self, view: OrganizationView, name_width: int, state_width: int) -> Text:
        """Return one line, which wraps between words where the terminal is too narrow for it."""
        mark = condition_mark(view.ready)
        mark = "False" if mark == "True" and view.unmet else mark
        row = Text.assemble(
            (self.marks[mark], STYLES[mark]),
            _text(f"  {view.organization.ljust(name_width)}"),
            _text(f"  {organization_state_text(view).ljust(state_width)}", "dim"),
        )
        repositories = view.status.repositories
        if repositories is not None and repositories.discovered is not None:
            if repositories.expected:
                part = min(_SMALL_BAR_WIDTH, _SMALL_BAR_WIDTH * repositories.discovered // repositories.expected)
                bar = (self.marks[BAR] * part).ljust(_SMALL_BAR_WIDTH)
                row.append(f"  {bar}", "green" if part == _SMALL_BAR_WIDTH else "cyan")
            row.append(f"  {counts_text(None, repositories)}", "dim")
        if view.status.posture is not None and view.status.posture.findings:
            row.append_text(_text(f"  {view.status.posture.findings}", "dim"))
        row.rstrip()
        return row


def _text(text: str, style: str = "") -> Text:
    """Return text that may contain values from outside."""
    return Text(printable(text), style)


def _bar(percent: int, width: int) -> ProgressBar:
    return ProgressBar(total=100, completed=percent, width=width, finished_style="green", complete_style="cyan")
