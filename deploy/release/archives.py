"""Archives that are the same bytes whenever and wherever they are written."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Member", "read_tar_gz", "sha256", "tar_gz"]


@dataclass(frozen=True)
class Member:
    """A file of an archive."""

    content: bytes
    is_executable: bool = False


def tar_gz(members: Mapping[str, Member], epoch: int) -> bytes:
    """Return a compressed archive with these files, sorted by name, of one time and no owner.

    Args:
        members: the files by their path in the archive.
        epoch: seconds since 1970, the modification time of every file.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, member in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(member.content), epoch
            info.mode = 0o755 if member.is_executable else 0o644
            archive.addfile(info, io.BytesIO(member.content))
    # Without a name and a time, which gzip would take from the file and the clock.
    return gzip.compress(buffer.getvalue(), mtime=0)


def read_tar_gz(content: bytes) -> dict[str, Member]:
    """Return the regular files of a compressed archive by their path."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        files = [(info, archive.extractfile(info)) for info in archive.getmembers() if info.isfile()]
        return {info.name: Member(file.read(), bool(info.mode & 0o100)) for info, file in files if file is not None}


def sha256(content: bytes | Path) -> str:
    """Return the digest of bytes or of a file, in hexadecimal."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()
