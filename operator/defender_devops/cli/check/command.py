"""`check`: gather what is wanted, check it in the cluster, in Azure and in Azure DevOps, show."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from defender_devops.api.connector import AuthorizationMethod
from defender_devops.azuredevops.client import Endpoints
from defender_devops.azuredevops.prerequisite_checker import PrerequisiteChecker
from defender_devops.cli.check.checks import Check, azure_checks, of_failure
from defender_devops.cli.check.organizations import check_organizations
from defender_devops.cli.check.references import reference_checks
from defender_devops.cli.exit_codes import ExitCode
from defender_devops.cli.local_clients import Laptop, OwnTokens, open_laptop, read_settings
from defender_devops.cli.output import Format, Line, console, emit, print_lines
from defender_devops.cli.plan.cluster_context import Surroundings
from defender_devops.cli.plan.command import Wanted, gather_subjects
from defender_devops.cli.plan.inputs import Subject
from defender_devops.cli.plan.observation import observe
from defender_devops.cli.status.words import ASCII_MARKS, MARKS, STYLES
from defender_devops.errors import CredentialsError, OperatorError
from defender_devops.http_client import open_http_client
from defender_devops.reconcile.facts.snapshot import AzureState, ConnectorSnapshot

__all__ = ["show_checks"]


@dataclass(frozen=True, slots=True)
class _Checked:
    """All checks of one connector."""

    key: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    is_signed_in: bool

    def document(self) -> dict[str, Any]:
        checks = [{name: value for name, value in asdict(each).items() if value} for each in self.checks]
        return {"connector": self.key, "checks": checks, "notes": list(self.notes)}


async def show_checks(wanted: Wanted) -> ExitCode:
    """Check and show.

    Raises:
        OperatorError: the cluster does not let us look at a connector by name.
        CommandFailed: a manifest cannot be used, or there is no connector of that name.
    """
    settings = read_settings()
    async with AsyncExitStack() as stack:
        subjects, around = await gather_subjects(stack, wanted)
        laptop = await stack.enter_async_context(open_laptop())
        http = open_http_client()
        stack.push_async_callback(http.aclose)
        checker = PrerequisiteChecker(OwnTokens(), http, Endpoints.from_settings(settings), settings.check_interval)
        made = await asyncio.gather(*(_check(each, around, laptop, checker) for each in subjects))
    _print(made, wanted.form)
    if not all(each.is_signed_in for each in made):
        return ExitCode.AZURE
    failed = any(check.status == "False" for each in made for check in each.checks)
    return ExitCode.NOT_OK if failed else ExitCode.OK


async def _check(subject: Subject, around: Surroundings, laptop: Laptop, checker: PrerequisiteChecker) -> _Checked:
    arm = laptop.arm(subject.connector.spec.azure.tenant_id)
    snapshot: ConnectorSnapshot | None = None
    notes: tuple[str, ...] = ()
    signed_in = True
    try:
        seen = await observe(subject, around, arm, datetime.now(UTC))
        snapshot, notes = seen.snapshot, seen.notes
        in_azure = list(azure_checks(snapshot))
    except OperatorError as error:
        signed_in = not isinstance(error, CredentialsError)
        in_azure = [of_failure(error)]
    in_cluster = await _in_cluster(subject, around, snapshot)
    organizations = await check_organizations(subject.connector, snapshot, checker)
    remarks = (*notes, *((organizations.note,) if organizations.note else ()))
    return _Checked(subject.key, (*in_cluster, *in_azure, *organizations.checks), remarks, signed_in)


async def _in_cluster(subject: Subject, around: Surroundings, snapshot: ConnectorSnapshot | None) -> list[Check]:
    if around.cluster is None:
        return []
    by_code = subject.connector.spec.authorization.method is AuthorizationMethod.CODE
    waits = by_code and (snapshot is None or _lacks_configuration(snapshot))
    found = reference_checks(subject.connector, around.cluster.client, waits_for_code=waits)
    return [each async for each in found]


def _lacks_configuration(snapshot: ConnectorSnapshot) -> bool:
    return isinstance(snapshot.cloud, AzureState) and snapshot.cloud.configuration is None


def _print(made: list[_Checked], form: Format) -> None:
    if form is not Format.TABLE:
        emit({"connectors": [each.document() for each in made]}, form)
        return
    print_lines(line for each in made for line in _lines(each))


def _lines(made: _Checked) -> Iterator[Line]:
    failed = sum(each.status == "False" for each in made.checks)
    unknown = sum(each.status == "Unknown" for each in made.checks)
    passed = len(made.checks) - failed - unknown
    counts = [f"{passed} passed", *([f"{failed} failed"] if failed else []), *([f"{unknown} open"] if unknown else [])]
    yield Line(f"{made.key}: {', '.join(counts)}", style="bold")
    for subject, checks in groupby(made.checks, key=lambda each: each.subject):
        yield from _subject_lines(subject, list(checks))
    yield from (Line(remark, 2, "cyan") for remark in made.notes)


def _subject_lines(subject: str, checks: list[Check]) -> Iterator[Line]:
    """What did not pass one by one; all that passed in one line."""
    marks = ASCII_MARKS if console().options.ascii_only else MARKS
    passed = [each.name for each in checks if each.status == "True"]
    if passed:
        yield Line(f"{marks['True']} {subject}: {', '.join(passed)}", 2, STYLES["True"])
    open_ones = [each for each in checks if each.status != "True"]
    for (status, reason, message), same in groupby(
        open_ones, key=lambda each: (each.status, each.reason, each.message)
    ):
        names = ", ".join(each.name for each in same)
        words = f" ({reason}): {message}" if reason else f": {message}"
        yield Line(f"{marks[status]} {subject}: {names}{words}", 2, STYLES[status])
