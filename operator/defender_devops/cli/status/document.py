"""Connectors with their organizations as one document for programs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["status_document"]

Body = Mapping[str, Any]


def status_document(connectors: Iterable[Body], organizations: Iterable[Body]) -> dict[str, Any]:
    """Return connectors with their organizations nested; all fields are those of the resources."""
    by_connector: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for body in sorted(organizations, key=_key):
        by_connector[body["metadata"]["namespace"], body["spec"]["connectorRef"]["name"]].append(_relevant_fields(body))
    nested = [
        {**_relevant_fields(body), "organizations": by_connector.pop(_key(body), [])}
        for body in sorted(connectors, key=_key)
    ]
    orphans = [organization for group in by_connector.values() for organization in group]
    return {"connectors": nested, "organizationsWithoutConnector": sorted(orphans, key=_key)}


def _relevant_fields(body: Body) -> dict[str, Any]:
    """Return a body without the bookkeeping of the API server."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {"metadata": metadata, "spec": body.get("spec") or {}, "status": body.get("status") or {}}


def _key(body: Body) -> tuple[str, str]:
    metadata = body["metadata"]
    return metadata["namespace"], metadata["name"]
