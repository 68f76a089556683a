"""Archives have the same bytes for the same files, and give them back."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.release.archives import Member, read_tar_gz, sha256, tar_gz

NAMES = st.from_regex(r"[a-z]{1,9}(/[a-z]{1,9}){0,3}", fullmatch=True)
MEMBERS = st.dictionaries(NAMES, st.builds(Member, st.binary(max_size=99), st.booleans()), max_size=5)


@given(MEMBERS, st.integers(0, 4_000_000_000))
def test_files_are_packed_the_same_in_any_order_and_unpacked_as_they_were(
    members: dict[str, Member], epoch: int
) -> None:
    packed = tar_gz(members, epoch)
    assert tar_gz(dict(reversed(members.items())), epoch) == packed
    assert read_tar_gz(packed) == members


def test_neither_the_clock_nor_the_user_is_in_an_archive() -> None:
    packed = tar_gz({"file": Member(b"text", is_executable=True)}, 1_000_000_000)
    assert packed[4:8] == b"\0\0\0\0"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        (info,) = archive.getmembers()
    assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (1_000_000_000, 0, 0, "", "", 0o755)


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"text")
    assert sha256(path) == sha256(b"text") == hashlib.sha256(b"text").hexdigest()
