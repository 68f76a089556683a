"""The programs that the sandbox needs, their versions, and where they are kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KSTATUS", "PROGRAMS", "BinaryError", "Module", "Program", "cache_folder", "locked_cache", "log_progress"]

_GO_FOLDER = Path(__file__).parent / "go"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class BinaryError(RuntimeError):
    """A program can neither be found nor made; the message says what was tried."""


@dataclass(frozen=True)
class Module:
    """A Go module of ours, beside this file, whose go.mod pins the versions of the programs built from it."""

    name: str
    requirement: str
    """Import path of the Go module whose version is the programs' version."""

    version_variable: str
    """Go variable that the linker sets to the version."""

    @property
    def folder(self) -> Path:
        """Home of go.mod and go.sum."""
        return _GO_FOLDER / self.name

    @property
    def version(self) -> str:
        """Version of the programs, without the leading v."""
        return self._from_go_mod(rf"^\s*(?:require )?{re.escape(self.requirement)}\s+v(\S+)")

    @property
    def go_version(self) -> tuple[int, ...]:
        """The oldest Go that builds it."""
        return tuple(int(part) for part in self._from_go_mod(r"^go (\S+)$").split("."))

    @property
    def cache(self) -> Path:
        """Folder of the programs: one for each version, kind of machine, and state of the source that is here."""
        source = b"".join(path.read_bytes() for path in sorted(self.folder.glob("*.go")))
        source_suffix = f"-{hashlib.sha256(source).hexdigest()[:8]}" if source else ""
        return cache_folder() / f"{self.name}-{self.version}{source_suffix}-{operating_system()}-{architecture()}"

    def _from_go_mod(self, pattern: str) -> str:
        match = re.search(pattern, (self.folder / "go.mod").read_text(), re.MULTILINE)
        if match is None:
            raise BinaryError(f"{self.folder / 'go.mod'} does not hold {pattern}")
        return match[1]


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        package: Go package of its main function.
        build_seconds: how long the build takes on two cores with nothing cached, as measured; for the estimate.
    """

    name: str
    module: Module
    package: str
    build_seconds: int

    @property
    def cached(self) -> Path:
        """Where the cache has it, or would have it."""
        return self.module.cache / self.name


_KUBERNETES = Module("kubernetes", "k8s.io/kubernetes", "k8s.io/component-base/version.gitVersion")
_HELM = Module("helm", "helm.sh/helm/v4", "helm.sh/helm/v4/internal/version.version")

PROGRAMS = {
    program.name: program
    for program in (
        Program("etcd", _KUBERNETES, "go.etcd.io/etcd/server/v3", 75),
        Program("kube-apiserver", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 440),
        Program("kube-controller-manager", _KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 155),
        Program("kubectl", _KUBERNETES, "k8s.io/kubernetes/cmd/kubectl", 90),
        Program("helm", _HELM, "helm.sh/helm/v4/cmd/helm", 175),
    )
}

KSTATUS = Program(
    "kstatus", Module("kstatus", "sigs.k8s.io/cli-utils", "main.version"), "defender-devops.io/sandbox/kstatus", 60
)
"""Says what Flux takes a resource for. Nobody releases it: it is built of the source beside its go.mod."""


def cache_folder() -> Path:
    """Home of all that was downloaded or built, outside the checkout."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "defender-devops-sandbox"


def operating_system() -> str:
    """As Go calls it."""
    return sys.platform


def architecture() -> str:
    """As Go calls it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


@contextmanager
def locked_cache() -> Iterator[None]:
    """Be the only one who fills the cache; whoever comes later waits and finds it filled."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log_progress(f"another process fills {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def log_progress(line: str) -> None:
    """Tell the person who waits."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)
