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
from rich.table import Table

from defender_devops.cli.cluster_access import Cluster, connectors_url, open_cluster, organizations_url
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.display.formatting import ASCII_MARKS, MARKS
from defender_devops.cli.display.lines import status_lines, status_table
from defender_devops.cli.display.view import ConnectorView, OrganizationView, connector_views, orphaned_organizations
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.output import Format, console, emit, print_note
from defender_devops.cli.status.document import document
from defender_devops.cli.status.tree import TreeRenderer
from defender_devops.cluster.client import Body
from defender_devops.cluster.watch import watch_objects

__all__ = ["StatusOptions", "run_status"]

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
class _Resources:
    """Bodies of connectors and organizations."""

    connectors: list[Body] = field(default_factory=list)
    organizations: list[Body] = field(default_factory=list)

    def views(self) -> list[ConnectorView]:
        return connector_views(self.connectors, self.organizations)

    def orphans(self) -> list[OrganizationView]:
        return orphaned_organizations(self.connectors, self.organizations)

    def of(self, name: str | None) -> _Resources:
        """Return the resources of one connector, or all if the name is None."""
        if name is None:
            return self
        return _Resources(
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
        resources = _Resources(await cluster.connectors(namespace), await cluster.organizations(namespace)).of(name)
    if not resources.connectors and options.output in {None, Format.TABLE}:
        # The wrong namespace is the most frequent cause.
        place = "this cluster" if namespace is None else f"namespace {namespace}"
        print_note(f"There are no connectors in {place}.{'' if namespace is None else ' Use -A for all namespaces.'}")
    screen = console()
    if options.output in {Format.JSON, Format.YAML}:
        emit(document(resources.connectors, resources.organizations), options.output)
    elif options.output is Format.TABLE:
        header, *rows = status_table(resources.views())
        table = Table(*header, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*row)
        screen.print(table)
    elif screen.is_terminal:
        screen.print(_tree(resources, screen, name))
    else:
        sys.stdout.writelines(f"{line}\n" for line in status_lines(resources.views(), resources.orphans()))
    return ExitCode.OK if all(view.is_ready for view in resources.views()) else ExitCode.NOT_OK


def _tree(resources: _Resources, screen: Console, name: str | None) -> RenderableType:
    marks = ASCII_MARKS if screen.options.ascii_only else MARKS
    renderer = TreeRenderer(datetime.now(UTC), marks, is_expanded=name is not None)
    return renderer.render(resources.views(), resources.orphans())


async def _watch(cluster: Cluster, namespace: str | None, name: str | None) -> None:
    """Show each change until interrupted: on a terminal the whole tree, elsewhere lines that have changed."""
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            await _watch_resources(
                cluster,
                namespace,
                lambda resources: live.update(_tree(resources.of(name), screen, name), refresh=True),
            )
    previous_lines: set[str] = set()

    def print_changed_lines(resources: _Resources) -> None:
        selected = resources.of(name)
        lines = list(status_lines(selected.views(), selected.orphans()))
        sys.stdout.writelines(f"{line}\n" for line in lines if line not in previous_lines)
        sys.stdout.flush()
        previous_lines.clear()
        previous_lines.update(lines)

    await _watch_resources(cluster, namespace, print_changed_lines)


async def _watch_resources(cluster: Cluster, namespace: str | None, show: Callable[[_Resources], None]) -> None:
    """Call `show` after each change, and in each interval, until cancelled."""
    connectors, organizations = connectors_url(namespace), organizations_url(namespace)
    latest: dict[str, list[Body]] = {}
    changed = asyncio.Event()

    async def watch(url: str) -> None:
        async for bodies in watch_objects(cluster.client, url):
            latest[url] = bodies
            changed.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(connectors))
        tasks.create_task(watch(organizations))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_INTERVAL):
                    await changed.wait()
            changed.clear()
            if connectors in latest and organizations in latest:
                show(_Resources(latest[connectors], latest[organizations]))
