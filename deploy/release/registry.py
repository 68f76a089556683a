"""A registry of OCI artifacts on this machine, for the rehearsal of a release.

It has the parts of the distribution specification (opencontainers/distribution-spec 1.1) that pushing and pulling need.
Content is kept in memory, and a digest that is not that of its content is refused.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from deploy.release.archives import sha256

__all__ = ["Registry", "serve"]

_NAME = r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
_MANIFEST = re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[\w.:+-]+)")
_BLOB = re.compile(rf"/v2/{_NAME}/blobs/(?P<digest>sha256:[0-9a-f]{{64}})")
_UPLOAD = re.compile(rf"/v2/{_NAME}/blobs/uploads/(?P<session>[0-9a-f-]*)")
_TAGS = re.compile(rf"/v2/{_NAME}/tags/list")
_BINARY = "application/octet-stream"


class Registry(ThreadingHTTPServer):
    """The server with its content.

    Attributes:
        manifests: media type and content by repository and by tag or digest.
        blobs: content by repository and digest.
        uploads: content that was received so far, by session.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    def digest(self, name: str, tag: str) -> str | None:
        """Return the digest of the manifest that a tag names; None if there is no such tag."""
        manifest = self.manifests.get((name, tag))
        return f"sha256:{sha256(manifest[1])}" if manifest else None


@contextmanager
def serve() -> Iterator[Registry]:
    """Serve an empty registry on a free port of the loopback interface."""
    with Registry() as registry:
        thread = threading.Thread(target=registry.serve_forever, kwargs={"poll_interval": 0.05}, name="registry")
        thread.start()
        try:
            yield registry
        finally:
            registry.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/v2/":
            self._answer(HTTPStatus.OK, b"{}", "application/json")
        elif match := _MANIFEST.fullmatch(path):
            manifest = self.server.manifests.get((match["name"], match["reference"]))
            self._content(manifest, "MANIFEST_UNKNOWN")
        elif match := _BLOB.fullmatch(path):
            blob = self.server.blobs.get((match["name"], match["digest"]))
            self._content(None if blob is None else (_BINARY, blob), "BLOB_UNKNOWN")
        elif match := _TAGS.fullmatch(path):
            tags = [tag for name, tag in self.server.manifests if name == match["name"] and ":" not in tag]
            body = json.dumps({"name": match["name"], "tags": sorted(tags)}).encode()
            self._answer(HTTPStatus.OK, body, "application/json")
        else:
            self._error(HTTPStatus.NOT_FOUND, "UNSUPPORTED")

    do_HEAD = do_GET  # noqa: N815 - the name of the base class

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        match = _UPLOAD.fullmatch(url.path if url.path.endswith("/") else f"{url.path}/")
        if match is None:
            self._error(HTTPStatus.NOT_FOUND, "UNSUPPORTED")
            return
        session = str(uuid.uuid4())
        self.server.uploads[session] = self._body()
        if digest := parse_qs(url.query).get("digest"):
            self._finish_upload(match["name"], session, digest[0])
        else:
            self._accept_upload(match["name"], session)

    def do_PATCH(self) -> None:
        match = _UPLOAD.fullmatch(urlsplit(self.path).path)
        body = self._body()
        if match is None or match["session"] not in self.server.uploads:
            self._error(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")
            return
        self.server.uploads[match["session"]] += body
        self._accept_upload(match["name"], match["session"])

    def do_PUT(self) -> None:
        url = urlsplit(self.path)
        body = self._body()
        if match := _MANIFEST.fullmatch(url.path):
            self._put_manifest(match["name"], match["reference"], body)
        elif (match := _UPLOAD.fullmatch(url.path)) and match["session"] in self.server.uploads:
            self.server.uploads[match["session"]] += body
            self._finish_upload(match["name"], match["session"], parse_qs(url.query).get("digest", [""])[0])
        else:
            self._error(HTTPStatus.NOT_FOUND, "BLOB_UPLOAD_UNKNOWN")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Write no line for each request."""

    def _put_manifest(self, name: str, reference: str, body: bytes) -> None:
        digest = f"sha256:{sha256(body)}"
        if ":" in reference and reference != digest:
            self._error(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
            return
        manifest = (self.headers.get("Content-Type", _BINARY), body)
        self.server.manifests[name, reference] = self.server.manifests[name, digest] = manifest
        self._created(f"/v2/{name}/manifests/{digest}", digest)

    def _accept_upload(self, name: str, session: str) -> None:
        end = max(len(self.server.uploads[session]) - 1, 0)
        headers = {"Location": f"/v2/{name}/blobs/uploads/{session}", "Range": f"0-{end}"}
        self._answer(HTTPStatus.ACCEPTED, b"", _BINARY, headers)

    def _finish_upload(self, name: str, session: str, digest: str) -> None:
        content = self.server.uploads.pop(session)
        if digest != f"sha256:{sha256(content)}":
            self._error(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
            return
        self.server.blobs[name, digest] = content
        self._created(f"/v2/{name}/blobs/{digest}", digest)

    def _created(self, location: str, digest: str) -> None:
        headers = {"Location": location, "Docker-Content-Digest": digest}
        self._answer(HTTPStatus.CREATED, b"", _BINARY, headers)

    def _content(self, content: tuple[str, bytes] | None, error_code: str) -> None:
        if content is None:
            self._error(HTTPStatus.NOT_FOUND, error_code)
        else:
            headers = {"Docker-Content-Digest": f"sha256:{sha256(content[1])}"}
            self._answer(HTTPStatus.OK, content[1], content[0], headers)

    def _error(self, status: HTTPStatus, code: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": self.path}]}).encode()
        self._answer(status, body, "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        """Return the body of the request, sent whole or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)
