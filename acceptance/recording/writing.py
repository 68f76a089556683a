"""Writes a recording: one file for each request with its answer, and a summary of the whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from acceptance.recording.redaction import Redactor, decoded
from acceptance.recording.vocabulary import PUBLIC_HEADERS
from acceptance.session.answer import Exchange
from acceptance.tenant_file import TenantFile
from sandbox.cloud.replay.fixtures import FORMAT, SUMMARY_FILE

__all__ = ["add_names_of_file", "redact_exchange", "write_recording"]

_TEXT_MAX: Final = 64 * 1024
"""Characters of a text, such as a log, that are recorded."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.-]+")


def add_names_of_file(redactor: Redactor, file: TenantFile) -> None:
    """Add the names that a tenant file has."""
    connectors = [file.connector, file.expendable_connector, file.connector_without_organizations]
    connectors.append(file.lost.connector if file.lost else None)
    organizations = [
        file.organization,
        file.organization_not_administered,
        file.organization_without_code_search,
    ]
    redactor.add_name("group", file.resource_group)
    for kind, names in (("connector", connectors), ("organization", organizations)):
        for name in names:
            redactor.add_name(kind, name or "")


def redact_exchange(redactor: Redactor, exchange: Exchange) -> dict[str, Any]:
    """Return the document of one exchange."""
    headers = {name: value for name, value in exchange.headers.items() if name in PUBLIC_HEADERS}
    document: dict[str, Any] = {
        "service": exchange.service,
        "method": exchange.method,
        "path": redactor.path(exchange.path),
        "query": [list(pair) for pair in redactor.query(exchange.query)],
        "accept": exchange.accept,
        "token": exchange.token,
        "suppressesRedirect": exchange.suppresses_redirect,
        "body": redactor.value(exchange.body),
        "status": exchange.status,
        "headers": {name: _header(redactor, name, value) for name, value in headers.items()},
    }
    body = decoded(exchange)
    if body is not None:
        return document | {"json": redactor.value(body)}
    text = exchange.content.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        # A page has nothing that a client reads, and its text is not the service's alone.
        return document | {"text": "<html></html>"}
    return document | {"text": redactor.text(text[:_TEXT_MAX])}


def _header(redactor: Redactor, name: str, value: str) -> str:
    if name == "x-ms-continuationtoken":
        return redactor.opaque(value)
    if name.startswith(("x-ms-ratelimit", "x-ms-user-quota", "x-ratelimit", "retry-after")):
        return value if re.fullmatch(r"[0-9:.]{1,20}|[A-Za-z]{1,20}", value) else redactor.text(value)
    return redactor.text(value)


def write_recording(
    folder: Path, file: TenantFile, exchanges: Sequence[Exchange], redactor: Redactor, hosts: Mapping[str, str]
) -> None:
    """Write a recording into a new or empty folder.

    Args:
        folder: where to.
        file: the tenant file.
        exchanges: the conversation.
        redactor: knows all names already.
        hosts: public address of each service by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, exchange in enumerate(exchanges, start=1):
        document = redact_exchange(redactor, exchange)
        last = _UNSAFE.sub("-", str(document["path"]).rpartition("/")[2])[:40].strip("-")
        name = f"{number:04}-{exchange.service}-{exchange.method.lower()}-{last or 'root'}.json"
        _write(folder / name, document)
    summary = {
        "format": FORMAT,
        "hosts": dict(hosts),
        "tenant": redactor.pseudonyms.guid(file.tenant),
        "subscription": redactor.pseudonyms.guid(file.subscription),
        "resourceGroup": redactor.evidence(file.resource_group),
        "connector": redactor.evidence(file.connector),
        "organization": redactor.evidence(file.organization),
    }
    _write(folder / SUMMARY_FILE, summary)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
