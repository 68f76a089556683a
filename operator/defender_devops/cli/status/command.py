"""`status`: read, show, and with --watch go on showing."""

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
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.output import Format, console, emit, note
from defender_devops.cli.status.document import document
from defender_devops.cli.status.lines import lines, table
from defender_devops.cli.status.tree import Trees
from defender_devops.cli.status.view import ConnectorView, OrganizationView, views, without_connector
from defender_devops.cli.status.words import ASCII_MARKS, MARKS
from defender_devops.cluster.client import Body
from defender_devops.cluster.watch import watch_objects

__all__ = ["Wanted", "show"]

_TICK: Final = 5.0
"""Seconds after which a picture is drawn anew though nothing changed: it shows spans of time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        target: cluster and namespace.
        name: of one connector, or None for all.
        everywhere: of all namespaces.
        form: None for the tree on a terminal and for lines elsewhere.
        watch: go on until interrupted.
    """

    target: Target
    name: str | None = None
    everywhere: bool = False
    form: Format | None = None
    watch: bool = False


@dataclass(slots=True)
class _Scene:
    """What was read last."""

    connectors: list[Body] = field(default_factory=list)
    organizations: list[Body] = field(default_factory=list)

    def views(self) -> list[ConnectorView]:
        return views(self.connectors, self.organizations)

    def orphans(self) -> list[OrganizationView]:
        return without_connector(self.connectors, self.organizations)


async def show(wanted: Wanted) -> ExitCode:
    """Show connectors; OK where all that are shown are ready.

    Raises:
        OperatorError: they cannot be read.
        CommandFailed: there is no connector of that name.
    """
    async with open_cluster(wanted.target) as cluster:
        namespace, name = await _place(cluster, wanted)
        if wanted.watch:
            await _watch(cluster, namespace, name, wanted)
        scene = _only(_Scene(await cluster.connectors(namespace), await cluster.organizations(namespace)), name)
        if not scene.connectors and wanted.form in {None, Format.TABLE}:
            _say_none(namespace)
        _print(scene, wanted)
    return ExitCode.OK if all(view.is_ready for view in scene.views()) else ExitCode.NOT_OK


async def _place(cluster: Cluster, wanted: Wanted) -> tuple[str | None, str | None]:
    """Namespace (None for all) and name (None for all) to look at."""
    if wanted.name is None:
        return (None if wanted.everywhere else cluster.namespace), None
    metadata = (await cluster.find(wanted.name))["metadata"]
    return metadata["namespace"], metadata["name"]


def _only(scene: _Scene, name: str | None) -> _Scene:
    """The scene of one connector."""
    if name is None:
        return scene
    return _Scene(
        [body for body in scene.connectors if body["metadata"]["name"] == name],
        [body for body in scene.organizations if body["spec"]["connectorRef"]["name"] == name],
    )


def _say_none(namespace: str | None) -> None:
    """Nothing to show is often the wrong namespace."""
    where = "this cluster" if namespace is None else f"namespace {namespace}"
    note(f"There are no connectors in {where}.{'' if namespace is None else ' With -A all namespaces are shown.'}")


def _print(scene: _Scene, wanted: Wanted) -> None:
    screen = console()
    if wanted.form in {Format.JSON, Format.YAML}:
        emit(document(scene.connectors, scene.organizations), wanted.form)
    elif wanted.form is Format.TABLE:
        screen.print(_table(scene.views()))
    elif screen.is_terminal:
        screen.print(_picture(scene, screen, wanted))
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(scene.views(), scene.orphans()))


def _picture(scene: _Scene, screen: Console, wanted: Wanted) -> RenderableType:
    marks = ASCII_MARKS if screen.options.ascii_only else MARKS
    trees = Trees(datetime.now(UTC), marks, unfolded=wanted.name is not None)
    return trees.draw(scene.views(), scene.orphans())


def _table(connectors: list[ConnectorView]) -> Table:
    head, *rows = table(connectors)
    shown = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*row)
    return shown


async def _watch(cluster: Cluster, namespace: str | None, name: str | None, wanted: Wanted) -> None:
    """Show each change until interrupted."""
    screen = console()
    if screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            await _follow(
                cluster,
                namespace,
                lambda scene: live.update(_picture(_only(scene, name), screen, wanted), refresh=True),
            )
    shown: set[str] = set()

    def print_new(scene: _Scene) -> None:
        scene = _only(scene, name)
        now = list(lines(scene.views(), scene.orphans()))
        sys.stdout.writelines(f"{line}\n" for line in now if line not in shown)
        sys.stdout.flush()
        shown.clear()
        shown.update(now)

    await _follow(cluster, namespace, print_new)


async def _follow(cluster: Cluster, namespace: str | None, draw: Callable[[_Scene], None]) -> None:
    """Draw the scene after each change, and at each tick, for ever."""
    found: dict[str, list[Body]] = {}
    changed = asyncio.Event()

    async def keep(url: str) -> None:
        async for bodies in watch_objects(cluster.client, url):
            found[url] = bodies
            changed.set()

    connectors, organizations = connectors_url(namespace), organizations_url(namespace)
    async with asyncio.TaskGroup() as tasks:
        for url in (connectors, organizations):
            tasks.create_task(keep(url))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await changed.wait()
            changed.clear()
            if len(found) == 2:  # noqa: PLR2004 - both lists are in
                draw(_Scene(found[connectors], found[organizations]))
