"""The local registry keeps what is pushed and refuses what its digest does not describe, as a real one does."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deploy.release.archives import sha256
from deploy.release.registry import Registry, serve

BLOB = b"content"
DIGEST = f"sha256:{sha256(BLOB)}"
MANIFEST = b'{"schemaVersion": 2}'
MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serve() as registry:
        yield registry


@pytest.fixture
def client(registry: Registry) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{registry.address}", trust_env=False) as client:
        yield client


def begin(client: httpx.Client) -> str:
    answer = client.post("/v2/a/b/blobs/uploads/")
    assert answer.status_code == 202
    return str(answer.headers["location"])


def test_a_blob_is_pushed_in_one_request(client: httpx.Client) -> None:
    answer = client.put(begin(client), params={"digest": DIGEST}, content=BLOB)
    assert (answer.status_code, answer.headers["docker-content-digest"]) == (201, DIGEST)
    assert client.get(answer.headers["location"]).content == BLOB


def test_a_blob_is_pushed_in_parts(client: httpx.Client) -> None:
    location = begin(client)
    assert client.patch(location, content=iter([BLOB[:2], BLOB[2:4]])).headers["range"] == "0-3"
    assert client.put(location, params={"digest": DIGEST}, content=BLOB[4:]).status_code == 201
    assert client.head(f"/v2/a/b/blobs/{DIGEST}").headers["content-length"] == str(len(BLOB))


def test_a_blob_is_pushed_with_its_first_request(client: httpx.Client) -> None:
    assert client.post("/v2/a/b/blobs/uploads/", params={"digest": DIGEST}, content=BLOB).status_code == 201
    assert client.get(f"/v2/a/b/blobs/{DIGEST}").content == BLOB


def test_a_wrong_digest_is_refused(client: httpx.Client) -> None:
    answer = client.put(begin(client), params={"digest": DIGEST}, content=b"another")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    assert client.get(f"/v2/a/b/blobs/{DIGEST}").status_code == 404
    assert client.put(f"/v2/a/b/manifests/{DIGEST}", content=MANIFEST).status_code == 400


def test_a_manifest_has_a_tag_and_a_digest(client: httpx.Client, registry: Registry) -> None:
    client.put("/v2/a/b/manifests/1.0", content=MANIFEST, headers={"Content-Type": MEDIA_TYPE})
    digest = registry.digest("a/b", "1.0")
    for reference in ("1.0", digest):
        answer = client.get(f"/v2/a/b/manifests/{reference}")
        assert (answer.content, answer.headers["content-type"]) == (MANIFEST, MEDIA_TYPE)
        assert answer.headers["docker-content-digest"] == digest
    assert client.get("/v2/a/b/tags/list").json() == {"name": "a/b", "tags": ["1.0"]}
    assert registry.digest("a/b", "2.0") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/a/b/manifests/1.0"),
        ("GET", "/elsewhere"),
        ("POST", "/v2/a/b/manifests/1.0"),
        ("PATCH", "/v2/a/b/blobs/uploads/1234"),
        ("PUT", "/v2/a/b/blobs/uploads/1234"),
    ],
)
def test_what_is_unknown_is_not_there(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path, content=b"").status_code == 404


def test_repositories_are_separate(client: httpx.Client) -> None:
    client.post("/v2/a/b/blobs/uploads/", params={"digest": DIGEST}, content=BLOB)
    assert client.get(f"/v2/a/c/blobs/{DIGEST}").status_code == 404
