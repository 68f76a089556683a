"""`python -m acceptance`: from the command line to the saved result."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from rich.console import Console

from acceptance.checks import Probe, Verdict
from acceptance.printing import print_plan, print_report
from acceptance.probes import (
    authorization,
    azure_devops,
    connector,
    discovery,
    organizations,
    pipelines,
    posture,
    resource_graph,
    resource_manager,
)
from acceptance.probes.changes import changes_probe
from acceptance.recording.redaction import Redactor
from acceptance.recording.writing import add_names_of_file, write_recording
from acceptance.report import Report, variant_flags
from acceptance.running import Interrupted, Row, run_probes
from acceptance.session.session import ARM, Session
from acceptance.session.tokens import IdentityTokens, Tokens
from acceptance.tenant import Tenant
from acceptance.tenant_file import TenantFile, TenantFileError, read_tenant_file
from defender_devops.azuredevops.client import Endpoints
from defender_devops.clock import Clock
from defender_devops.entra.authority import DEFAULT_AUTHORITY_HOST, authority_host
from defender_devops.errors import OperatorError
from defender_devops.http_client import open_http_client
from defender_devops.settings import Settings

__all__ = ["PUBLIC_ADDRESSES", "all_probes", "create_report", "main"]

_READING: Final = (
    resource_manager.PROBE,
    connector.PROBE,
    organizations.PROBE,
    discovery.PROBE,
    resource_graph.PROBE,
    posture.PROBE,
    authorization.PROBE,
    azure_devops.PROBE,
    pipelines.PROBE,
)
_EXIT_DIFFERS: Final = 1
_EXIT_USAGE: Final = 2
_EXIT_DECLINED: Final = 3
_EXIT_NOT_RESTORED: Final = 4
_EXIT_INTERRUPTED: Final = 130
_WIDTH: Final = 120
"""Columns of what is printed to a file or a pipeline's log."""

_HOST_NAMES: Final = {
    "devAzure": "dev_azure",
    "profile": "profile",
    "identity": "identity",
    "entitlement": "entitlement",
    "extension": "extension",
    "search": "search",
    "advancedSecurity": "advanced_security",
}
PUBLIC_ADDRESSES: Final = {
    ARM: "https://management.azure.com",
    "authority": DEFAULT_AUTHORITY_HOST,
    **{service: getattr(Endpoints(), name) for service, name in _HOST_NAMES.items()},
}
"""Public address of each service."""


def all_probes(*, write: bool) -> tuple[Probe, ...]:
    """Return the probes of a run."""
    return (*_READING, *((changes_probe(),) if write else ()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m acceptance",
        description="Compares what the simulated cloud assumes about Azure with a real tenant, and records the "
        "conversation without names, ids and secrets. Reads only, unless --write is given.",
    )
    parser.add_argument("file", type=Path, help="YAML file that describes the tenant; docs/acceptance.md has one")
    parser.add_argument(
        "--output", type=Path, default=Path("acceptance-result"), metavar="FOLDER", help="new folder for the result"
    )
    parser.add_argument("--plan", action="store_true", help="print what would be done, and stop")
    parser.add_argument("--yes", action="store_true", help="do not ask for consent")
    parser.add_argument("--write", action="store_true", help="also change the expendable connector of the file")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PROBE", help="run this probe, once for each; all otherwise"
    )
    return parser


def _addresses() -> dict[str, str]:
    """Return the address of each service, from the operator's environment variables.

    Raises:
        TenantFileError: a variable has an invalid value.
    """
    try:
        settings = Settings()
        endpoints = Endpoints.from_settings(settings)
        addresses = {ARM: str(settings.arm_endpoint).rstrip("/"), "authority": authority_host()}
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        name = "_".join(map(str, detail["loc"])).upper()
        raise TenantFileError(f"The variable DEFENDER_DEVOPS_{name} is invalid: {detail['msg']}.") from None
    except ValueError as error:
        raise TenantFileError(f"The variable AZURE_AUTHORITY_HOST {error}.") from None
    return addresses | {service: getattr(endpoints, name) for service, name in _HOST_NAMES.items()}


@dataclass(frozen=True)
class _Run:
    """One run of the command.

    Attributes:
        console: where plan and table go.
        arguments: of the command line.
        file: the tenant file.
        probes: the probes to run.
    """

    console: Console
    arguments: argparse.Namespace
    file: TenantFile
    probes: tuple[Probe, ...]

    def has_consent(self) -> bool:
        """Ask for consent, unless it was given on the command line."""
        if self.arguments.yes:
            return True
        if not sys.stdin.isatty():
            self.console.print("Nobody can be asked here: give --yes to agree.", markup=False)
            return False
        return self.console.input("Go on? Type yes: ").strip().lower() == "yes"

    async def execute(self, tokens: Tokens, addresses: dict[str, str]) -> int:
        """Run the probes and save the result; return the exit status.

        Raises:
            OperatorError: nobody is signed in, or the application is refused: every row would say the same.
        """
        file = self.file
        expendable = None
        if self.arguments.write and file.expendable_connector:
            expendable = (file.subscription, file.resource_group, file.expendable_connector)
        async with open_http_client() as http:
            session = Session(http, addresses, tokens, Clock(), expendable)
            try:
                await tokens.token(ARM)
                outcome = await run_probes(Tenant(file, session), self.probes, self._announce)
            finally:
                await tokens.close()
        report = create_report(file, outcome.rows, session, addresses)
        self._save(report)
        print_report(self.console, report)
        for flag in variant_flags(outcome.rows):
            self.console.print(f"simulate it: {flag}", markup=False, highlight=False, soft_wrap=True)
        folder = self.arguments.output
        self.console.print(
            f"Saved: {folder}/result.md, {folder}/result.json, {folder}/recording ({len(session.exchanges)} requests).",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        if outcome.restore_failure:
            self.console.print(report.redactor.evidence(outcome.restore_failure), style="red", markup=False)
            return _EXIT_NOT_RESTORED
        return _EXIT_DIFFERS if any(row.verdict is Verdict.DIFFERS for row in outcome.rows) else 0

    def _announce(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _save(self, report: Report) -> None:
        folder: Path = self.arguments.output
        write_recording(folder / "recording", self.file, report.exchanges, report.redactor, PUBLIC_ADDRESSES)
        document = json.dumps(report.document(), indent=1, ensure_ascii=False)
        (folder / "result.json").write_text(document + "\n", encoding="utf-8")
        (folder / "result.md").write_text(report.markdown(), encoding="utf-8")


def create_report(file: TenantFile, rows: Sequence[Row], session: Session, addresses: dict[str, str]) -> Report:
    """Return the redacted result of a run."""
    redactor = Redactor({address: PUBLIC_ADDRESSES[service] for service, address in addresses.items()})
    add_names_of_file(redactor, file)
    redactor.collect(session.exchanges)
    return Report(rows, tuple(session.exchanges), redactor, datetime.fromtimestamp(session.clock.wall(), UTC))


def _select(names: list[str], probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
    unknown = set(names) - {probe.name for probe in probes}
    if unknown:
        names_of_all = ", ".join(probe.name for probe in probes)
        raise TenantFileError(f"--only {', '.join(sorted(unknown))}: there is no such probe; there are {names_of_all}.")
    return tuple(probe for probe in probes if not names or probe.name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    # azure-identity logs what each of its credentials lacks; the error says what to do.
    logging.getLogger("azure.identity").addHandler(logging.NullHandler())
    try:
        return _run(options, Console(width=None if sys.stdout.isatty() else _WIDTH))
    except (TenantFileError, OperatorError, OSError) as error:
        print(error, file=sys.stderr)
        return _EXIT_USAGE
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        return _EXIT_NOT_RESTORED if interruption.restore_failure else _EXIT_INTERRUPTED
    except KeyboardInterrupt:
        advice = " Check the tags and the selection of the expendable connector." if options.write else ""
        print(f"Interrupted: nothing is saved.{advice}", file=sys.stderr)
        return _EXIT_INTERRUPTED


def _run(options: argparse.Namespace, console: Console) -> int:
    file = read_tenant_file(options.file)
    if options.write and not file.expendable_connector:
        raise TenantFileError("--write needs expendableConnector in the tenant file: the connector it may change.")
    run = _Run(console, options, file, _select(options.only, all_probes(write=options.write)))
    print_plan(console, run.probes, target=_target(file, options.write))
    if options.plan:
        return 0
    if options.output.exists() and any(options.output.iterdir()):
        raise TenantFileError(f"--output {options.output} is not empty: name another folder, or remove it.")
    if not run.has_consent():
        console.print("Nothing was requested.", markup=False)
        return _EXIT_DECLINED
    return asyncio.run(run.execute(IdentityTokens(file), _addresses()))


def _target(file: TenantFile, write: bool) -> str:
    identity = "azure-identity's default" if file.identity is None else f"application {file.identity.client_id}"
    target = (
        f"Reads connector {file.connector} in resource group {file.resource_group} of subscription {file.subscription} "
        f"and organization {file.organization}, with the rights of {identity}."
    )
    return f"{target} Changes connector {file.expendable_connector}." if write else f"{target} Changes nothing."
