"""Preparing the commit of a release: the version in every place, the changelog, and what is generated of both."""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path

import yaml

from deploy.release import changelog
from deploy.release.artifacts import CHART
from deploy.release.places import write_version
from deploy.release.programs import run
from deploy.release.version import ReleaseError, Version

__all__ = ["prepare_release", "verify_tag"]

_CHANGES = re.compile(r"(?<=^  artifacthub\.io/changes: \|\n)(?:    .*\n)+", re.MULTILINE)
_SCREENSHOTS = re.compile(r"^  artifacthub\.io/screenshots: \|\n(?:    .*\n)+", re.MULTILINE)
_PICTURES = {
    "The page of a connector": "sign-in-connector.png",
    "After a sign-in: organizations and what each one needs": "sign-in-many-organizations.png",
    "A lost authorization": "sign-in-lost.png",
}
_PRERELEASE = re.compile(r'(?<=^  artifacthub\.io/prerelease: ")\w+(?="$)', re.MULTILINE)


def prepare_release(root: Path, version: Version, date: dt.date) -> None:
    """Change the files of the repository for a release; the caller commits and tags them.

    Args:
        root: of the repository.
        version: to release.
        date: of the release.

    Raises:
        ReleaseError: nothing is unreleased, the version is not new, or a place of the version has another form.
    """
    path = root / "CHANGELOG.md"
    text = changelog.close_version(path.read_text(), version, date)
    write_version(root, version)
    path.write_text(text)
    _write_chart_annotations(root / CHART / "Chart.yaml", version, changelog.section(text, version))
    run(sys.executable, root / "deploy/helm/generate.py", cwd=root)


def _write_chart_annotations(path: Path, version: Version, notes: str) -> None:
    """Write what Artifact Hub shows of a version: its changes and screenshots, and whether it is a pre-release."""
    changes = [{"kind": entry.kind, "description": entry.text} for entry in changelog.entries(notes)]
    screenshots = _screenshots(yaml.safe_load(path.read_text())["home"], version)
    block = _block(changes) + (f"  artifacthub.io/screenshots: |\n{_block(screenshots)}" if screenshots else "")
    is_candidate = str(version.candidate is not None).lower()
    text, replacements = _CHANGES.subn(lambda _: block, _SCREENSHOTS.sub("", path.read_text()))
    text, marks = _PRERELEASE.subn(is_candidate, text)
    if (replacements, marks) != (1, 1):
        raise ReleaseError(
            f"{path} does not have the annotations artifacthub.io/changes and artifacthub.io/prerelease once"
        )
    path.write_text(text)


def _block(value: object) -> str:
    """Return a value as the text of an annotation that contains YAML."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"    {line}\n" for line in text.splitlines())


def _screenshots(home: str, version: Version) -> list[dict[str, str]]:
    """Return the documentation's pictures as files of the tag; none without a home on GitHub."""
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", home)
    if match is None:
        return []
    folder = f"https://raw.githubusercontent.com/{match[1]}/v{version}/docs/images"
    return [{"title": title, "url": f"{folder}/{name}"} for title, name in _PICTURES.items()]


def verify_tag(root: Path, tag: str, version: Version) -> None:
    """Verify that a tag is that of the version, and that the changelog has a section for it.

    Raises:
        ReleaseError: it is not.
    """
    if tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, but the repository has version {version}: tag its commit v{version}")
    changelog.section((root / "CHANGELOG.md").read_text(), version)
