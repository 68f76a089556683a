"""Locating a program, cheapest way first: KUBEBUILDER_ASSETS, PATH, the cache, a download, a build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.cluster.build import build, estimate, format_duration
from sandbox.cluster.download import download
from sandbox.cluster.programs import PROGRAMS, BinaryError, locked_cache, log_progress

__all__ = ["Binaries", "BinaryError", "binary", "installed", "prepare"]

_OLDEST_SERVER = (1, 33)
"""The CRDs require the ratcheting of validation rules, GA in Kubernetes 1.33."""


@dataclass(frozen=True)
class Binaries:
    """The three programs of a cluster."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path

    @classmethod
    def find(cls, *tools: str) -> Binaries:
        """Find, download or build them; installed ones are used only if their versions match.

        Args:
            tools: other programs to prepare at the same time.

        Raises:
            BinaryError: one is neither installed nor can be downloaded or built.
        """
        names = ("etcd", "kube-apiserver", "kube-controller-manager")
        local = {name: path for name in (*names, *tools) if (path := installed(name))}
        cached = prepare(*(name for name in (*names, *tools) if name not in local))
        pair = names[1:]
        # kube-apiserver and kube-controller-manager have to be of the same minor version.
        if not local.keys().isdisjoint(pair) and (
            objection := _incompatibility(*(local.get(name) or cached[name] for name in pair))
        ):
            log_progress(f"{objection}; the cached programs are used instead")
            local, cached = {}, prepare(*names)
        return cls(*(local.get(name) or cached[name] for name in names))


def binary(name: str) -> Path:
    """The program of that name: etcd, kube-apiserver, kube-controller-manager, kubectl or helm.

    Raises:
        BinaryError: it is neither installed nor can be downloaded or built.
    """
    return installed(name) or prepare(name)[name]


def installed(name: str) -> Path | None:
    """Return an installed program: from KUBEBUILDER_ASSETS (envtest's convention) or PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = (assets and shutil.which(name, path=assets)) or shutil.which(name)
    return Path(path).absolute() if path else None


def prepare(*names: str) -> dict[str, Path]:
    """Return programs of the cache by name; missing ones are downloaded, or built.

    Raises:
        BinaryError: a build failed.
    """
    programs = [PROGRAMS[name] for name in names]
    if not all(program.cached.exists() for program in programs):
        with locked_cache():
            to_build = download(program for program in programs if not program.cached.exists())
            if to_build:
                count = f"{len(to_build)} program{'s' if len(to_build) > 1 else ''}"
                duration = format_duration(estimate(to_build))
                log_progress(f"building {count} from source, once for this user: about {duration} in all")
            for program in to_build:
                build(program)
    return {program.name: program.cached for program in programs}


def _incompatibility(kube_apiserver: Path, kube_controller_manager: Path) -> str | None:
    """Return why the two cannot be used (together); None if they can."""
    server, controllers = _minor_version(kube_apiserver), _minor_version(kube_controller_manager)
    if server < _OLDEST_SERVER:
        return f"{kube_apiserver} is older than Kubernetes {_OLDEST_SERVER[0]}.{_OLDEST_SERVER[1]}"
    if server != controllers:
        return f"{kube_apiserver} and {kube_controller_manager} are of different versions"
    return None


def _minor_version(path: Path) -> tuple[int, int]:
    output = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v(\d+)\.(\d+)", output)
    return (int(version[1]), int(version[2])) if version else (0, 0)
