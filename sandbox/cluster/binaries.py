"""Finding a program, cheapest way first: KUBEBUILDER_ASSETS, PATH, the cache, a download, a build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.cluster.build import build
from sandbox.cluster.download import download
from sandbox.cluster.programs import PROGRAMS, BinaryError, Program, locked, say

__all__ = ["Binaries", "BinaryError", "binary", "installed", "prepared"]

_OLDEST_SERVER = (1, 33)
"""The CRDs count on the ratcheting of rules, GA in Kubernetes 1.33."""


@dataclass(frozen=True)
class Binaries:
    """The three programs of a cluster."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path

    @classmethod
    def find(cls) -> Binaries:
        """Find or make them; the ones that the machine has are used only if they fit each other.

        Raises:
            BinaryError: one can neither be found nor made.
        """
        found = cls(binary("etcd"), binary("kube-apiserver"), binary("kube-controller-manager"))
        objection = found._objection()
        if objection:
            say(f"{objection}; using those of the cache instead")
            found = cls(*(prepared(PROGRAMS[name]) for name in ("etcd", "kube-apiserver", "kube-controller-manager")))
        return found

    def _objection(self) -> str | None:
        """What is wrong with them as a set; those of the cache fit by construction, and cost no look."""
        programs = {
            self.kube_apiserver: PROGRAMS["kube-apiserver"],
            self.kube_controller_manager: PROGRAMS["kube-controller-manager"],
        }
        if all(path == program.cached for path, program in programs.items()):
            return None
        server, controllers = (_minor_version(path) for path in programs)
        if server < _OLDEST_SERVER:
            return f"{self.kube_apiserver} is older than Kubernetes {_OLDEST_SERVER[0]}.{_OLDEST_SERVER[1]}"
        if server != controllers:
            return f"{self.kube_apiserver} and {self.kube_controller_manager} are of different versions"
        return None


def binary(name: str) -> Path:
    """The program of that name: etcd, kube-apiserver, kube-controller-manager, kubectl or helm.

    Raises:
        BinaryError: it can neither be found nor made.
    """
    return installed(name) or prepared(PROGRAMS[name])


def installed(name: str) -> Path | None:
    """What the machine has by itself: in KUBEBUILDER_ASSETS (envtest's convention), else in PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = (assets and shutil.which(name, path=assets)) or shutil.which(name)
    return Path(found).absolute() if found else None


def prepared(program: Program) -> Path:
    """What the cache has; filled by a download or a build where it has nothing."""
    if program.cached.exists():
        return program.cached
    with locked(program.module.cache):
        if program.cached.exists():
            return program.cached
        return download(program) or build(program)


def _minor_version(path: Path) -> tuple[int, int]:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
