"""The demo's output: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from sandbox.demo.resource_rows import ConnectorRow, OrganizationRow

__all__ = ["Screen"]

_COLOURS = {"yes": "green", "no": "yellow"}


class Screen:
    """Prints steps with their duration; `show` displays the resources."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # A dumb terminal (TERM=dumb, as in Emacs or some CI systems) cannot move the cursor: rich would show no table.
        live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if live else None
        self._shown: dict[str, str] = {}
        self._times: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the demo."""
        self._console.print(f"[bold]▶ {escape(title)}[/bold]")
        started = time.monotonic()
        yield
        elapsed = time.monotonic() - started
        self._times.append((title, elapsed))
        self._console.print(f"  [green]✓[/green] {elapsed:.1f} s")

    def say(self, text: str) -> None:
        """Print text under the current step."""
        for line in text.splitlines():
            self._console.print(f"  {escape(line)}", highlight=False, soft_wrap=not self._console.record)

    def show(self, connectors: Sequence[ConnectorRow], organizations: Sequence[OrganizationRow]) -> None:
        """Show the current resources; without a terminal only changes."""
        if self._live:
            self._live.update(
                Group(_table(ConnectorRow, connectors), _table(OrganizationRow, organizations)), refresh=True
            )
            return
        lines = {row.name: row.line() for row in connectors}
        for name, line in lines.items():
            if self._shown.get(name) != line:
                self.say(line)
        for name in self._shown.keys() - lines.keys():
            self.say(f"{name}: deleted")
        self._shown = lines

    def summary(self) -> None:
        """Print the steps and their duration."""
        self._console.print("\n[bold]Steps and their duration in seconds[/bold]")
        for title, elapsed in [*self._times, ("total", sum(elapsed for _, elapsed in self._times))]:
            self._console.print(f"{elapsed:7.1f}  {escape(title)}", highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()


def _table(kind: type[ConnectorRow | OrganizationRow], rows: Sequence[ConnectorRow | OrganizationRow]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for field in fields(kind):
        table.add_column(field.name.upper(), no_wrap=field.name != "reason")
    for row in rows:
        table.add_row(*(_coloured(value) for value in astuple(row)))
    return table


def _coloured(value: str) -> str:
    colour = _COLOURS.get(value.partition(" ")[0])
    return f"[{colour}]{escape(value)}[/{colour}]" if colour else escape(value)
