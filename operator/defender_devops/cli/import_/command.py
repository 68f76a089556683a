"""`import`: find, write, and say what to look at."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from defender_devops.api.parsing import InvalidManifest
from defender_devops.azure.resources.subscriptions import tenant_of_subscription
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.import_.discovery import Found, find_connectors
from defender_devops.cli.import_.manifests import Imported, Options, imported, managed_by
from defender_devops.cli.local_clients import Laptop, open_laptop
from defender_devops.cli.output import Format, emit, note, to_yaml

__all__ = ["Wanted", "import_connectors"]

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Attributes:
        subscription_id: where to look.
        resource_group: or None for all.
        tenant_id: whose token to ask with; None takes the one that is signed in to.
        options: of the manifests; their tenant is the subscription's.
        managed: take connectors too that a resource has its mark on.
        folder: to write a file for each connector; None prints.
        force: write over files that are there.
        form: of what is printed.
    """

    subscription_id: str
    resource_group: str | None
    tenant_id: str | None
    options: Options
    managed: bool = False
    folder: Path | None = None
    force: bool = False
    form: Format = Format.YAML


async def import_connectors(wanted: Wanted) -> ExitCode:
    """Write manifests for the connectors of a subscription.

    Raises:
        OperatorError: Azure does not let us, or does not answer.
        CommandFailed: the subscription is no id, or a file is there or cannot be written.
    """
    if not _GUID.fullmatch(wanted.subscription_id):
        raise CommandFailed("--subscription takes the subscription's id (a GUID); `az account list` shows it.")
    async with open_laptop() as laptop:
        options, found = await _look(laptop, wanted)
    written = list(_written(found, replace(wanted, options=options)))
    if not found:
        note("There are no connectors for Azure DevOps.")
    if wanted.folder is not None:
        _write_files(wanted.folder, written, force=wanted.force)
    elif written:
        _print(written, wanted.form)
    return ExitCode.OK


async def _look(laptop: Laptop, wanted: Wanted) -> tuple[Options, list[Found]]:
    arm = laptop.arm(wanted.tenant_id)
    tenant = wanted.tenant_id or await tenant_of_subscription(arm, wanted.subscription_id)
    return replace(wanted.options, tenant_id=tenant), await find_connectors(
        arm, wanted.subscription_id, wanted.resource_group
    )


def _written(found: Iterable[Found], wanted: Wanted) -> Iterable[Imported]:
    """The manifests, and on standard error why there are none for some."""
    taken: set[str] = set()
    for each in found:
        owner = managed_by(each)
        if owner is not None and not wanted.managed:
            note(f"{each.ref.name} is left out: {owner} manages it already (--managed takes it all the same).")
            continue
        try:
            made = imported(each, wanted.options, taken)
        except InvalidManifest as error:
            note(f"{each.ref.name} is left out: {error.message}")
            continue
        taken.add(made.name)
        yield made


def _print(written: list[Imported], form: Format) -> None:
    if form is Format.JSON:
        items = [manifest for each in written for manifest in each.manifests]
        emit({"apiVersion": "v1", "kind": "List", "items": items}, form)
        for each in written:
            for remark in each.notes:
                note(f"{each.name}: {remark}")
        return
    sys.stdout.write("---\n".join(_text(each) for each in written))


def _text(made: Imported) -> str:
    """The file for a connector, with what to look at above it."""
    comments = "".join(f"# {remark}\n" for remark in made.notes)
    return comments + "---\n".join(to_yaml(manifest) for manifest in made.manifests)


def _write_files(folder: Path, written: list[Imported], *, force: bool) -> None:
    files = {folder / f"{each.name}.yaml": each for each in written}
    present = [str(file) for file in files if file.exists()]
    if present and not force:
        raise CommandFailed(f"{', '.join(present)} exists already: name another folder, or write over it with --force.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, made in files.items():
            file.write_text(_text(made), encoding="utf-8")
            note(f"{file} written.")
    except OSError as error:
        raise CommandFailed(f"{error.filename} cannot be written: {error.strerror}.") from None
