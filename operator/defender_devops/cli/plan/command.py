"""`plan`: read manifests, look around in the cluster and in Azure, plan, show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from defender_devops.cli.cluster_access import Cluster, open_cluster
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import CommandFailed, ExitCode, failure_of
from defender_devops.cli.local_clients import Laptop, open_laptop
from defender_devops.cli.manifest_files import read_manifests
from defender_devops.cli.output import Format, Line, emit, note, print_lines
from defender_devops.cli.plan.changes import Change
from defender_devops.cli.plan.cluster_context import Surroundings, look_around
from defender_devops.cli.plan.inputs import Subject, going, subject_in_cluster, subjects
from defender_devops.cli.plan.observation import observe
from defender_devops.cli.plan.plan_result import Planned, planned
from defender_devops.errors import KubernetesError, KubernetesNotFound, KubernetesRefused, OperatorError

__all__ = ["Wanted", "gather_subjects", "show_plans"]

_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}
_INVALID: Final = 422


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        target: cluster and namespace.
        files: manifests; empty where a name is given.
        name: of a connector in the cluster.
        offline: leave the cluster alone.
        deletion: plan what deleting would do.
        form: of the output.
        tells_changes: exit 6 where something would change.
    """

    target: Target
    files: tuple[Path, ...] = ()
    name: str | None = None
    offline: bool = False
    deletion: bool = False
    form: Format = Format.TABLE
    tells_changes: bool = False


async def show_plans(wanted: Wanted) -> ExitCode:
    """Plan and show; see docs/cli.md for what is given.

    Raises:
        OperatorError: the cluster does not let us look at a connector by name.
        CommandFailed: a manifest cannot be used, or there is no connector of that name.
    """
    async with AsyncExitStack() as stack:
        found, around = await gather_subjects(stack, wanted)
        laptop = await stack.enter_async_context(open_laptop())
        now = datetime.now(UTC)
        if wanted.deletion:
            found = [going(subject, now) for subject in found]
        plans = await asyncio.gather(*(_plan(subject, around, laptop, now) for subject in found))
    made = [each for each in plans if isinstance(each, Planned)]
    _print(made, wanted.form)
    failures = [each for each in plans if isinstance(each, CommandFailed)]
    for failure in failures:
        note(f"error: {failure.message}")
    return failures[0].exit_code if failures else _exit_code(made, wanted)


async def gather_subjects(stack: AsyncExitStack, wanted: Wanted) -> tuple[list[Subject], Surroundings]:
    """What is planned or checked, and what the cluster knows; without a cluster as far as that goes.

    Raises:
        OperatorError: the cluster cannot be asked for a connector by name.
        CommandFailed: a manifest cannot be used, or there is no connector of that name.
    """
    cluster, trouble = await _cluster(stack, wanted)
    if wanted.name is not None:
        if cluster is None:
            raise CommandFailed("A connector by name needs the cluster: leave --offline out, or give a file with -f.")
        live = await cluster.find(wanted.name)
        around = await look_around(cluster, [live["metadata"]["namespace"]])
        return [subject_in_cluster(live, around)], around
    namespace = cluster.namespace if cluster is not None else wanted.target.namespace or "default"
    manifests = read_manifests(wanted.files, namespace)
    if trouble is not None:  # not before it is known that the manifests are good
        _say_without_cluster(trouble)
    places = [each.key[0] for each in (*manifests.connectors, *manifests.organizations)]
    around = await _around(cluster, places)
    return subjects(manifests, around), around


async def _cluster(stack: AsyncExitStack, wanted: Wanted) -> tuple[Cluster | None, KubernetesError | None]:
    """The cluster, or why there is none."""
    if wanted.offline:
        return None, None
    try:
        return await stack.enter_async_context(open_cluster(wanted.target)), None
    except KubernetesError as error:
        if wanted.name is not None:
            raise
        return None, error


async def _around(cluster: Cluster | None, namespaces: list[str]) -> Surroundings:
    if cluster is None:
        return Surroundings()
    try:
        return await look_around(cluster, namespaces)
    except KubernetesError as error:
        _say_without_cluster(error)
        return Surroundings()


def _say_without_cluster(error: KubernetesError) -> None:
    note(f"Without the cluster, as for new resources: {failure_of(error).message}")


async def _plan(subject: Subject, around: Surroundings, laptop: Laptop, now: datetime) -> Planned | CommandFailed:
    """The plan for one connector, or why there is none: the others are planned all the same."""
    try:
        refused, remark = await _try_write(subject, around)
        if refused is not None:
            return Planned(subject.key, refused=refused)
        arm = laptop.arm(subject.connector.spec.azure.tenant_id)
        made = planned(subject, await observe(subject, around, arm, now), now)
    except OperatorError as error:
        failure = failure_of(error)
        return CommandFailed(f"{subject.key}: {failure.message}", failure.exit_code)
    return replace(made, notes=(*made.notes, remark)) if remark else made


async def _try_write(subject: Subject, around: Surroundings) -> tuple[str | None, str | None]:
    """What the API server would say of the manifest: why it refuses it; why it could not be asked."""
    if subject.manifest is None or around.cluster is None or subject.connector.metadata.is_deleting:
        return None, None
    live = dict(subject.live) if subject.live is not None else None
    try:
        await around.cluster.user_actions.dry_run(subject.manifest, live)
    except KubernetesNotFound:
        return None, f"There is no namespace {subject.connector.metadata.namespace} yet."
    except KubernetesRefused as error:
        if error.status == _INVALID:
            return error.message, None
        return None, f"The API server was not asked whether it takes the manifest: {error.message}"
    return None, None


def _exit_code(plans: list[Planned], wanted: Wanted) -> ExitCode:
    if any(each.refused is not None for each in plans):
        return ExitCode.NOT_OK
    return ExitCode.CHANGES if wanted.tells_changes and any(each.steps for each in plans) else ExitCode.OK


def _print(plans: list[Planned], form: Format) -> None:
    if form is not Format.TABLE:
        emit({"plans": [each.document() for each in plans]}, form)
        return
    print_lines(line for each in plans for line in _lines(each))


def _lines(made: Planned) -> Iterator[Line]:
    yield Line(f"{made.key}: {made.summary()}", style="bold")
    if made.refused is not None:
        yield Line(made.refused, 2, "red")
    for step in made.steps:
        yield Line(f"{step.sign} {step.sentence}", 2, _STYLES[step.sign])
        yield from (Line(_change(change), 6) for change in step.changes)
    yield from (Line(f"in the cluster: {sentence}", 2, "dim") for sentence in made.resources)
    yield from (Line(remark, 2, "cyan") for remark in made.notes)


def _change(change: Change) -> str:
    kind, _, name = change.field.partition(".")
    if kind == "organizations" and name:
        return f"organizations: {'+' if change.after else '-'} {name}"
    if change.before is None:
        return f"{change.field}: {change.after}"
    return f"{change.field}: {change.before} → {change.after or '(none)'}"
