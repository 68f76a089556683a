"""`import`: find connectors in a subscription and print or write their manifests."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from defender_devops.api.schema.parsing import InvalidManifest
from defender_devops.azure.resources.subscriptions import tenant_of_subscription
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.import_.discovery import ExistingConnector, find_connectors
from defender_devops.cli.import_.manifests import (
    GeneratedManifests,
    ManifestOptions,
    generate_manifests,
    managing_resource_of_import,
)
from defender_devops.cli.local_clients import open_local_clients
from defender_devops.cli.output import Format, print_document, print_note
from defender_devops.cluster.kubernetes_yaml import dump_yaml
from defender_devops.text import printable

__all__ = ["ImportOptions", "run_import"]

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of the command.

    Attributes:
        subscription_id: subscription to search.
        resource_group: resource group to search, or None for all.
        tenant_id: tenant to sign in to; None is the default one.
        namespace: namespace in the manifests, or None to leave it open.
        account: account that authorized Defender, or None.
        observe: whether the manifests get managementPolicy Observe.
        include_managed: whether connectors with an owner tag are included.
        folder: where to write one file for each connector; None prints.
        force: whether existing files are overwritten.
        output: format of what is printed.
    """

    subscription_id: str
    resource_group: str | None = None
    tenant_id: str | None = None
    namespace: str | None = None
    account: str | None = None
    observe: bool = False
    include_managed: bool = False
    folder: Path | None = None
    force: bool = False
    output: Format = Format.YAML


async def run_import(options: ImportOptions) -> ExitCode:
    """Print or write manifests for the connectors of a subscription.

    Raises:
        OperatorError: Azure refuses or does not respond.
        CommandFailed: the subscription is not an id, or a file exists or cannot be written.
    """
    if not _GUID.fullmatch(options.subscription_id):
        raise CommandFailed("--subscription needs the id of a subscription (a GUID); `az account list` shows it.")
    async with open_local_clients() as clients:
        arm = clients.arm(options.tenant_id)
        tenant_id = options.tenant_id or await tenant_of_subscription(arm, options.subscription_id)
        connectors = await find_connectors(arm, options.subscription_id, options.resource_group)
    manifest_options = ManifestOptions(tenant_id, options.namespace, options.account, options.observe)
    generated = list(_generate(connectors, manifest_options, include_managed=options.include_managed))
    if not connectors:
        print_note("The subscription contains no connectors for Azure DevOps.")
    if options.folder is not None:
        _write_files(options.folder, generated, force=options.force)
    elif generated and options.output is Format.JSON:
        items = [manifest for result in generated for manifest in result.manifests]
        print_document({"apiVersion": "v1", "kind": "List", "items": items}, options.output)
        for result in generated:
            for note in result.notes:
                print_note(f"{result.name}: {note}")
    elif generated:
        sys.stdout.write("---\n".join(_file_content(result) for result in generated))
    return ExitCode.OK


def _generate(
    connectors: list[ExistingConnector], options: ManifestOptions, *, include_managed: bool
) -> Iterator[GeneratedManifests]:
    """Yield manifests, and print a note for each connector that is skipped."""
    used_names: set[str] = set()
    for existing in connectors:
        owner = managing_resource_of_import(existing)
        if owner is not None and not include_managed:
            print_note(f"{existing.ref.name} is skipped: {owner} already manages it (include it with --managed).")
            continue
        try:
            result = generate_manifests(existing, options, used_names)
        except InvalidManifest as error:
            print_note(f"{existing.ref.name} is skipped: {error.message}")
            continue
        used_names.add(result.name)
        yield result


def _file_content(result: GeneratedManifests) -> str:
    """Return the manifests of a connector as YAML, with the notes as comments."""
    comments = "".join(f"# {printable(note)}\n" for note in result.notes)
    return comments + "---\n".join(dump_yaml(manifest) for manifest in result.manifests)


def _write_files(folder: Path, generated: list[GeneratedManifests], *, force: bool) -> None:
    files = {folder / f"{result.name}.yaml": result for result in generated}
    present = [str(file) for file in files if file.exists()]
    if present and not force:
        raise CommandFailed(f"Already exists: {', '.join(present)}. Use another folder, or overwrite with --force.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, result in files.items():
            file.write_text(_file_content(result), encoding="utf-8")
            print_note(f"{file} written.")
    except OSError as error:
        raise CommandFailed(f"{error.filename} cannot be written: {error.strerror}.") from None
