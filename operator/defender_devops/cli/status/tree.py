"""Connectors as a tree, for a terminal of 80 columns or more."""

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
from defender_devops.api.organization import OrganizationStatus
from defender_devops.api.reasons import ConditionType
from defender_devops.cli.status.view import ConnectorView, OrganizationView, moment_of
from defender_devops.cli.status.words import ASIDE, STYLES, ago, counts, estimate, needs, onboarded, outcome, state

__all__ = ["Trees"]

_BAR: Final = 24
_SMALL_BAR: Final = 8
_NAME_MAX: Final = 26
_FOLDED_FROM: Final = 12
"""With more organizations than this, those that are well are only counted, unless one connector was asked for."""

_FOR_A_PERSON: Final = frozenset({ConditionType.SIGNED_IN, ConditionType.REAUTH_REQUIRED})

_OF_ORGANIZATIONS: Final = frozenset({ConditionType.PREREQUISITES_MET, ConditionType.ORGANIZATIONS_AVAILABLE})

_GUIDES: Final = "bright_black"


@dataclass(frozen=True, slots=True)
class Trees:
    """Draws connectors.

    Attributes:
        now: the moment.
        marks: for True, False and Unknown.
        unfolded: shows every organization, however many.
    """

    now: datetime
    marks: Mapping[str, str]
    unfolded: bool = False

    def draw(self, connectors: Iterable[ConnectorView], orphans: Sequence[OrganizationView] = ()) -> RenderableType:
        """All of them, one below the other; those for which somebody must do something come first."""
        urgent_first = sorted(connectors, key=lambda view: view.is_ready and view.needs_reauthorization is None)
        trees: list[RenderableType] = [self._connector(view) for view in urgent_first]
        if orphans:
            tree = Tree(Text("Organizations without a connector", style="bold red"), guide_style=_GUIDES)
            self._add_organizations(tree, orphans, frozenset())
            trees.append(tree)
        return Group(*trees)

    def _connector(self, view: ConnectorView) -> Tree:
        tree = Tree(self._title(view), guide_style=_GUIDES)
        if view.observations:
            tree.add(self._observations(view.observations))
        problems = [each for each in view.problems if not _is_told_below(view, each)]
        for problem in problems:
            tree.add(self._problem(view, problem))
        if view.discovery.projects or view.discovery.repositories:
            tree.add(self._discovery(view))
        if view.organizations:
            told = frozenset(problem.reason for problem in problems)
            self._add_organizations(tree.add(Text(onboarded(view))), view.organizations, told)
        return tree

    def _title(self, view: ConnectorView) -> Text:
        since = moment_of(view.ready)
        return Text.assemble(
            (view.key, "bold"),
            "  ",
            (view.phase, STYLES[view.phase]),
            (f" since {ago(self.now - since)}" if since else "", "dim"),
            (f"  {view.mode}, {view.location}", "dim"),
        )

    def _observations(self, conditions: Iterable[Condition]) -> Columns:
        """All conditions in a line or two; a mark never parts from its word."""
        found = ((outcome(each), each.type) for each in conditions)
        return Columns([Text(f"{self.marks[each]} {name}", STYLES[each]) for each, name in found], padding=(0, 2))

    def _problem(self, view: ConnectorView, problem: Condition) -> RenderableType:
        urgent = problem is view.needs_reauthorization
        title = Text(f"{problem.type}: {problem.reason}", "bold red" if urgent else STYLES[outcome(problem)])
        words = [Text(problem.message)]
        if problem.type in _FOR_A_PERSON and view.status.sign_in and view.status.sign_in.url:
            words.append(Text(f"kubectl defender-devops authorize {view.key}", "cyan"))
        return Group(title, *(Padding(each, (0, 0, 0, 2), expand=False) for each in words))

    def _discovery(self, view: ConnectorView) -> RenderableType:
        discovery = view.discovery
        numbers = counts(discovery.projects, discovery.repositories)
        when = estimate(discovery, view.condition(ConditionType.DISCOVERED), self.now)
        if discovery.percent is None:
            return Text(f"discovered {numbers}{f'; {when}' if when else ''}")
        row = Table.grid(padding=(0, 2))
        row.add_row(_bar(discovery.percent, _BAR), Text(f"{discovery.percent} % discovered", "bold"), Text(when, "dim"))
        return Group(row, Text(numbers))

    def _add_organizations(self, tree: Tree, organizations: Sequence[OrganizationView], told: frozenset[str]) -> None:
        aside = [each.organization for each in organizations if outcome(each.ready) == ASIDE]
        rest = [each for each in organizations if outcome(each.ready) != ASIDE]
        fold = len(rest) > _FOLDED_FROM and not self.unfolded
        shown = [each for each in rest if not fold or not each.is_well]
        width = min(_NAME_MAX, max((len(each.organization) for each in shown), default=0))
        for each in shown:
            tree.add(self._organization(each, width, told))
        if len(shown) < len(rest):
            tree.add(Text(f"{len(rest) - len(shown)} {'more' if shown else 'organizations'}, all well", "dim"))
        if aside:
            tree.add(Text(f"{self.marks[ASIDE]}  left out: {', '.join(aside)}", "dim"))

    def _organization(self, view: OrganizationView, width: int, told: frozenset[str]) -> RenderableType:
        mark = outcome(view.ready)
        mark = "False" if mark == "True" and view.unmet else mark
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=1)
        row.add_column(width=width, no_wrap=True)
        row.add_column(no_wrap=True)
        row.add_row(
            Text(self.marks[mark], STYLES[mark]), view.organization, Text(state(view), "dim"), *_progress(view.status)
        )
        return Group(row, *(Padding(Text(words), (0, 0, 0, 3), expand=False) for words in needs(view, told)))


def _is_told_below(view: ConnectorView, problem: Condition) -> bool:
    """Whether the organizations say the same, each for itself and in full."""
    return problem.type in _OF_ORGANIZATIONS and any(needs(each) for each in view.organizations)


def _progress(status: OrganizationStatus) -> list[RenderableType]:
    """A small bar where it is known how much there is to find, and the numbers."""
    repositories = status.repositories
    if repositories is None or repositories.discovered is None:
        return []
    text = Text(counts(None, repositories), "dim")
    if not repositories.expected:
        return [text]
    return [_bar(min(100, 100 * repositories.discovered // repositories.expected), _SMALL_BAR), text]


def _bar(percent: int, width: int) -> ProgressBar:
    return ProgressBar(total=100, completed=percent, width=width, finished_style="green", complete_style="cyan")
