"""Building the artifacts of a release: packages, chart, plugin, bundle, bills of materials, notes and checksums."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.release import changelog, sbom
from deploy.release.archives import Member, read_tar_gz, tar_gz
from deploy.release.catalogues import krew, olm
from deploy.release.places import current_version
from deploy.release.programs import helm, run, uv
from deploy.release.provenance import write_checksums
from deploy.release.version import ReleaseError, Version

__all__ = ["CHART", "NAME", "Build", "build", "commit_time"]

NAME = "defender-devops-operator"
CHART = "deploy/helm/defender-devops-operator"


@dataclass(frozen=True)
class Build:
    """What the artifacts are built of and for.

    Attributes:
        root: of the repository.
        output: folder of the artifacts.
        epoch: seconds since 1970, the time of every file in the artifacts.
        image: repository of the operator's image, without tag.
        download_base: address below which the release's files are downloaded.
    """

    root: Path
    output: Path
    epoch: int
    image: str = NAME
    download_base: str = "https://defender-devops-operator.invalid"

    @property
    def version(self) -> Version:
        """The version that the repository has."""
        return current_version(self.root)

    @property
    def chart(self) -> dict[str, Any]:
        """Chart.yaml."""
        chart: dict[str, Any] = yaml.safe_load((self.root / CHART / "Chart.yaml").read_text())
        return chart


def commit_time(root: Path) -> int:
    """Return the time that all artifacts have, in seconds since 1970: SOURCE_DATE_EPOCH, or that of the commit.

    Raises:
        ReleaseError: SOURCE_DATE_EPOCH is no number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct", cwd=root).strip()
    if not text.isdecimal():
        raise ReleaseError(f"SOURCE_DATE_EPOCH is {text!r}: set it to seconds since 1970, or unset it")
    return int(text)


def build(parameters: Build) -> None:
    """Write all artifacts but the image to the empty output folder.

    Raises:
        ReleaseError: one cannot be built, the folder is not empty, or the version has no section in CHANGELOG.md.
    """
    output, version = parameters.output, parameters.version
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise ReleaseError(f"{output} is not empty: remove it first, or an artifact of another build could be released")
    notes = changelog.section((parameters.root / "CHANGELOG.md").read_text(), version)
    (output / "release-notes.md").write_text(notes)
    wheel = _build_packages(parameters)
    _package_chart(parameters)
    _build_plugin(parameters, wheel)
    _build_bundle(parameters)
    _write_bills(parameters)
    crds = sorted((parameters.root / "deploy/crds").glob("*.yaml"))
    (output / "crds.yaml").write_text("---\n".join(path.read_text() for path in crds))
    write_checksums(output)


def _build_packages(parameters: Build) -> Path:
    """Build the source distribution, and the wheel from it, with a pinned build backend; return the wheel."""
    constraints = Path(__file__).parent / "build-constraints.txt"
    command = (
        "build",
        "--quiet",
        "--build-constraints",
        constraints,
        "--require-hashes",
        "--out-dir",
        parameters.output,
    )
    uv(*command, cwd=parameters.root, env={"SOURCE_DATE_EPOCH": str(parameters.epoch)})
    (parameters.output / ".gitignore").unlink(missing_ok=True)
    (wheel,) = parameters.output.glob("*.whl")
    return wheel


def _package_chart(parameters: Build) -> None:
    """Package the chart; helm writes the current time into the archive, so its files are packed again."""
    helm("lint", "--quiet", "--strict", parameters.root / CHART)
    with tempfile.TemporaryDirectory() as folder:
        helm("package", parameters.root / CHART, "--destination", folder)
        (package,) = Path(folder).iterdir()
        content = tar_gz(read_tar_gz(package.read_bytes()), parameters.epoch)
        (parameters.output / package.name).write_bytes(content)


def _build_plugin(parameters: Build, wheel: Path) -> None:
    version = parameters.version
    archive = krew.plugin_archive(parameters.root, wheel, version, parameters.epoch)
    name = f"kubectl-defender_devops-{version}.tar.gz"
    manifest = krew.plugin_manifest(parameters.chart, version, archive, f"{parameters.download_base}/{name}")
    (parameters.output / name).write_bytes(archive)
    (parameters.output / f"{krew.PLUGIN}.yaml").write_text(manifest)


def _build_bundle(parameters: Build) -> None:
    version = parameters.version
    files = olm.bundle(parameters.root, version, f"{parameters.image}:{version}", parameters.epoch)
    members = {path: Member(text.encode()) for path, text in files.items()}
    (parameters.output / f"{NAME}-{version}-bundle.tar.gz").write_bytes(tar_gz(members, parameters.epoch))


def _write_bills(parameters: Build) -> None:
    bill = sbom.locked_packages(parameters.root)
    path = parameters.output / f"{NAME}-{parameters.version}"
    path.with_name(f"{path.name}.cdx.json").write_text(sbom.as_json(bill))
    path.with_name(f"{path.name}.spdx.json").write_text(sbom.as_json(sbom.spdx(bill, parameters.epoch)))
