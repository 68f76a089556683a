"""The programs that the sandbox needs, their versions and their cache."""

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

__all__ = [
    "ACTIONLINT",
    "HELM_3",
    "KSTATUS",
    "MSAL",
    "OLM_BUNDLE",
    "PROGRAMS",
    "BinaryError",
    "Module",
    "Program",
    "cache_folder",
    "locked_cache",
    "log_progress",
]

_GO_FOLDER = Path(__file__).parent / "go"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class BinaryError(RuntimeError):
    """A program is neither installed nor can be downloaded or built; the message has the attempts."""


@dataclass(frozen=True)
class Module:
    """A Go module in the folder `go`, whose go.mod pins the versions of the programs built from it."""

    name: str
    requirement: str
    """Import path of the Go module whose version is the programs' version."""

    version_variable: str
    """Go variable that the linker sets to the version."""

    @property
    def folder(self) -> Path:
        """Folder of go.mod and go.sum."""
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
        """Cache folder of the programs: one per version, platform and state of the local source."""
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
        package: import path of its main package.
        build_seconds: measured build time on two cores with nothing cached, for the estimate.
    """

    name: str
    module: Module
    package: str
    build_seconds: int

    @property
    def cached(self) -> Path:
        """Path in the cache."""
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
"""Prints the status that Flux derives from a resource. It has no releases: it is built from local source."""


HELM_3 = Program(
    "helm",
    Module("helm3", "helm.sh/helm/v3", "helm.sh/helm/v3/internal/version.version"),
    "helm.sh/helm/v3/cmd/helm",
    150,
)
"""Helm 3, which many clusters and Argo CD still use, to compare what it renders with Helm 4."""


MSAL = Program(
    "msal",
    Module("msal", "github.com/AzureAD/microsoft-authentication-library-for-go", "main.version"),
    "defender-devops.io/sandbox/msal",
    10,
)
"""Gets a token with MSAL for Go, to test the simulated Entra ID; built from local source like kstatus."""


OLM_BUNDLE = Program(
    "bundle",
    Module("bundle", "github.com/operator-framework/api", "main.version"),
    "defender-devops.io/sandbox/bundle",
    120,
)
"""Validates the bundle for OperatorHub as operator-sdk does; built from local source like kstatus."""


ACTIONLINT = Program(
    "actionlint",
    Module("actionlint", "github.com/rhysd/actionlint", "github.com/rhysd/actionlint.version"),
    "github.com/rhysd/actionlint/cmd/actionlint",
    30,
)
"""Lints the workflows of GitHub. PyPI's package of it downloads a program from elsewhere while it is installed."""


def cache_folder() -> Path:
    """Return the folder of all downloaded and built programs, outside of the checkout."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "defender-devops-sandbox"


def operating_system() -> str:
    """Return the name that Go uses."""
    return sys.platform


def architecture() -> str:
    """Return the name that Go uses."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


@contextmanager
def locked_cache() -> Iterator[None]:
    """Hold the lock of the cache; other processes wait, and find it filled afterwards."""
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
    """Print progress to standard error."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)
