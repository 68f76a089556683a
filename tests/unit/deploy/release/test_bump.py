"""The commit of a release: version, changelog, the chart's annotations and its README fit together."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.release import changelog
from deploy.release.artifacts import CHART, commit_time
from deploy.release.bump import _write_chart_annotations, prepare_release, verify_tag
from deploy.release.places import current_version
from deploy.release.version import ReleaseError, Version
from tests.support.chart.helm import ROOT

DATE = dt.date(2026, 12, 24)
KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}
"""Kinds of artifacthub.io/changes (https://artifacthub.io/docs/topics/annotations/helm)."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the files under version control, as they are in the working tree."""
    folder = tmp_path_factory.mktemp("copy")
    names = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def released(copy: Path) -> Path:
    prepare_release(copy, Version.parse("77.0.0"), DATE)
    return copy


def test_the_version_is_everywhere_and_has_its_section(released: Path) -> None:
    assert str(current_version(released)) == "77.0.0"
    assert "## 77.0.0 - 2026-12-24\n" in (released / "CHANGELOG.md").read_text()
    assert "Version-77.0.0-informational" in (released / CHART / "README.md").read_text()
    verify_tag(released, "v77.0.0", Version.parse("77.0.0"))


def test_artifact_hub_gets_the_entries_of_the_changelog(released: Path) -> None:
    notes = changelog.section((released / "CHANGELOG.md").read_text(), Version.parse("77.0.0"))
    annotations = yaml.safe_load((released / CHART / "Chart.yaml").read_text())["annotations"]
    changes = yaml.safe_load(annotations["artifacthub.io/changes"])
    assert [(change["kind"], change["description"]) for change in changes] == [
        (entry.kind, entry.text) for entry in changelog.entries(notes)
    ]
    assert {change["kind"] for change in changes} <= KINDS
    assert annotations["artifacthub.io/prerelease"] == "false"
    assert yaml.safe_load(annotations["artifacthub.io/images"])[0]["image"] == "defender-devops-operator:77.0.0"


def test_without_a_public_home_there_are_no_screenshots(released: Path) -> None:
    assert "screenshots" not in (released / CHART / "Chart.yaml").read_text()


def test_screenshots_are_files_of_the_tag(released: Path, tmp_path: Path) -> None:
    chart = tmp_path / "Chart.yaml"
    text = (released / CHART / "Chart.yaml").read_text()
    chart.write_text(
        re.sub(r"^home: .*$", "home: https://github.com/contoso/defender-devops-operator", text, flags=re.MULTILINE)
    )
    notes = "### Added\n\n- A change.\n"
    for version in ("1.0.0", "1.0.1"):
        _write_chart_annotations(chart, Version.parse(version), notes)
    annotations = yaml.safe_load(chart.read_text())["annotations"]
    urls = [screenshot["url"] for screenshot in yaml.safe_load(annotations["artifacthub.io/screenshots"])]
    folder = "https://raw.githubusercontent.com/contoso/defender-devops-operator/v1.0.1/docs/images/"
    assert len(urls) == 3
    assert all(url.startswith(folder) and (ROOT / "docs/images" / url.removeprefix(folder)).is_file() for url in urls)


def test_a_second_release_needs_something_to_release(released: Path) -> None:
    with pytest.raises(ReleaseError, match="nothing to release"):
        prepare_release(released, Version.parse("78.0.0"), DATE)
    assert str(current_version(released)) == "77.0.0"


def test_a_tag_of_another_version_is_refused(released: Path) -> None:
    with pytest.raises(ReleaseError, match=r"the tag is v77\.0\.1, but the repository has version 77\.0\.0"):
        verify_tag(released, "v77.0.1", current_version(released))


def test_all_files_have_the_time_of_the_commit_or_the_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    output = subprocess.run(["git", "show", "-s", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert commit_time(ROOT) == int(output.stdout)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert commit_time(ROOT) == 1_700_000_000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(ReleaseError, match="seconds since 1970"):
        commit_time(ROOT)
