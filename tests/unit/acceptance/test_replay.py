"""A recording answers as the tenant did: the kit that is run on it again comes to the same result."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from acceptance.command import PUBLIC_ADDRESSES, all_probes
from acceptance.recording.writing import write_recording
from acceptance.tenant_file import TenantFile
from sandbox.cloud.clock import Clock
from sandbox.cloud.entra.tokens import AccessToken
from sandbox.cloud.journal import Filter
from sandbox.cloud.replay.fixtures import RecordingError, read_recording
from sandbox.cloud.replay.simulation import REPLAY_CLIENT_ID, ReplayedCloud
from sandbox.cloud.transport.message import Request
from sandbox.cloud.world.directory import Principal
from tests.support.tenant_in_memory import ADDRESSES, TenantInMemory, run_kit


class ReplayTokens:
    """Tokens of the replayed cloud."""

    def __init__(self, cloud: ReplayedCloud, tenant: str) -> None:
        self._cloud, self._tenant = cloud, tenant

    async def token(self, audience: str) -> str:
        wall = self._cloud.clock.wall()
        principal = Principal("replay", self._tenant, "replay", REPLAY_CLIENT_ID)
        resource = "arm" if audience == "arm" else "devops"
        return self._cloud.entra.access_tokens.issue(AccessToken(principal, resource, wall, wall + 3600, frozenset()))

    async def close(self) -> None:
        """Nothing is open."""


async def test_the_kit_observes_the_same_on_its_own_recording(tenant: TenantInMemory, tmp_path: Path) -> None:
    first = await tenant.run()
    write_recording(tmp_path, tenant.file(), first.report.exchanges, first.report.redactor, PUBLIC_ADDRESSES)
    recording = read_recording(tmp_path)
    clock = Clock(0)
    cloud = ReplayedCloud(recording, clock)
    cloud.set_addresses(dict(ADDRESSES))

    async def handle(request: httpx.Request) -> httpx.Response:
        service = next(name for name, address in ADDRESSES.items() if address == f"https://{request.url.host}")
        incoming = Request(
            service,
            ADDRESSES[service],
            request.method,
            request.url.path,
            dict(request.url.params),
            request.headers,
            request.content,
        )
        reply = await cloud.pipeline.process(cloud.services[service], incoming)
        assert reply is not None
        return httpx.Response(reply.status, headers=reply.headers, content=reply.body)

    pseudonyms = first.report.redactor
    document = tenant.file().model_dump(by_alias=True, exclude_none=True, mode="json")
    replayed_file = TenantFile.model_validate(pseudonyms_of(pseudonyms, document))
    second = await run_kit(
        replayed_file,
        httpx.MockTransport(handle),
        ReplayTokens(cloud, recording.summary.tenant),
        tenant.clock(),
        expendable=None,
        probes=all_probes(write=False),
    )
    assert [entry.path for entry in cloud.journal.select(Filter(), 10_000) if entry.operation == "NotRecorded"] == []
    observed = {row.key: row.observed for row in second.rows}
    assert observed == {row.key: row.observed for row in first.rows}


def pseudonyms_of(redactor: object, document: object) -> object:
    """Return the tenant file with pseudonyms; times stay."""
    if isinstance(document, dict):
        return {name: value if name == "since" else pseudonyms_of(redactor, value) for name, value in document.items()}
    return redactor.evidence(document) if isinstance(document, str) else document  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "cannot be read"),
        ({"recording.json": "{}"}, "is no part of a recording: format: Field required"),
        ({"recording.json": "<html>"}, "is no part of a recording"),
    ],
)
def test_a_folder_that_is_no_recording_is_explained(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(RecordingError, match=complaint):
        read_recording(tmp_path)
