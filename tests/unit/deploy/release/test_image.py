"""The image's builders, with programs that stand in for Docker and buildah and note how they are called."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploy.release.archives import Member, sha256, tar_gz
from deploy.release.image import BuildahBuilder, DockerBuilder, bill_of_archive, find_builder, push_image
from deploy.release.version import ReleaseError, Version
from tests.support.chart.helm import ROOT
from tests.support.pages import write_program

VERSION = Version.parse("0.2.0")
IMAGE = "registry.test/defender-devops-operator"
BILL: dict[str, Any] = {
    "metadata": {"component": {"bom-ref": "operator", "name": "defender-devops-operator", "version": "0.2.0"}},
    "components": [{"bom-ref": "kopf", "name": "kopf", "version": "1.45.2", "purl": "pkg:pypi/kopf@1.45.2"}],
    "dependencies": [{"ref": "operator", "dependsOn": ["kopf"]}],
}


class Programs:
    """The stand-ins on the path, and the lines that they were called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._log = folder / "bin", folder / "calls"
        self._folder.mkdir()
        self._log.write_text("")
        (self._folder / "git").symlink_to("/usr/bin/git")
        monkeypatch.setenv("PATH", f"{self._folder}:{os.defpath}")

    def add(self, name: str, script: str = "") -> None:
        write_program(self._folder, name, f'echo "{name} $@ EPOCH=$SOURCE_DATE_EPOCH" >> {self._log}\n{script}')

    def calls(self, prefix: str) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if line.startswith(prefix)]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path, monkeypatch)


def builder(kind: type[DockerBuilder | BuildahBuilder]) -> DockerBuilder | BuildahBuilder:
    return kind(ROOT, VERSION, 1_700_000_000, "localhost/operator:test")


def test_docker_is_used_where_its_engine_answers(programs: Programs) -> None:
    programs.add("docker")
    assert isinstance(find_builder(ROOT, VERSION, 0, "tag"), DockerBuilder)


@pytest.mark.skipif(os.geteuid() != 0, reason="buildah builds as root only")
def test_buildah_is_used_where_docker_is_only_a_client(programs: Programs) -> None:
    programs.add("docker", "exit 1")
    programs.add("buildah")
    programs.add("mmdebstrap")
    assert isinstance(find_builder(ROOT, VERSION, 0, "tag"), BuildahBuilder)


def test_without_a_builder_the_message_says_how_to_get_one(programs: Programs) -> None:
    programs.add("docker", "exit 1")
    if not any((Path(folder) / "buildah").exists() for folder in os.defpath.split(":")):
        with pytest.raises(ReleaseError, match=r"apt-get install buildah mmdebstrap.*IMAGE=no"):
            find_builder(ROOT, VERSION, 0, "tag")


def test_docker_builds_with_the_time_version_and_commit(programs: Programs, tmp_path: Path) -> None:
    programs.add("docker")
    builder(DockerBuilder).build(tmp_path / "image.tar")
    archive, load = programs.calls("docker buildx build")
    assert "--build-arg VERSION=0.2.0 --build-arg REVISION=" in archive
    assert f"--output type=oci,dest={tmp_path}/image.tar,rewrite-timestamp=true . EPOCH=1700000000" in archive
    assert "--load" in load


def test_an_image_of_several_platforms_is_pushed_with_a_bill_for_each(programs: Programs, tmp_path: Path) -> None:
    index = {
        "manifests": [
            {"digest": f"sha256:{name}", "platform": {"os": "linux", "architecture": name}}
            for name in ("amd64", "arm64")
        ]
    }
    script = f"""case "$*" in
  *--metadata-file*)
    while [ "$1" != --metadata-file ]; do shift; done
    echo '{{"containerimage.digest": "sha256:index"}}' > "$2" ;;
  *imagetools*) echo '{json.dumps(index)}' ;;
  run*) echo '{json.dumps(BILL)}' ;;
esac"""
    programs.add("docker", script)
    docker = builder(DockerBuilder)
    assert isinstance(docker, DockerBuilder)
    digests = push_image(docker, IMAGE, ["linux/amd64", "linux/arm64"], tmp_path / "image")
    assert digests == {"digest": "sha256:index", "amd64": "sha256:amd64", "arm64": "sha256:arm64"}
    (built,) = programs.calls("docker buildx build")
    assert f"--tag {IMAGE}:0.2.0 --platform linux/amd64,linux/arm64 --output type=image,push=true" in built
    assert len(programs.calls("docker run --rm --platform linux/arm64")) == 1
    names = {path.name for path in (tmp_path / "image").iterdir()}
    assert names == {f"image-{name}.{form}.json" for name in ("amd64", "arm64") for form in ("cdx", "spdx")}
    assert json.loads((tmp_path / "image/image-arm64.cdx.json").read_text()) == BILL


def write_image(path: Path, layers: list[bytes]) -> None:
    """Write an OCI archive."""
    blobs = {sha256(layer): layer for layer in layers}
    manifest = json.dumps({"layers": [{"digest": f"sha256:{sha256(layer)}"} for layer in layers]}).encode()
    blobs[sha256(manifest)] = manifest
    index = json.dumps({"manifests": [{"digest": f"sha256:{sha256(manifest)}"}]}).encode()
    with tarfile.open(path, "w") as archive:
        for name, content in {
            "index.json": index,
            **{f"blobs/sha256/{key}": blob for key, blob in blobs.items()},
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("is_compressed", [True, False], ids=["gzip", "plain"])
def test_the_bill_is_read_from_the_last_layer_that_has_it(tmp_path: Path, *, is_compressed: bool) -> None:
    old = tar_gz({"opt/defender-devops/sbom.cdx.json": Member(b"{}")}, 0)
    new = tar_gz({"opt/defender-devops/sbom.cdx.json": Member(json.dumps(BILL).encode())}, 0)
    other = tar_gz({"etc/hostname": Member(b"x")}, 0)
    layers = [old, new, other]
    write_image(tmp_path / "image.tar", layers if is_compressed else [gzip.decompress(layer) for layer in layers])
    assert bill_of_archive(tmp_path / "image.tar") == BILL


def test_an_image_without_a_bill_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "image.tar", [tar_gz({"etc/hostname": Member(b"x")}, 0)])
    with pytest.raises(ReleaseError, match="does not contain /opt/defender-devops/sbom"):
        bill_of_archive(tmp_path / "image.tar")
