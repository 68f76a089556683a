"""Checksums as sha256sum writes and reads them, and the statement of provenance."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.release.archives import sha256
from deploy.release.provenance import read_checksums, statement, write_checksums
from deploy.release.version import ReleaseError
from tests.support.chart.helm import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tgz", "a.whl"):
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    return tmp_path


def test_checksums_are_those_of_sha256sum(folder: Path) -> None:
    run = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "a.whl: OK\nb.tgz: OK\n")
    assert read_checksums(folder) == {name: sha256(folder / name) for name in ("a.whl", "b.tgz")}


def test_checksums_do_not_list_themselves(folder: Path) -> None:
    write_checksums(folder)
    assert read_checksums(folder).keys() == {"a.whl", "b.tgz"}


@pytest.mark.parametrize("line", ["", "abc  a.whl", f"{'0' * 64} a.whl", f"{'0' * 64}  two words"])
def test_another_line_is_refused(folder: Path, line: str) -> None:
    (folder / "SHA256SUMS").write_text(f"{line}\n")
    with pytest.raises(ReleaseError, match="a line that sha256sum does not write"):
        read_checksums(folder)


def test_a_folder_without_checksums_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="SHA256SUMS is missing"):
        read_checksums(tmp_path)


def test_the_statement_names_files_source_and_lock(folder: Path) -> None:
    document = statement(ROOT, read_checksums(folder), {"ref": "refs/tags/v0.2.0"})
    assert [subject["name"] for subject in document["subject"]] == ["a.whl", "b.tgz"]
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = document["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["ref"] == "refs/tags/v0.2.0"
    assert (ROOT / definition["externalParameters"]["workflow"]["path"]).is_file()
    source, lock = definition["resolvedDependencies"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert source["digest"] == {"gitCommit": head.strip()}
    assert lock["digest"] == {"sha256": sha256(ROOT / "uv.lock")}
