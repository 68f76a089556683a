"""`plan`: read manifests, the cluster and Azure, and print the plan of each connector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from defender_devops.cli.exit_codes import CommandFailed, ExitCode, command_failure
from defender_devops.cli.inputs.cluster_context import ClusterContext
from defender_devops.cli.inputs.connector_inputs import ConnectorInput, input_as_deleted
from defender_devops.cli.inputs.gather import InputOptions, gather_inputs
from defender_devops.cli.inputs.observation import observe_input
from defender_devops.cli.local_clients import LocalClients, open_local_clients
from defender_devops.cli.output import Format, Line, print_document, print_lines, print_note
from defender_devops.cli.plan.changes import Change
from defender_devops.cli.plan.plan_result import PlanResult, build_plan_result
from defender_devops.errors import KubernetesNotFound, KubernetesRefused, OperatorError

__all__ = ["PlanOptions", "run_plan"]

_STYLES: Final = {"+": "green", "-": "red", "~": "yellow"}
_UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Options of the command.

    Attributes:
        inputs: which connectors.
        delete: whether the deletion is planned.
        output: format.
        exit_code: whether the exit code is 6 if something would change.
    """

    inputs: InputOptions
    delete: bool = False
    output: Format = Format.TABLE
    exit_code: bool = False


async def run_plan(options: PlanOptions) -> ExitCode:
    """Plan and print. A connector that cannot be planned is reported, and the others are planned.

    Raises:
        OperatorError: the cluster does not return a connector by name.
        CommandFailed: a manifest is invalid, or there is no connector of that name.
    """
    async with AsyncExitStack() as stack:
        inputs, context = await gather_inputs(stack, options.inputs)
        clients = await stack.enter_async_context(open_local_clients())
        now = datetime.now(UTC)
        if options.delete:
            inputs = [input_as_deleted(item, now) for item in inputs]
        results = await asyncio.gather(*(_plan(item, context, clients, now) for item in inputs))
    plans = [result for result in results if isinstance(result, PlanResult)]
    if options.output is Format.TABLE:
        print_lines(line for result in plans for line in _lines(result))
    else:
        print_document({"plans": [result.document() for result in plans]}, options.output)
    failures = [result for result in results if isinstance(result, CommandFailed)]
    for failure in failures:
        print_note(f"error: {failure.message}")
    if failures:
        return failures[0].exit_code
    if any(result.refused is not None for result in plans):
        return ExitCode.NOT_OK
    return ExitCode.CHANGES if options.exit_code and any(result.steps for result in plans) else ExitCode.OK


async def _plan(
    item: ConnectorInput, context: ClusterContext, clients: LocalClients, now: datetime
) -> PlanResult | CommandFailed:
    """Return the plan for one connector, or why there is none."""
    try:
        refused, note = await _dry_run(item, context)
        if refused is not None:
            return PlanResult(item.key, refused=refused)
        arm = clients.arm(item.connector.spec.azure.tenant_id)
        result = build_plan_result(item, await observe_input(item, context, arm, now), now)
    except OperatorError as error:
        failure = command_failure(error)
        return CommandFailed(f"{item.key}: {failure.message}", failure.exit_code)
    return replace(result, notes=(*result.notes, note)) if note else result


async def _dry_run(item: ConnectorInput, context: ClusterContext) -> tuple[str | None, str | None]:
    """Have the API server validate the manifest; return why it rejects it, and why it could not validate it."""
    if item.manifest is None or context.cluster is None or item.connector.metadata.is_deleting:
        return None, None
    live = dict(item.live) if item.live is not None else None
    try:
        await context.cluster.user_actions.dry_run(item.manifest, live)
    except KubernetesNotFound:
        return None, f"Namespace {item.connector.metadata.namespace} does not exist yet."
    except KubernetesRefused as error:
        if error.status == _UNPROCESSABLE:
            return error.message, None
        return None, f"The API server could not validate the manifest: {error.message}"
    return None, None


def _lines(result: PlanResult) -> Iterator[Line]:
    yield Line(f"{result.key}: {result.summary()}", style="bold")
    if result.refused is not None:
        yield Line(result.refused, 2, "red")
    for step in result.steps:
        yield Line(f"{step.sign} {step.sentence}", 2, _STYLES[step.sign])
        yield from (Line(_change_text(change), 6) for change in step.changes)
    yield from (Line(f"in the cluster: {sentence}", 2, "dim") for sentence in result.resources)
    yield from (Line(note, 2, "cyan") for note in result.notes)


def _change_text(change: Change) -> str:
    kind, _, name = change.field.partition(".")
    if kind == "organizations" and name:
        return f"organizations: {'+' if change.after else '-'} {name}"
    if change.before is None:
        return f"{change.field}: {change.after}"
    return f"{change.field}: {change.before} → {change.after or '(none)'}"
