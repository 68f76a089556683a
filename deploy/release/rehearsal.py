"""A release without its publication: every artifact is built of a clone, checked, and built again for comparison."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from deploy.release import sbom
from deploy.release.archives import sha256
from deploy.release.artifacts import NAME, Build, build, commit_time
from deploy.release.bump import prepare_release, verify_tag
from deploy.release.checks import Artifacts, check
from deploy.release.image import Builder, bill_of_archive, find_builder
from deploy.release.programs import run
from deploy.release.provenance import read_checksums, statement
from deploy.release.registry import serve
from deploy.release.version import ReleaseError, Version

__all__ = ["Rehearsal"]

_Result = TypeVar("_Result")
_COMMITTER = {
    f"GIT_{role}_{key}": text
    for role in ("AUTHOR", "COMMITTER")
    for key, text in (("NAME", "Rehearsal of a release"), ("EMAIL", "rehearsal@defender-devops-operator.invalid"))
}


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal.

    Attributes:
        root: of the repository; its last commit is released.
        version: to release.
        output: folder of the artifacts, which is replaced.
        with_image: whether the image is built too.
    """

    root: Path
    version: Version
    output: Path
    with_image: bool = True

    def run(self) -> None:
        """Build, check and compare; print a line for each step.

        Raises:
            ReleaseError: an artifact cannot be built, is not as it should be, or differs in the second build.
        """
        if changes := run("git", "status", "--porcelain", cwd=self.root):
            print(f"not in the rehearsal, because not committed:\n{changes}", file=sys.stderr)
        shutil.rmtree(self.output, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            first, second = (self._clone(Path(folder) / name) for name in ("first", "second"))
            self._step("artifacts", lambda: build(self._build(first, self.output)))
            for line in check(Artifacts(self.output, self.version)):
                print(f"  {line}", flush=True)
            again = Path(folder) / "again"
            self._step("second build", lambda: build(self._build(second, again)))
            print(f"  {_compare(self.output, again)}", flush=True)
            self._extras.mkdir()
            if self.with_image:
                image = self._step("image", lambda: self._check_image(first, Path(folder)))
                self._step("second image", lambda: self._compare_image(second, Path(folder), image))
            self._write_statement(first)
        print(f"{self.version}: every artifact is in {self.output}")

    @property
    def _extras(self) -> Path:
        """Folder of what is not a file of the release: the image's bills, and the statement of provenance."""
        return self.output / "rehearsal"

    def _clone(self, folder: Path) -> Path:
        """Return a clone of the last commit with the commit and the tag of the release, the same in every clone."""
        epoch = commit_time(self.root)
        run("git", "clone", "--quiet", self.root, folder)
        date = dt.datetime.fromtimestamp(epoch, dt.UTC).date()
        prepare_release(folder, self.version, date)
        dates = {"GIT_AUTHOR_DATE": f"@{epoch} +0000", "GIT_COMMITTER_DATE": f"@{epoch} +0000"}
        message = ("--message", f"release: {self.version}")
        run(
            "git",
            "commit",
            "--quiet",
            "--all",
            "--no-verify",
            "--no-gpg-sign",
            *message,
            cwd=folder,
            env=_COMMITTER | dates,
        )
        run("git", "tag", f"v{self.version}", cwd=folder)
        verify_tag(folder, run("git", "describe", "--exact-match", "--tags", cwd=folder).strip(), self.version)
        return folder

    def _build(self, clone: Path, output: Path) -> Build:
        return Build(clone, output, commit_time(clone))

    def _builder(self, clone: Path) -> Builder:
        return find_builder(clone, self.version, commit_time(clone), f"localhost/{NAME}:rehearsal-{self.version}")

    def _check_image(self, clone: Path, folder: Path) -> str:
        """Build the image, push it to a registry and start it; return its digest."""
        builder, archive = self._builder(clone), folder / "image.tar"
        builder.build(archive)
        bill = bill_of_archive(archive)
        epoch = commit_time(clone)
        (self._extras / "image.cdx.json").write_text(sbom.as_json(bill))
        (self._extras / "image.spdx.json").write_text(sbom.as_json(sbom.spdx(bill, epoch)))
        digest = self._push(builder)
        if self.version.python not in (answer := builder.start("--version")):
            raise ReleaseError(f"the image prints its version as {answer.strip()!r}, not {self.version.python}")
        (self._extras / "image-digest.txt").write_text(f"{digest}\n")
        print(f"  image: {digest}, {len(bill['components'])} packages; pushed to a registry, started: {answer.strip()}")
        return digest

    def _push(self, builder: Builder) -> str:
        with serve() as registry:
            digest = builder.push(f"{registry.address}/{NAME}:{self.version}")
            if registry.digest(NAME, str(self.version)) != digest:
                raise ReleaseError(
                    f"the registry has another digest of the image than the builder, which pushed {digest}"
                )
        return digest

    def _compare_image(self, clone: Path, folder: Path, digest: str) -> None:
        builder = self._builder(clone)
        builder.build(folder / "image.tar")
        if (again := self._push(builder)) != digest:
            raise ReleaseError(
                f"the second build of the image has digest {again}, the first {digest}: docs/image.md promises one"
            )
        print("  image: the second build has the same digest")

    def _write_statement(self, clone: Path) -> None:
        files = [path for folder in (self.output, self._extras) for path in folder.iterdir() if path.is_file()]
        digests = {path.name: sha256(path) for path in files}
        document = statement(clone, digests, {"ref": f"refs/tags/v{self.version}"})
        (self._extras / "provenance.json").write_text(sbom.as_json(document))
        print(f"  provenance: statement about {len(digests)} files")

    @staticmethod
    def _step(name: str, action: Callable[[], _Result]) -> _Result:
        begin = time.monotonic()
        result = action()
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
        return result


def _compare(first: Path, second: Path) -> str:
    """Return that two builds are equal.

    Raises:
        ReleaseError: a file differs.
    """
    digests, others = read_checksums(first), read_checksums(second)
    differing = sorted(name for name in digests.keys() | others.keys() if digests.get(name) != others.get(name))
    if differing:
        raise ReleaseError(f"the second build has another content of {', '.join(differing)}")
    return f"second build: the same digests of all {len(digests)} files"
