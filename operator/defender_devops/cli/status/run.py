"""`status`: read connectors and organizations, and show them once or after each change."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.segment import Segment, Segments
from rich.text import Text

from defender_devops.cli.cluster_access import Cluster, open_cluster
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.display.formatting import ASCII_MARKS, MARKS, table_text
from defender_devops.cli.display.lines import status_lines, status_table
from defender_devops.cli.display.view import ConnectorView, OrganizationView, connector_views, orphaned_organizations
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.output import Format, console, print_document, print_note, print_text
from defender_devops.cli.status.document import status_document
from defender_devops.cli.status.tree import FOLDED_FROM, TreeRenderer
from defender_devops.cluster.client import Body
from defender_devops.cluster.connectors import connectors_path
from defender_devops.cluster.organizations import organizations_path
from defender_devops.cluster.watch import watch_objects

__all__ = ["Resources", "StatusOptions", "fit_screen", "run_status", "show_status"]

_REFRESH_INTERVAL: Final = 5.0
"""Seconds after which the tree is rendered again without a change: it shows durations."""


@dataclass(frozen=True, slots=True)
class StatusOptions:
    """Options of the command.

    Attributes:
        target: cluster and namespace.
        name: one connector, or None for all.
        all_namespaces: whether all namespaces are shown.
        output: format; None is the tree on a terminal and lines elsewhere.
        watch: whether changes are shown until interrupted.
    """

    target: ClusterTarget
    name: str | None = None
    all_namespaces: bool = False
    output: Format | None = None
    watch: bool = False


@dataclass(slots=True)
class Resources:
    """Bodies of connectors and organizations."""

    connectors: list[Body] = field(default_factory=list)
    organizations: list[Body] = field(default_factory=list)

    def views(self) -> list[ConnectorView]:
        """Return the connectors with their organizations."""
        return connector_views(self.connectors, self.organizations)

    def orphans(self) -> list[OrganizationView]:
        """Return organizations whose connector does not exist."""
        return orphaned_organizations(self.connectors, self.organizations)

    def of(self, name: str | None) -> Resources:
        """Return the resources of one connector, or all if the name is None."""
        if name is None:
            return self
        return Resources(
            [body for body in self.connectors if body["metadata"]["name"] == name],
            [body for body in self.organizations if body["spec"]["connectorRef"]["name"] == name],
        )


async def run_status(options: StatusOptions) -> ExitCode:
    """Show connectors. The exit code is OK if all of them are ready.

    Raises:
        OperatorError: they cannot be read.
        CommandFailed: there is no connector of that name.
    """
    async with open_cluster(options.target) as cluster:
        namespace, name = None if options.all_namespaces else cluster.namespace, None
        if options.name is not None:
            metadata = (await cluster.find(options.name))["metadata"]
            namespace, name = metadata["namespace"], metadata["name"]
        if options.watch:
            await _watch(cluster, namespace, name)
        resources = Resources(await cluster.connectors(namespace), await cluster.organizations(namespace)).of(name)
    if not resources.connectors and options.output in {None, Format.TABLE}:
        # The wrong namespace is the most frequent cause.
        place = "this cluster" if namespace is None else f"namespace {namespace}"
        print_note(f"There are no connectors in {place}.{'' if namespace is None else ' Use -A for all namespaces.'}")
    show_status(resources, name, options.output)
    return ExitCode.OK if all(view.is_ready for view in resources.views()) else ExitCode.NOT_OK


def show_status(resources: Resources, name: str | None, output: Format | None) -> None:
    """Print resources once.

    Args:
        resources: what to print.
        name: name of the only connector, whose organizations are all shown; None for several.
        output: format; None is the tree on a terminal and lines elsewhere.
    """
    screen = console()
    if output in {Format.JSON, Format.YAML}:
        print_document(status_document(resources.connectors, resources.organizations), output)
    elif output is Format.TABLE:
        for line in table_text(status_table(resources.views()), screen.width if screen.is_terminal else None):
            print_text(line)
    elif screen.is_terminal:
        screen.print(_tree(resources, screen, folded_from=FOLDED_FROM if name is None else sys.maxsize))
    else:
        for line in status_lines(resources.views(), resources.orphans()):
            print_text(line)


def _tree(resources: Resources, screen: Console, *, folded_from: int) -> RenderableType:
    marks = ASCII_MARKS if screen.options.ascii_only else MARKS
    return TreeRenderer(datetime.now(UTC), marks, folded_from).render(resources.views(), resources.orphans())


def fit_screen(resources: Resources, screen: Console, name: str | None) -> RenderableType:
    """Return a tree that is not higher than the screen, because only the screen can be updated in place.

    If it is higher, organizations without problems are only counted; if that is not enough, the end is cut off, and the
    last line summarizes all connectors.
    """
    height = screen.height - 1  # the last line is that of the cursor
    lines: list[list[Segment]] = []
    for folded_from in (FOLDED_FROM if name is None else sys.maxsize, 0):
        lines = screen.render_lines(_tree(resources, screen, folded_from=folded_from), pad=False)
        if len(lines) <= height:
            break
    if len(lines) > height:
        views = resources.views()
        ready = sum(view.is_ready for view in views)
        problems = sum(not item.needs_no_attention for view in views for item in view.organizations)
        summary = (
            f"{len(lines) - height + 1} more lines. {ready} of {len(views)} connectors ready, {problems} organizations "
            "with problems."
        )
        lines = [*lines[: height - 1], *screen.render_lines(Text(summary, "bold", overflow="ellipsis", no_wrap=True))]
    return Segments([segment for line in lines for segment in (*line, Segment.line())])


async def _watch(cluster: Cluster, namespace: str | None, name: str | None) -> None:
    """Show each change until interrupted: on a terminal the whole tree, elsewhere lines that have changed."""
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False, vertical_overflow="visible") as live:
            await _watch_resources(
                cluster,
                namespace,
                lambda resources: live.update(fit_screen(resources.of(name), screen, name), refresh=True),
            )
    previous_lines: set[str] = set()

    def print_changed_lines(resources: Resources) -> None:
        selected = resources.of(name)
        lines = list(status_lines(selected.views(), selected.orphans()))
        for line in lines:
            if line not in previous_lines:
                print_text(line)
        sys.stdout.flush()
        previous_lines.clear()
        previous_lines.update(lines)

    await _watch_resources(cluster, namespace, print_changed_lines)


async def _watch_resources(cluster: Cluster, namespace: str | None, show: Callable[[Resources], None]) -> None:
    """Call `show` after each change, and in each interval, until cancelled."""
    connectors, organizations = connectors_path(namespace), organizations_path(namespace)
    latest: dict[str, list[Body]] = {}
    changed = asyncio.Event()

    async def watch(url: str) -> None:
        async for bodies in watch_objects(cluster.client, url):
            latest[url] = bodies
            changed.set()

    # The group ends both watches, and raises, as soon as one of them lacks a permission.
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(connectors))
        tasks.create_task(watch(organizations))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_INTERVAL):
                    await changed.wait()
            changed.clear()
            if connectors in latest and organizations in latest:
                show(Resources(latest[connectors], latest[organizations]))
