"""The plugin of kubectl as krew installs it: an archive for every platform that has Python, and its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.release.archives import Member, sha256, tar_gz
from deploy.release.programs import uv
from deploy.release.version import Version

__all__ = ["PLUGIN", "plugin_archive", "plugin_manifest"]

PLUGIN = "defender-devops"
"""Name in krew's index; krew links it as kubectl-defender_devops."""

_LAUNCHER = "kubectl-defender_devops"
_DESCRIPTION = """\
Shows the status of AzureDevOpsConnectors, what Defender for Cloud found in their Azure DevOps
organizations and which repositories are scanned; plans what a manifest would change in Azure,
checks prerequisites, and writes manifests for connectors that exist in Azure.
"""
_CAVEATS = """\
Python 3.11 or newer with venv is required. The first start installs the plugin's packages from
PyPI, each checked against the hash that this archive contains; set PIP_INDEX_URL for a mirror.
"""


def plugin_archive(root: Path, wheel: Path, version: Version, epoch: int) -> bytes:
    """Return the archive: the launcher, the wheel, and its locked dependencies with the hashes of their files.

    Args:
        root: of the repository.
        wheel: the wheel of the version.
        version: the version.
        epoch: modification time of the files, in seconds since 1970.
    """
    export = (
        "export",
        "--quiet",
        "--frozen",
        "--no-default-groups",
        "--extra",
        "cli",
        "--no-emit-project",
        "--no-header",
    )
    requirements = uv(*export, "--format", "requirements-txt", cwd=root).encode()
    key = sha256(wheel.read_bytes() + requirements)[:12]
    launcher = (Path(__file__).parent / "krew-launcher.sh").read_text().replace("@VERSION@", str(version))
    members = {
        _LAUNCHER: Member(launcher.replace("@KEY@", f"{version}-{key}").encode(), is_executable=True),
        "LICENSE": Member((root / "LICENSE").read_bytes()),
        "requirements.txt": Member(requirements),
        wheel.name: Member(wheel.read_bytes()),
    }
    return tar_gz(members, epoch)


def plugin_manifest(chart: Mapping[str, Any], version: Version, archive: bytes, address: str) -> str:
    """Return the manifest for krew's index.

    Args:
        chart: Chart.yaml, for the project's home.
        version: the version.
        archive: the plugin's archive.
        address: where krew downloads the archive.
    """
    platforms = {"matchExpressions": [{"key": "os", "operator": "In", "values": ["darwin", "linux"]}]}
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": f"v{version}",
            "homepage": chart["home"],
            "shortDescription": "Azure DevOps connectors of Defender for Cloud",
            "description": _DESCRIPTION,
            "caveats": _CAVEATS,
            "platforms": [
                {"selector": platforms, "uri": address, "sha256": sha256(archive), "bin": _LAUNCHER},
            ],
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False, width=1000)
