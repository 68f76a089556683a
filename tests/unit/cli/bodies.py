"""Bodies of the two resources as the API server returns them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Body = dict[str, Any]


def condition(kind: str, status: str = "True", reason: str = "", message: str = "", *, minutes: int = 180) -> Body:
    """Return a condition that has had its status for so many minutes."""
    return {
        "type": kind,
        "status": status,
        "reason": reason or kind,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": (NOW - timedelta(minutes=minutes)).isoformat(),
    }


def connector(*conditions: Body, name: str = "contoso", spec: Body | None = None, **status: Any) -> Body:  # noqa: ANN401 - JSON
    """Return a connector that the operator has reconciled."""
    return {
        "metadata": {"name": name, "namespace": "security", "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "azure": {"location": "westeurope"},
            "organizations": {"mode": "AllAndFuture"},
            **(spec or {}),
        },
        "status": {"observedGeneration": 1, "conditions": list(conditions), **status},
    }


def organization(organization: str, *conditions: Body, to: str = "contoso", **status: Any) -> Body:  # noqa: ANN401 - JSON
    """Return a generated organization; without conditions it is onboarded and ready."""
    all_conditions = list(conditions) or [condition("Ready", reason="Onboarded")]
    return {
        "metadata": {
            "name": f"{to}-{organization}",
            "namespace": "security",
            "generation": 1,
            "labels": {"defender-devops.io/generated": "true"},
        },
        "spec": {"connectorRef": {"name": to}, "organization": organization},
        "status": {"observedGeneration": 1, "conditions": all_conditions, **status},
    }


def discovery(projects: tuple[int, int | None], repositories: tuple[int, int | None], **more: Any) -> Body:  # noqa: ANN401 - JSON
    """`status.discovery`."""
    return {"projects": _progress(*projects), "repositories": _progress(*repositories), **more}


def _progress(discovered: int, expected: int | None) -> Body:
    return {"discovered": discovered} | ({"expected": expected} if expected is not None else {})
