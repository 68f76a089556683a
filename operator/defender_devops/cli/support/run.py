"""`support`: collect, redact, and write one archive."""

from __future__ import annotations

import io
import os
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path

from defender_devops.cli.cluster_access import open_cluster
from defender_devops.cli.cluster_target import ClusterTarget
from defender_devops.cli.exit_codes import CommandFailed, ExitCode
from defender_devops.cli.output import print_note, print_text
from defender_devops.cli.support.collect import Bundle, collect_bundle
from defender_devops.cluster.kubernetes_yaml import dump_yaml

__all__ = ["run_support"]


async def run_support(target: ClusterTarget, *, all_namespaces: bool, file: Path | None) -> ExitCode:
    """Write a bundle and print the names of its parts.

    Args:
        target: cluster and namespace.
        all_namespaces: whether connectors of all namespaces are included.
        file: archive to write; None is a name with the current time, in the working directory.

    Raises:
        OperatorError: the connectors cannot be read.
        CommandFailed: the file exists already, or cannot be written.
    """
    async with open_cluster(target) as cluster:
        bundle = await collect_bundle(cluster, None if all_namespaces else cluster.namespace)
    archive_file = file or Path(f"defender-devops-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    _write_archive(archive_file, bundle)
    for sentence in bundle.missing:
        print_note(sentence)
    print_text(f"{archive_file}: {', '.join(sorted(bundle.documents))}")
    print_note("No Secret was read. Review the bundle before you send it: it names resources and organizations.")
    return ExitCode.OK


def _write_archive(file: Path, bundle: Bundle) -> None:
    """Write the archive with mode 0600; an existing file is never overwritten."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandFailed(f"{file} exists already: use another file with --to.") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from None
    folder = file.name.removesuffix(".gz").removesuffix(".tar")
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, document in sorted(bundle.documents.items()):
            content = (document if isinstance(document, str) else dump_yaml(document)).encode()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
            archive.addfile(member, io.BytesIO(content))
