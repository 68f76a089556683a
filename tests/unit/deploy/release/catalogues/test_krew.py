"""The plugin for krew: its manifest, and how the launcher installs and starts it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.release.archives import read_tar_gz, sha256
from deploy.release.catalogues import krew
from deploy.release.version import Version
from tests.support.chart.helm import ROOT
from tests.support.pages import write_program

VERSION = Version.parse("0.2.0-rc.1")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    wheel = tmp_path_factory.mktemp("wheel") / "defender_devops_operator-0.2.0rc1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    return krew.plugin_archive(ROOT, wheel, VERSION, 0)


class Plugin:
    """The unpacked plugin, with a Python that notes what it is called with."""

    def __init__(self, folder: Path, archive: bytes) -> None:
        self.folder, self.bin, self.cache = folder / "store", folder / "bin", folder / "cache"
        self.folder.mkdir()
        self.bin.mkdir()
        for name, member in read_tar_gz(archive).items():
            (self.folder / name).write_bytes(member.content)
            (self.folder / name).chmod(0o755 if member.is_executable else 0o644)
        self.linked = self.bin / "kubectl-defender_devops"
        self.linked.symlink_to(self.folder / "kubectl-defender_devops")
        self.calls = folder / "calls"

    def install_python(self, pip: str = "true") -> None:
        """Install a Python whose environments contain the same program; `pip` is what its pip does."""
        program = f"""echo "$@" >> {self.calls}
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip "*) {pip} ;;
  "-m defender_devops.cli "*) echo "started: $3" ;;
esac"""
        write_program(self.bin, "python3", program)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self.bin}:{os.defpath}", "XDG_CACHE_HOME": str(self.cache), **variables}
        return subprocess.run([self.linked, *arguments], env=environment, capture_output=True, text=True, check=False)

    def called(self, word: str) -> list[str]:
        return [line for line in self.calls.read_text().splitlines() if word in line]


@pytest.fixture
def plugin(tmp_path: Path, archive: bytes) -> Plugin:
    return Plugin(tmp_path, archive)


def test_the_manifest_describes_the_archive(archive: bytes) -> None:
    address = "https://downloads.test/kubectl-defender_devops-0.2.0-rc.1.tar.gz"
    manifest = yaml.safe_load(krew.plugin_manifest({"home": "https://home.test"}, VERSION, archive, address))
    (platform,) = manifest["spec"]["platforms"]
    assert (manifest["spec"]["version"], platform["uri"], platform["sha256"]) == (
        "v0.2.0-rc.1",
        address,
        sha256(archive),
    )
    assert platform["bin"] in read_tar_gz(archive)
    # The rules of krew-index: at most 50 characters, no full stop.
    assert len(manifest["spec"]["shortDescription"]) <= 50
    assert not manifest["spec"]["shortDescription"].endswith(".")


def test_every_dependency_is_pinned_by_hash(archive: bytes) -> None:
    lines = read_tar_gz(archive)["requirements.txt"].content.decode().replace("\\\n", "").splitlines()
    requirements = [line for line in lines if line and not line.startswith(("#", " "))]
    assert len(requirements) > 20
    assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []
    assert "LICENSE" in read_tar_gz(archive)


def test_the_first_start_installs_and_the_next_one_does_not(plugin: Plugin) -> None:
    plugin.install_python()
    first, second = plugin.run("status"), plugin.run("status")
    assert (first.returncode, first.stdout, second.stdout) == (0, "started: status\n", "started: status\n")
    assert "installing the packages of version 0.2.0-rc.1" in first.stderr
    assert second.stderr == ""
    (locked, own) = plugin.called("-m pip")
    assert "--require-hashes --only-binary :all:" in locked
    assert "--no-deps --no-index" in own
    assert [path.name for path in (plugin.cache / "defender-devops").iterdir()] == [
        path.name for path in (plugin.cache / "defender-devops").glob("0.2.0-rc.1-????????????")
    ]


def test_a_failed_installation_leaves_nothing_and_is_repeated(plugin: Plugin) -> None:
    plugin.install_python(pip="echo 'hashes do not match' >&2; exit 1")
    failed = plugin.run("status")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "hashes do not match" in failed.stderr
    assert "PIP_INDEX_URL" in failed.stderr
    assert list((plugin.cache / "defender-devops").iterdir()) == []
    plugin.install_python()
    assert plugin.run("status").stdout == "started: status\n"


def test_an_installation_that_another_start_has_finished_is_used(plugin: Plugin) -> None:
    environment = f"{plugin.cache}/defender-devops"
    finish = f'for path in {environment}/*.??????; do cp -r "$path" "${{path%.*}}" 2>/dev/null; done; true'
    plugin.install_python(pip=finish)
    assert plugin.run("status").stdout == "started: status\n"
    assert len(list((plugin.cache / "defender-devops").iterdir())) == 1


def test_a_python_that_is_too_old_or_missing_is_named(plugin: Plugin) -> None:
    write_program(plugin.bin, "python3", "exit 1")
    for variables in ({}, {"DEFENDER_DEVOPS_PYTHON": "/nowhere/python"}):
        result = plugin.run("status", **variables)
        assert result.returncode == 1
        assert "Python 3.11 or newer with venv is required" in result.stderr
        assert variables.get("DEFENDER_DEVOPS_PYTHON", "python3") in result.stderr
