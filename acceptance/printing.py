"""What the kit prints: the plan before it starts, and the table."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acceptance.checks import Cost, Probe, Verdict
from acceptance.report import Report

__all__ = ["print_plan", "print_report"]

_STYLES = {Verdict.AGREES: "green", Verdict.DIFFERS: "red", Verdict.UNKNOWN: "yellow"}
_UNITS_PER_REQUEST = (0.05, 1.0)
"""Throughput units that a read of Azure DevOps may cost; Microsoft publishes no numbers."""

_MINUTE = 60
_BEHAVIOUR_MAX = 72
"""Characters of a behaviour in the printed table; the saved one has all."""


def print_plan(console: Console, probes: Sequence[Probe], *, target: str) -> None:
    """Print what each probe reads, changes and costs.

    Args:
        console: where to.
        probes: the probes that would run.
        target: the tenant in words.
    """
    table = Table(title="What the acceptance kit is about to do", title_justify="left", show_lines=True)
    for name in ("probe", "reads", "changes", "at most"):
        table.add_column(name, overflow="fold")
    total = Cost()
    for probe in probes:
        total += probe.cost
        table.add_row(Text(probe.name), Text(probe.reads), Text(probe.changes or "nothing"), Text(_cost(probe.cost)))
    console.print(table)
    low, high = (total.azure_devops * units for units in _UNITS_PER_REQUEST)
    console.print(
        f"In all at most {_cost(total)}. Azure DevOps: {low:.0f} to {high:.0f} of the 200 throughput units that the "
        "identity has in five minutes. Money: none; reads of Resource Manager, Resource "
        "Graph and Azure DevOps are free of charge, and no plan is changed.",
        markup=False,
        highlight=False,
    )
    console.print(Text(target))


def _cost(cost: Cost) -> str:
    parts = [
        f"{number} {one if number == 1 else several}"
        for number, one, several in (
            (cost.reads, "read", "reads"),
            (cost.writes, "request that counts as a write", "requests that count as writes"),
            (cost.queries, "Resource Graph query", "Resource Graph queries"),
            (cost.azure_devops, "request to Azure DevOps", "requests to Azure DevOps"),
        )
        if number
    ]
    if cost.seconds >= _MINUTE:
        minutes = round(cost.seconds / _MINUTE)
        parts.append(f"{minutes} minute{'' if minutes == 1 else 's'} of waiting")
    return ", ".join(parts)


def print_report(console: Console, report: Report) -> None:
    """Print the table: one part for each verdict, what differs at the end, where it is on the screen."""
    rows, counts = report.table(), report.counts()
    for verdict in (Verdict.AGREES, Verdict.UNKNOWN, Verdict.DIFFERS):
        if counts[verdict.value]:
            parts = [row for row in rows if row["verdict"] == verdict.value]
            console.print(_table(parts, f"{verdict.value}: {len(parts)}", _STYLES[verdict]))
    console.print(", ".join(f"{count} {verdict}" for verdict, count in report.counts().items()), markup=False)


def _table(rows: Sequence[Mapping[str, str]], title: str, style: str) -> Table:
    """Return the rows of one verdict."""
    table = Table(title=Text(title, style=style), title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("behaviour", overflow="fold", ratio=4)
    table.add_column("assumed", overflow="fold", ratio=2)
    table.add_column("observed", overflow="fold", ratio=2)
    table.add_column("evidence", overflow="fold", ratio=4)
    for row in rows:
        behaviour = row["variant"] or textwrap.shorten(row["behaviour"], _BEHAVIOUR_MAX, placeholder="…")
        table.add_row(*map(Text, (behaviour, row["assumed"], row["observed"] or "-", row["evidence"])))
    return table
