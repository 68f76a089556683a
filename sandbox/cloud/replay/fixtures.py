"""The format of a recording: one JSON file for each request with its answer, and a summary."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from sandbox.cloud.models import CamelModel

__all__ = ["FORMAT", "SUMMARY_FILE", "Fixture", "Recording", "RecordingError", "RecordingSummary", "read_recording"]

FORMAT: Final = 1
SUMMARY_FILE: Final = "recording.json"


class RecordingError(Exception):
    """A folder is no recording; the message says why."""


class Fixture(CamelModel):
    """A request with its answer.

    Attributes:
        service: `arm`, `authority`, or a host of Azure DevOps.
        path: percent-encoded.
        query: parameters in their order.
        token: `identity` for a request with a valid token, `none`, or `invalid`.
        suppresses_redirect: whether it had the header `X-TFS-FedAuthRedirect`.
        body: JSON of the request.
        answer: JSON of the answer; `text` for any other body.
    """

    service: str
    method: str
    path: str
    query: list[tuple[str, str]]
    accept: str
    token: Literal["identity", "none", "invalid"]
    suppresses_redirect: bool = False
    body: Any = None
    status: int
    headers: dict[str, str]
    answer: Any = Field(default=None, alias="json")
    text: str | None = None

    def content(self) -> bytes:
        """Return the body of the answer."""
        if self.text is not None:
            return self.text.encode()
        if self.answer is None:
            return b""
        return json.dumps(self.answer, ensure_ascii=False, separators=(",", ":")).encode()


class RecordingSummary(CamelModel):
    """What a recording is of; all names and ids are pseudonyms.

    Attributes:
        hosts: public address of each service, as the fixtures have it.
    """

    format: int
    hosts: dict[str, str]
    tenant: str
    subscription: str
    resource_group: str
    connector: str
    organization: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording in memory."""

    summary: RecordingSummary
    fixtures: list[Fixture] = field(default_factory=list)


def read_recording(folder: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: the folder is none, or has a file that is none.
    """
    file = folder / SUMMARY_FILE
    try:
        summary = RecordingSummary.model_validate_json(file.read_bytes())
        fixtures = []
        for file in sorted(folder.glob("*-*.json")):
            fixtures.append(Fixture.model_validate_json(file.read_bytes()))
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error.strerror}. Give the folder of a recording.") from None
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, detail["loc"])) or "the file"
        raise RecordingError(f"{file} is no part of a recording: {place}: {detail['msg']}.") from None
    if summary.format != FORMAT:
        raise RecordingError(f"{file} has format {summary.format}; this version reads format {FORMAT}.")
    return Recording(summary, fixtures)
