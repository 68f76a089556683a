"""The image's bill of materials lists the installed packages with their sources in the lock file, and no others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart.helm import ROOT

SCRIPT = ROOT / "deploy/image/sbom.py"
PROJECT = "defender-devops-operator"
LOCKED: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "serialNumber": "urn:uuid:00000000-0000-4000-8000-000000000000",
    "metadata": {
        "timestamp": "2026-11-24T08:27:52Z",
        "component": {"type": "library", "bom-ref": "operator-1", "name": PROJECT, "version": "0.1.0"},
    },
    "components": [
        {"type": "library", "bom-ref": name, "name": name, "version": "1.0", "purl": f"pkg:pypi/{name}@1.0"}
        for name in ("httpx", "jaraco-text", "only-on-windows")
    ],
    "dependencies": [
        {"ref": "operator-1", "dependsOn": ["httpx", "only-on-windows"]},
        {"ref": "httpx", "dependsOn": ["jaraco-text"]},
        {"ref": "jaraco-text"},
        {"ref": "only-on-windows"},
    ],
}


class Installation:
    """A Python with only the distributions that a test installs."""

    def __init__(self, folder: Path) -> None:
        self._packages, self._path = folder / "packages", folder / "bin"
        self._packages.mkdir()
        self._path.mkdir()

    def install(self, *names: str) -> None:
        for name in names:
            info = self._packages / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")

    def run(self, locked: dict[str, Any] = LOCKED) -> subprocess.CompletedProcess[str]:
        # -S: without this interpreter's own packages.
        command = [sys.executable, "-B", "-S", str(SCRIPT)]
        environment = {**os.environ, "PYTHONPATH": str(self._packages), "PATH": str(self._path)}
        return subprocess.run(
            command, input=json.dumps(locked), env=environment, capture_output=True, text=True, check=False
        )

    def bill(self, locked: dict[str, Any] = LOCKED) -> dict[str, Any]:
        result = self.run(locked)
        assert (result.returncode, result.stderr) == (0, "")
        bill: dict[str, Any] = json.loads(result.stdout)
        return bill

    def has_packages(self, *lines: str) -> None:
        """Make dpkg-query list these packages, with tabs between the fields."""
        script = self._path / "dpkg-query"
        script.write_text("#!/bin/sh\n/bin/cat <<'END'\n" + "\n".join(lines) + "\nEND\n")
        script.chmod(0o755)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path)
    installation.install(PROJECT, "httpx", "jaraco.text")
    return installation


def test_only_installed_packages_and_their_edges_are_listed(installation: Installation) -> None:
    bill = installation.bill()
    assert [component["name"] for component in bill["components"]] == ["httpx", "jaraco-text", "cpython"]
    assert bill["metadata"]["component"]["name"] == PROJECT
    assert bill["dependencies"] == [
        {"ref": "operator-1", "dependsOn": ["httpx"]},
        {"ref": "httpx", "dependsOn": ["jaraco-text"]},
        {"ref": "jaraco-text"},
    ]


def test_a_package_outside_the_lock_file_is_an_error(installation: Installation) -> None:
    installation.install("smuggled")
    result = installation.run()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "installed, but not by uv.lock: smuggled\n"


def test_packages_of_the_base_have_the_purl_that_scanners_expect(installation: Installation) -> None:
    installation.has_packages("libssl3\t3.0.15-1~deb12u1\tamd64\topenssl", "login\t1:4.13+dfsg1-1\tamd64\tshadow")
    ssl, login = installation.bill()["components"][-2:]
    assert ssl["purl"] == "pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64"
    assert ssl["properties"] == [{"name": "debian:source", "value": "openssl"}]
    assert login["purl"] == "pkg:deb/debian/login@1%3A4.13%2Bdfsg1-1?arch=amd64"


def test_two_builds_are_equal_and_other_content_has_another_serial_number(installation: Installation) -> None:
    again = {**LOCKED, "serialNumber": "urn:uuid:another", "metadata": {**LOCKED["metadata"], "timestamp": "later"}}
    first = installation.bill()
    assert installation.bill(again) == first
    installation.has_packages("libssl3\t3.0.15\tamd64\topenssl")
    assert installation.bill()["serialNumber"] != first["serialNumber"]


def test_it_reads_the_export_of_uv(installation: Installation) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv is not None
    export = [uv, "export", "--quiet", "--frozen", "--no-default-groups", "--format", "cyclonedx1.5"]
    locked = json.loads(subprocess.run(export, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    installation.install("kopf", "pydantic")
    locked["components"].append({"name": "jaraco-text", "bom-ref": "jaraco-text"})
    components = {component["name"]: component for component in installation.bill(locked)["components"]}
    assert components.keys() == {"httpx", "jaraco-text", "kopf", "pydantic", "cpython"}
    assert components["kopf"]["purl"].startswith("pkg:pypi/kopf@1.")
    assert components["kopf"]["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256"
