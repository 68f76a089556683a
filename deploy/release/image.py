"""Building, starting and publishing the operator's image: with Docker, or with buildah without access to a registry."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.release import sbom
from deploy.release.programs import run
from deploy.release.version import ReleaseError, Version

__all__ = ["Builder", "bill_of_archive", "find_builder", "push_image"]

_BILL = "opt/defender-devops/sbom.cdx.json"


@dataclass(frozen=True)
class Builder(ABC):
    """A way to build the image.

    Attributes:
        root: of the repository.
        version: label of the image.
        epoch: seconds since 1970, the time of every file in the image.
        tag: name of the image on this machine.
    """

    root: Path
    version: Version
    epoch: int
    tag: str

    @abstractmethod
    def build(self, archive: Path) -> None:
        """Build the image for this machine's architecture and write it as an OCI archive."""

    @abstractmethod
    def push(self, reference: str) -> str:
        """Push the built image to a registry without TLS on this machine; return the digest that was pushed."""

    @abstractmethod
    def start(self, *arguments: str) -> str:
        """Return what the image prints when it is started, as its own user, with these arguments."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the build that Dockerfile declares."""
        revision = run("git", "rev-parse", "HEAD", cwd=self.root).strip()
        return "--build-arg", f"VERSION={self.version}", "--build-arg", f"REVISION={revision}"


class DockerBuilder(Builder):
    """Docker with buildx."""

    def build(self, archive: Path) -> None:
        """Build the archive, and load the same image into Docker from the cache of that build."""
        command = ("docker", "buildx", "build", *self.arguments, "--provenance=false", "--tag", self.tag)
        environment = {"SOURCE_DATE_EPOCH": str(self.epoch)}
        output = f"type=oci,dest={archive},rewrite-timestamp=true"
        run(*command, "--output", output, ".", cwd=self.root, env=environment)
        run(*command, "--load", ".", cwd=self.root, env=environment)

    def push(self, reference: str) -> str:
        """Push the loaded image."""
        run("docker", "tag", self.tag, reference)
        run("docker", "push", "--quiet", reference)
        names = run("docker", "inspect", "--format", "{{index .RepoDigests 0}}", reference)
        return names.strip().rpartition("@")[2]

    def start(self, *arguments: str) -> str:
        """Start a container without a network and with a read-only file system."""
        return run("docker", "run", "--rm", "--read-only", "--network", "none", self.tag, *arguments)


class BuildahBuilder(Builder):
    """buildah on a base of Debian's packages: deploy/image/build-offline."""

    @property
    def _environment(self) -> dict[str, str]:
        return {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "vfs")}

    def build(self, archive: Path) -> None:
        """Build the image, and write it as an archive."""
        run(self.root / "deploy/image/build-offline", self.tag, env={"SOURCE_DATE_EPOCH": str(self.epoch)})
        archive.unlink(missing_ok=True)
        run("buildah", "push", "--quiet", self.tag, f"oci-archive:{archive}", env=self._environment)

    def push(self, reference: str) -> str:
        """Push the image with the compression of the archive."""
        with tempfile.NamedTemporaryFile() as digest:
            command = ("buildah", "push", "--quiet", "--tls-verify=false", "--digestfile", digest.name)
            run(*command, self.tag, f"docker://{reference}", env=self._environment)
            return digest.read().decode().strip()

    def start(self, *arguments: str) -> str:
        """Run the entry point in a container of the image."""
        container = run("buildah", "from", "--pull-never", self.tag, env=self._environment).strip()
        try:
            entry = ("python", "-m", "defender_devops", *arguments)
            return run("buildah", "run", "--user", "65532:65532", container, "--", *entry, env=self._environment)
        finally:
            run("buildah", "rm", container, env=self._environment)


def find_builder(root: Path, version: Version, epoch: int, tag: str) -> Builder:
    """Return the builder that works on this machine.

    Raises:
        ReleaseError: there is none.
    """
    if shutil.which("docker"):
        try:
            run("docker", "buildx", "version")
            run("docker", "info")
        except ReleaseError:
            pass  # the client without an engine
        else:
            return DockerBuilder(root, version, epoch, tag)
    if shutil.which("buildah") and shutil.which("mmdebstrap") and os.geteuid() == 0:
        return BuildahBuilder(root, version, epoch, tag)
    raise ReleaseError(
        "no image can be built here: Docker with buildx does not answer, and root has no buildah and mmdebstrap. "
        "Start Docker, run `apt-get install buildah mmdebstrap` as root, or leave the image out with IMAGE=no"
    )


def bill_of_archive(archive: Path) -> dict[str, Any]:
    """Return the bill of materials that the image of an OCI archive contains.

    Raises:
        ReleaseError: it contains none.
    """
    with tarfile.open(archive) as files:
        blobs = {info.name.removeprefix("./"): info for info in files.getmembers()}

        def read(name: str) -> bytes:
            file = files.extractfile(blobs[name])
            return file.read() if file else b""

        index = json.loads(read("index.json"))
        manifest = json.loads(read(_blob(index["manifests"][0]["digest"])))
        for layer in reversed(manifest["layers"]):
            for content in _file_of_layer(read(_blob(layer["digest"])), _BILL):
                bill: dict[str, Any] = json.loads(content)
                return bill
    raise ReleaseError(f"the image in {archive} does not contain /{_BILL}, which the build in Dockerfile writes")


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _file_of_layer(layer: bytes, path: str) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        for info in files:
            if info.name.removeprefix("./") == path and (file := files.extractfile(info)):
                yield file.read()


def push_image(builder: DockerBuilder, image: str, platforms: list[str], output: Path) -> dict[str, str]:
    """Build and push the image for several platforms; write the bill of materials of each to a folder.

    Args:
        builder: Docker, signed in to the image's registry.
        image: repository of the image; the version is its tag.
        platforms: such as linux/amd64.
        output: folder for image-ARCHITECTURE.cdx.json and image-ARCHITECTURE.spdx.json.

    Returns:
        The digests: `digest` is that of the whole image, the others are by architecture.
    """
    output.mkdir(parents=True, exist_ok=True)
    reference = f"{image}:{builder.version}"
    with tempfile.NamedTemporaryFile() as metadata:
        command = ("docker", "buildx", "build", *builder.arguments, "--provenance=false", "--tag", reference)
        target = ("--platform", ",".join(platforms), "--output", "type=image,push=true,rewrite-timestamp=true")
        environment = {"SOURCE_DATE_EPOCH": str(builder.epoch)}
        run(*command, *target, "--metadata-file", metadata.name, ".", cwd=builder.root, env=environment)
        digests = {"digest": json.load(metadata)["containerimage.digest"]}
    index = json.loads(run("docker", "buildx", "imagetools", "inspect", "--raw", f"{image}@{digests['digest']}"))
    for manifest in index["manifests"]:
        architecture = manifest["platform"]["architecture"]
        digests[architecture] = manifest["digest"]
        cat = ("docker", "run", "--rm", "--platform", f"linux/{architecture}", "--entrypoint", "cat")
        bill = json.loads(run(*cat, f"{image}@{manifest['digest']}", f"/{_BILL}"))
        (output / f"image-{architecture}.cdx.json").write_text(sbom.as_json(bill))
        (output / f"image-{architecture}.spdx.json").write_text(sbom.as_json(sbom.spdx(bill, builder.epoch)))
    return digests
