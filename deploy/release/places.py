"""Where the version is written in the repository, and how all of these places change together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.release.version import ReleaseError, Version

__all__ = ["PLACES", "current_version", "write_version"]

_SEMANTIC = r"(\d+\.\d+\.\d+(?:-rc\.\d+)?)"
_PYTHON = r"(\d+\.\d+\.\d+(?:rc\d+)?)"
_CHART = "deploy/helm/defender-devops-operator/Chart.yaml"


@dataclass(frozen=True)
class Place:
    """One way in which some files contain the version.

    Attributes:
        files: glob below the root of the repository.
        pattern: regular expression whose only group is the version.
        is_python: whether the version has the spelling of Python packages.
    """

    files: str
    pattern: str
    is_python: bool = False

    def matches(self, root: Path) -> Iterator[tuple[Path, re.Match[str]]]:
        """Yield each occurrence with its file."""
        for path in sorted(root.glob(self.files)):
            for match in re.finditer(self.pattern, path.read_text(), re.MULTILINE):
                yield path, match

    def version(self, match: re.Match[str]) -> Version:
        """Return the version of an occurrence."""
        return Version.parse_python(match[1]) if self.is_python else Version.parse(match[1])

    def write(self, root: Path, version: Version) -> None:
        """Replace every occurrence."""
        text = version.python if self.is_python else str(version)
        for path in sorted(root.glob(self.files)):
            content = re.sub(self.pattern, lambda match: _with_group(match, text), path.read_text(), flags=re.MULTILINE)
            path.write_text(content)


def _with_group(match: re.Match[str], text: str) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match[0][:start] + text + match[0][end:]


PLACES = (
    Place("pyproject.toml", rf'^version = "{_PYTHON}"$', is_python=True),
    Place("uv.lock", rf'^name = "defender-devops-operator"\nversion = "{_PYTHON}"$', is_python=True),
    Place("Dockerfile", rf"^ARG VERSION={_SEMANTIC}$"),
    Place(_CHART, rf"^version: {_SEMANTIC}$"),
    Place(_CHART, rf"^appVersion: {_SEMANTIC}$"),
    Place(_CHART, rf"image: defender-devops-operator:{_SEMANTIC}$"),
    Place("deploy/gitops/argocd/applications.yaml", rf"targetRevision: v{_SEMANTIC}$"),
    Place("deploy/gitops/flux/operator.yaml", rf"tag: v{_SEMANTIC}$"),
    Place("README.md", rf"defender-devops-operator:{_SEMANTIC}\b"),
    Place("docs/install-*.md", rf"defender-devops-operator:{_SEMANTIC}\b"),
    # The chart's golden renders: what a release changes in them is the version alone.
    Place("tests/data/chart/renders/*.yaml", rf"app\.kubernetes\.io/version: {_SEMANTIC}$"),
    Place("tests/data/chart/renders/*.yaml", rf"helm\.sh/chart: defender-devops-operator-{_SEMANTIC}$"),
    Place("tests/data/chart/renders/*.yaml", rf"image: \S*defender-devops-operator:{_SEMANTIC}$"),
)


def current_version(root: Path) -> Version:
    """Return the version that all places have.

    Raises:
        ReleaseError: two places disagree, or one has none.
    """
    versions: dict[Version, str] = {}
    for place in PLACES:
        occurrences = list(place.matches(root))
        if not occurrences:
            raise ReleaseError(
                f"{place.files} does not contain {place.pattern}: change PLACES in deploy/release/places.py"
            )
        for path, match in occurrences:
            line = path.read_text()[: match.start(1)].count("\n") + 1
            versions.setdefault(place.version(match), f"{path.relative_to(root)}:{line}")
    if len(versions) > 1:
        listed = ", ".join(f"{version} in {where}" for version, where in versions.items())
        raise ReleaseError(f"the version differs: {listed}. `python -m deploy.release bump` sets it everywhere")
    return next(iter(versions))


def write_version(root: Path, version: Version) -> None:
    """Write the version to every place.

    Raises:
        ReleaseError: the places did not agree before, so that a change of one may have been forgotten.
    """
    current_version(root)
    for place in PLACES:
        place.write(root, version)
