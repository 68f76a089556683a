"""Released binaries from their projects' own servers, if the internet is reachable.

envtest's archive (of sigs.k8s.io/controller-tools) has etcd, kube-apiserver and kubectl;
kube-controller-manager is in Kubernetes' own release. Each is checked by the checksum that its project publishes.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import httpx
import yaml
from pydantic import BaseModel

from sandbox.cluster.programs import Program, architecture, log_progress, operating_system

__all__ = ["Sources", "download"]

_REFUSAL_SECONDS = 5.0
_TIMEOUT = httpx.Timeout(15, connect=_REFUSAL_SECONDS)


@dataclass(frozen=True)
class Sources:
    """URLs of the releases."""

    envtest: str = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
    kubernetes: str = "https://dl.k8s.io/release"
    helm: str = "https://get.helm.sh"


class _Unavailable(Exception):
    """A source does not have the program; the message has the reason."""


def download(programs: Iterable[Program], sources: Sources = Sources()) -> list[Program]:
    """Download into the cache; return the programs that are not available. The caller holds the cache lock."""
    refused: list[Program] = []
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as http:
        web = _Web(http)
        for program in programs:
            try:
                _install(program, _fetch_program(program, web, sources))
            except (_Unavailable, httpx.HTTPError, tarfile.TarError, yaml.YAMLError, LookupError, ValueError) as error:
                log_progress(f"{program.name} cannot be downloaded: {error}")
                refused.append(program)
    return refused


def _install(program: Program, content: bytes) -> None:
    unfinished = program.cached.with_name(f".{program.name}.new")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.replace(program.cached)


def _fetch_program(program: Program, web: _Web, sources: Sources) -> bytes:
    kind = f"{operating_system()}-{architecture()}"
    if program.name == "helm":
        url = f"{sources.helm}/helm-v{program.module.version}-{kind}.tar.gz"
        return _member(web.checked(url, "sha256", web.text(f"{url}.sha256sum")), f"{kind}/helm")
    if program.name == "kube-controller-manager":
        url = f"{sources.kubernetes}/v{program.module.version}/bin/{kind.replace('-', '/')}/{program.name}"
        return web.checked(url, "sha256", web.text(f"{url}.sha256"))
    version, release = _envtest_release(web.text(sources.envtest), program.module.version)
    entry = release[f"envtest-{version}-{kind}.tar.gz"]
    log_progress(f"downloading {program.name} from envtest {version}")
    return _member(web.checked(entry.selfLink, "sha512", entry.hash), f"controller-tools/envtest/{program.name}")


def _envtest_release(index: str, requested: str) -> tuple[str, dict[str, _Archive]]:
    """Return the release of the version, else the newest of its minor version: envtest skips most patches."""
    releases = _Index.model_validate(yaml.safe_load(index)).releases
    minor = requested.rpartition(".")[0]
    fitting = [version for version in releases if version.rpartition(".")[0] == f"v{minor}"]
    if not fitting:
        raise _Unavailable(f"envtest has no release of {minor}")
    newest = max(fitting, key=lambda version: int(version.rpartition(".")[2]))
    version = f"v{requested}" if f"v{requested}" in releases else newest
    return version, releases[version]


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(name)
        if file is None:
            raise _Unavailable(f"the archive holds no file {name}")
        return file.read()


class _Archive(BaseModel):
    hash: str
    selfLink: str  # noqa: N815 - the index's spelling


class _Index(BaseModel):
    """envtest-releases.yaml: archives by version and file name."""

    releases: dict[str, dict[str, _Archive]]


class _Web:
    """GET requests that fail within seconds without internet access, even if the name server never responds."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._hosts: dict[str, httpx.HTTPError | None] = {}
        self._content: dict[str, httpx.Response] = {}

    def text(self, url: str) -> str:
        return self._get(url).text

    def checked(self, url: str, algorithm: str, checksum: str) -> bytes:
        """Return content whose digest is the first word of `checksum`."""
        # The checksum may be followed by the file name, as in the output of sha256sum.
        content = self._get(url).content
        expected, actual = checksum.partition(" ")[0].strip(), hashlib.new(algorithm, content).hexdigest()
        if actual != expected:
            raise _Unavailable(f"{url} has the {algorithm} {actual}, its project publishes {expected}")
        return content

    def _get(self, url: str) -> httpx.Response:
        host = httpx.URL(url).host
        if host not in self._hosts:
            self._hosts[host] = self._reach(url)
        if error := self._hosts[host]:
            raise error
        if url not in self._content:  # one archive holds several programs
            self._content[url] = self._http.get(url).raise_for_status()
        return self._content[url]

    def _reach(self, url: str) -> httpx.HTTPError | None:
        """Request the headers in a daemon thread, because name resolution has no timeout."""
        outcome: list[httpx.HTTPError | None] = []

        def ask() -> None:
            try:
                self._http.head(url)
                outcome.append(None)
            except httpx.HTTPError as error:
                outcome.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(_REFUSAL_SECONDS)
        silent = httpx.ConnectTimeout(f"{httpx.URL(url).host} does not answer within {_REFUSAL_SECONDS:.0f} s")
        return outcome[0] if outcome else silent
