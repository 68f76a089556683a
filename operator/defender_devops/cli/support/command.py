"""`support`: collect, redact, write one file."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from defender_devops.cli.cluster_access import open_cluster
from defender_devops.cli.cluster_target import Target
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import note, to_yaml
from defender_devops.cli.support.collect import Bundle, collect

__all__ = ["write_bundle"]


async def write_bundle(target: Target, *, everywhere: bool, file: Path | None) -> ExitCode:
    """Write a bundle, and say what is in it.

    Args:
        target: cluster and namespace.
        everywhere: of all namespaces.
        file: where to; None takes a name with the time in it, in the working folder.

    Raises:
        OperatorError: the connectors cannot be read.
        CommandFailed: the file is there already, or cannot be written.
    """
    async with open_cluster(target) as cluster:
        bundle = await collect(cluster, None if everywhere else cluster.namespace)
    written = file or Path(f"defender-devops-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    _write(written, bundle)
    for sentence in bundle.missing:
        note(sentence)
    sys.stdout.write(f"{written}: {', '.join(sorted(bundle.documents))}\n")
    note("No Secret was read. Look through it before you send it: names of resources and organizations are in it.")
    return ExitCode.OK


def _write(file: Path, bundle: Bundle) -> None:
    """For its owner only, and never over a file that is there."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(f"{file} exists already: name another file with --to.") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for member, content in _members(file, bundle):
            archive.addfile(member, io.BytesIO(content))


def _members(file: Path, bundle: Bundle) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    folder = file.name.removesuffix(".gz").removesuffix(".tar")
    for name, document in sorted(bundle.documents.items()):
        content = (document if isinstance(document, str) else to_yaml(document)).encode()
        member = tarfile.TarInfo(f"{folder}/{name}")
        member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
        yield member, content
