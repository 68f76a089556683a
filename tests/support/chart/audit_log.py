"""The requests of one account in the API server's audit log, each with the right that it needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.chart.rbac import Right

__all__ = ["Request", "requests", "write_policy"]


@dataclass(frozen=True)
class Request:
    """One line of the audit log.

    Attributes:
        right: verb and resource.
        namespace: of the object; empty for cluster-scoped objects and for all namespaces.
        name: of the object; empty for a list.
        status: HTTP status of the response.
    """

    right: Right
    namespace: str
    name: str
    status: int

    def __str__(self) -> str:
        """As in `get secrets security/contoso: 403`."""
        return f"{self.right} {self.namespace}/{self.name}: {self.status}"

    @classmethod
    def of(cls, event: dict[str, object]) -> Request | None:
        """Return the request of an audit event; None where it is not for a resource."""
        ref, answer = event.get("objectRef"), event.get("responseStatus")
        if not isinstance(ref, dict) or not isinstance(answer, dict):
            return None
        resource = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
        right = Right(str(event["verb"]), ref.get("apiGroup", ""), resource)
        return cls(right, ref.get("namespace", ""), ref.get("name", ""), int(answer["code"]))


def write_policy(file: Path, *users: str) -> Path:
    """Write an audit policy that records each request of these users once, with its response."""
    rules = [{"level": "Metadata", "users": [*users]}, {"level": "None"}]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    file.write_text(yaml.safe_dump(policy))
    return file


def requests(log: Path) -> list[Request]:
    """Return all requests for resources in a log."""
    events = (json.loads(line) for line in log.read_text().splitlines())
    return [request for event in events if (request := Request.of(event))]
