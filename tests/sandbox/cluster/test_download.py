"""Released binaries, from a web server in place of the projects' release pages."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from sandbox.cluster import download as module
from sandbox.cluster.download import Sources, download
from sandbox.cluster.programs import PROGRAMS, architecture, operating_system

KIND = f"{operating_system()}-{architecture()}"
VERSION = PROGRAMS["kubectl"].module.version
HELM = PROGRAMS["helm"].module.version
MINOR = VERSION.rpartition(".")[0]


class ReleasePages(ThreadingHTTPServer):
    """Serves `pages` by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sources = Sources(envtest=f"{self.url}/index.yaml", kubernetes=f"{self.url}/k8s", helm=f"{self.url}/helm")
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []

    def envtest(self, version: str, programs: tuple[str, ...] = ("etcd", "kube-apiserver", "kubectl")) -> None:
        """Release an archive of envtest."""
        archive = tar({f"controller-tools/envtest/{name}": f"{name} {version}" for name in programs})
        name = f"envtest-v{version}-{KIND}.tar.gz"
        self.pages[f"/{name}"] = archive
        index = yaml.safe_load(self.pages.get("/index.yaml", b"releases: {}"))
        entry = {"hash": hashlib.sha512(archive).hexdigest(), "selfLink": f"{self.url}/{name}"}
        index["releases"][f"v{version}"] = {name: entry}
        self.pages["/index.yaml"] = yaml.safe_dump(index).encode()

    def checked(self, path: str, content: bytes, suffix: str) -> None:
        """Publish a file with its SHA-256 beside it."""
        self.pages[path] = content
        self.pages[path + suffix] = f"{hashlib.sha256(content).hexdigest()}  {Path(path).name}\n".encode()


class _Handler(BaseHTTPRequestHandler):
    server: ReleasePages

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(page or b"")))
        self.end_headers()
        self.wfile.write(page or b"")

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def tar(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleasePages]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ReleasePages() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def got(name: str) -> str | None:
    cached = PROGRAMS[name].cached
    return cached.read_text() if cached.exists() else None


def test_all_programs_come_from_their_own_projects_and_can_be_run(pages: ReleasePages) -> None:
    pages.envtest(VERSION)
    kind = KIND.replace("-", "/")
    pages.checked(f"/k8s/v{VERSION}/bin/{kind}/kube-controller-manager", b"controllers", ".sha256")
    pages.checked(f"/helm/helm-v{HELM}-{KIND}.tar.gz", tar({f"{KIND}/helm": "helm itself"}), ".sha256sum")
    assert download(PROGRAMS.values(), pages.sources) == []
    assert [got(name) for name in PROGRAMS] == [
        f"etcd {VERSION}",
        f"kube-apiserver {VERSION}",
        "controllers",
        f"kubectl {VERSION}",
        "helm itself",
    ]
    assert all(program.cached.stat().st_mode & 0o111 for program in PROGRAMS.values())
    assert pages.asked.count(f"/envtest-v{VERSION}-{KIND}.tar.gz") == 1


@pytest.mark.parametrize(
    ("releases", "version"),
    [
        ([f"{MINOR}.0", VERSION], VERSION),
        ([f"{MINOR}.0", f"{MINOR}.1", "1.36.9"], f"{MINOR}.1"),
        (["1.36.9"], None),
    ],
)
def test_envtest_gives_our_version_or_the_newest_of_its_minor(
    pages: ReleasePages, releases: list[str], version: str | None
) -> None:
    for release in releases:
        pages.envtest(release)
    refused = download([PROGRAMS["etcd"]], pages.sources)
    assert got("etcd") == (version and f"etcd {version}")
    assert refused == ([] if version else [PROGRAMS["etcd"]])


def test_a_wrong_checksum_is_refused_and_named(pages: ReleasePages, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"/helm/helm-v{HELM}-{KIND}.tar.gz"
    pages.checked(path, tar({f"{KIND}/helm": "helm itself"}), ".sha256sum")
    pages.pages[path] = tar({f"{KIND}/helm": "something else"})
    assert download([PROGRAMS["helm"]], pages.sources) == [PROGRAMS["helm"]]
    assert got("helm") is None
    assert "its project publishes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "break_", ["archive", "member", "index"], ids=["no such archive", "no such file in it", "an index of other shape"]
)
def test_a_changed_release_page_is_an_error_message_not_a_crash(pages: ReleasePages, break_: str) -> None:
    pages.envtest(VERSION, programs=("kubectl",))
    if break_ == "archive":
        del pages.pages[f"/envtest-v{VERSION}-{KIND}.tar.gz"]
    if break_ == "index":
        pages.pages["/index.yaml"] = b"<html>moved</html>"
    assert download([PROGRAMS["etcd"]], pages.sources) == [PROGRAMS["etcd"]]


def test_a_name_server_that_never_answers_costs_seconds_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups, released = [], threading.Event()

    def hang(*args: object, **_: object) -> None:
        lookups.append(args[0])
        released.wait(60)
        raise socket.gaierror

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(module, "_REFUSAL_SECONDS", 0.2)
    programs = [PROGRAMS["etcd"], PROGRAMS["kube-apiserver"], PROGRAMS["kubectl"]]
    started = time.monotonic()
    try:
        assert download(programs, Sources(envtest="https://releases.example/index.yaml")) == programs
    finally:
        released.set()
    assert time.monotonic() - started < 5
    assert len(lookups) == 1
