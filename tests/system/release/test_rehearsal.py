"""A release is rehearsed as a maintainer does it; what it builds is refused after any change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.release import checks
from deploy.release.archives import Member, read_tar_gz, tar_gz
from deploy.release.checks import Artifacts
from deploy.release.version import ReleaseError, Version
from tests.support.chart.helm import ROOT

pytestmark = pytest.mark.long

VERSION = Version.parse("98.7.6-rc.5")
NAMES = {
    "SHA256SUMS",
    "crds.yaml",
    "defender-devops-operator-98.7.6-rc.5-bundle.tar.gz",
    "defender-devops-operator-98.7.6-rc.5.cdx.json",
    "defender-devops-operator-98.7.6-rc.5.spdx.json",
    "defender-devops-operator-98.7.6-rc.5.tgz",
    "defender-devops.yaml",
    "defender_devops_operator-98.7.6rc5-py3-none-any.whl",
    "defender_devops_operator-98.7.6rc5.tar.gz",
    "kubectl-defender_devops-98.7.6-rc.5.tar.gz",
    "release-notes.md",
}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder with the artifacts, and what the command printed."""
    clone = tmp_path_factory.mktemp("clone")
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    # What `make release-dry-run IMAGE=no` runs; make itself would install the clone into this environment.
    command = [sys.executable, "-m", "deploy.release", "rehearse", str(VERSION), "--without-image"]
    environment = {name: text for name, text in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    run = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return clone / "dist" / str(VERSION), run.stdout


@pytest.fixture
def artifacts(rehearsal: tuple[Path, str], tmp_path: Path) -> Artifacts:
    """Return a copy that a test may change."""
    shutil.copytree(rehearsal[0], tmp_path / "dist")
    return Artifacts(tmp_path / "dist", VERSION)


def test_every_artifact_is_there_and_checked(rehearsal: tuple[Path, str]) -> None:
    folder, output = rehearsal
    assert {path.name for path in folder.iterdir() if path.is_file()} == NAMES
    for line in ("checksums:", "wheel:", "bills of materials:", "krew:", "chart:", "bundle for OperatorHub:", "notes:"):
        assert f"\n  {line}" in output
    assert "second build: the same digests of all" in output
    statement = json.loads((folder / "rehearsal/provenance.json").read_text())
    assert {subject["name"] for subject in statement["subject"]} == NAMES


def rewrite(name: str, change: Callable[[dict[str, Member]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        members = read_tar_gz(path.read_bytes())
        change(members)
        path.write_bytes(tar_gz(members, 0))

    return apply


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


def edit_chart(members: dict[str, Member]) -> None:
    name = "defender-devops-operator/Chart.yaml"
    members[name] = Member(members[name].content.replace(b"appVersion: 98.7.6-rc.5", b"appVersion: 1.0.0"))


CHANGES: dict[str, tuple[Callable[[Path], Any], Callable[[Artifacts], str], str]] = {
    "notes": (
        lambda folder: (folder / "release-notes.md").write_text("\n"),
        checks._check_notes,
        "has no heading",
    ),
    "chart": (
        rewrite("defender-devops-operator-98.7.6-rc.5.tgz", edit_chart),
        checks._check_chart,
        "not version 98.7.6-rc.5",
    ),
    "plugin": (
        rewrite("kubectl-defender_devops-98.7.6-rc.5.tar.gz", lambda members: members.pop("LICENSE")),
        checks._check_plugin,
        "has another digest or name",
    ),
    "bundle": (
        rewrite(
            "defender-devops-operator-98.7.6-rc.5-bundle.tar.gz",
            lambda members: members.pop("manifests/devopsorganizations.yaml"),
        ),
        checks._check_bundle,
        "owned without a CRD",
    ),
    "bill": (
        replace("defender-devops-operator-98.7.6-rc.5.cdx.json", '"name": "kopf"', '"name": "other"'),
        checks._check_wheel,
        "the bill of materials lacks kopf",
    ),
    "document": (
        replace("defender-devops-operator-98.7.6-rc.5.spdx.json", '"name": "kopf"', '"name": "other"'),
        checks._check_bills,
        "CycloneDX and SPDX differ",
    ),
    "missing": (
        lambda folder: (folder / "defender-devops.yaml").unlink(),
        checks._check_plugin,
        "defender-devops.yaml is missing",
    ),
}


@pytest.mark.parametrize(("change", "check_artifact", "message"), list(CHANGES.values()), ids=list(CHANGES))
def test_a_changed_artifact_is_refused(
    artifacts: Artifacts, change: Callable[[Path], Any], check_artifact: Callable[[Artifacts], str], message: str
) -> None:
    change(artifacts.folder)
    with pytest.raises(ReleaseError, match=r"is not that of SHA256SUMS|does not list what is there"):
        checks.check(artifacts)
    with pytest.raises(ReleaseError, match=message):
        check_artifact(artifacts)
