"""Versions in both spellings, and the places that contain the version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.release.places import PLACES, current_version, write_version
from deploy.release.version import ReleaseError, Version
from tests.support.chart.helm import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the files that contain the version."""
    for path in {path for place in PLACES for path, _ in place.matches(ROOT)}:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "python"),
    [("0.2.0", "0.2.0"), ("10.20.30", "10.20.30"), ("1.0.0-rc.1", "1.0.0rc1"), ("1.0.0-rc.10", "1.0.0rc10")],
)
def test_a_version_has_two_spellings(text: str, python: str) -> None:
    version = Version.parse(text)
    assert (str(version), version.python) == (text, python)
    assert Version.parse_python(python) == version


@pytest.mark.parametrize(
    "text", ["", "1", "1.2", "v1.2.3", "1.2.3.4", "01.2.3", "1.2.3-rc", "1.2.3-rc.0", "1.2.3-beta.1", "1.2.3\n"]
)
def test_another_form_is_refused_with_the_right_one(text: str) -> None:
    with pytest.raises(ReleaseError, match=r"write it as 1\.2\.3, or 1\.2\.3-rc\.1"):
        Version.parse(text)


@pytest.mark.parametrize("text", ["1.2.3-rc.1", "1.2.3rc0", "1.2.3.dev1", "1.2"])
def test_another_python_version_is_refused(text: str) -> None:
    with pytest.raises(ReleaseError, match="no version of a package"):
        Version.parse_python(text)


def test_the_repository_has_one_version() -> None:
    current_version(ROOT)


@pytest.mark.parametrize("text", ["0.2.0", "12.0.1-rc.3"])
def test_a_version_is_written_to_every_place(copy: Path, text: str) -> None:
    before = current_version(copy)
    write_version(copy, Version.parse(text))
    assert current_version(copy) == Version.parse(text)
    changed = [
        path
        for path in copy.rglob("*")
        if path.is_file() and path.read_bytes() != (ROOT / path.relative_to(copy)).read_bytes()
    ]
    assert len(changed) == len({path for place in PLACES for path, _ in place.matches(ROOT)})
    write_version(copy, before)
    assert all(
        path.read_bytes() == (ROOT / path.relative_to(copy)).read_bytes() for path in copy.rglob("*") if path.is_file()
    )


def test_a_place_that_disagrees_is_named(copy: Path) -> None:
    path = copy / "Dockerfile"
    path.write_text(path.read_text().replace(f"VERSION={current_version(copy)}", "VERSION=9.9.9"))
    with pytest.raises(ReleaseError, match=r"9\.9\.9 in Dockerfile:\d+"):
        current_version(copy)
    with pytest.raises(ReleaseError, match="differs"):
        write_version(copy, Version.parse("0.2.0"))


def test_a_place_that_has_lost_the_version_is_named(copy: Path) -> None:
    (copy / "deploy/gitops/flux/operator.yaml").write_text("ref: {branch: main}\n")
    with pytest.raises(ReleaseError, match=r"deploy/gitops/flux/operator\.yaml does not contain"):
        current_version(copy)


def test_no_other_file_contains_the_version_of_the_chart_or_image() -> None:
    version = current_version(ROOT)
    names = (
        "defender-devops-operator:",
        "defender-devops-operator-",
        "appVersion: ",
        "ARG VERSION=",
        "tag: v",
        "targetRevision: v",
    )
    arguments = [argument for name in names for argument in ("-e", f"{name}{version}")]
    names_of_files = subprocess.run(
        ["git", "grep", "-lF", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    places = {str(path.relative_to(ROOT)) for place in PLACES for path, _ in place.matches(ROOT)}
    assert set(names_of_files.splitlines()) - places == set()
