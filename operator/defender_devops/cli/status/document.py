"""Connectors with their organizations as one document, for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["document"]

Body = Mapping[str, Any]


def document(connectors: Iterable[Body], organizations: Iterable[Body]) -> dict[str, Any]:
    """Each connector's own fields, with its organizations below it; fields are those of the resources."""
    rest = list(organizations)
    found = []
    for body in sorted(connectors, key=_key):
        own = [each for each in rest if _connector_of(each) == _key(body)]
        rest = [each for each in rest if _connector_of(each) != _key(body)]
        found.append({**_plain(body), "organizations": [_plain(each) for each in sorted(own, key=_key)]})
    return {"connectors": found, "organizationsWithoutConnector": [_plain(each) for each in sorted(rest, key=_key)]}


def _plain(body: Body) -> dict[str, Any]:
    """A body without what only the API server has a use for."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {"metadata": metadata, "spec": body.get("spec") or {}, "status": body.get("status") or {}}


def _key(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"]


def _connector_of(body: Body) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"]
