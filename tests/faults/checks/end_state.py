"""What there is in the end, in Azure and in the cluster, as far as it may not depend on the way there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from defender_devops.api.names import FINALIZER, LABEL_GENERATED, OWNER_TAGS
from sandbox.cluster.client import Manifest
from tests.faults.plans.plan import DesiredState
from tests.faults.stack.lane import Lane
from tests.support.scenarios.scenario import KIND, ORGANIZATION

__all__ = ["EndState", "differences", "is_reported", "read_end_state"]

EndState = dict[str, Any]

_OF_TIME: Final = frozenset({"Discovered", "PostureAvailable", "Reconciling"})
"""Conditions that follow discovery, which does not begin anew with each plan's last step."""


def read_end_state(lane: Lane, desired: DesiredState) -> EndState:
    """Return the state of Azure and of the cluster.

    What the desired state does not manage stays as an earlier one left it, and is not part of the result.
    """
    spec = desired.spec or {}
    connectors = lane.control.world()["connectors"]
    azure = next((connector for connector in connectors if connector["id"].endswith("/contoso")), None)
    resource = lane.kube.get(KIND, "contoso", lane.namespace)
    organizations = lane.kube.list_all(ORGANIZATION, lane.namespace)
    onboarded = sorted(azure["configuration"]["organizations"]) if azure and azure["configuration"] else []
    state: EndState = {
        "connectors": len(connectors),
        "tags": _own_tags(azure["tags"]) if azure else {},
        "owned": bool(azure and azure["tags"].keys() >= OWNER_TAGS),
        "onboarded": onboarded,
        "readers": sorted(lane.azure_user.readers()),
        "connector": None if resource is None else _reported(resource),
        "finalizers": [] if resource is None else resource["metadata"].get("finalizers", []),
        "recorded": None if resource is None else _recorded(resource),
        "organizations": {body["metadata"]["name"]: _reported(body) | _origin(body) for body in organizations},
    }
    if spec.get("pullRequestAnnotations"):
        state["annotations"] = {name: lane.azure_user.severity(name) for name in onboarded}
    if spec.get("agentlessScanning") and azure and azure["configuration"]:
        state["agentless"] = _agentless(lane, spec["agentlessScanning"])
    return state


def is_reported(lane: Lane) -> bool:
    """Whether every status describes the newest spec, and no reconcile is announced."""
    bodies = [
        *lane.kube.list_all(KIND, lane.namespace),
        *lane.kube.list_all(ORGANIZATION, lane.namespace),
    ]
    return all(
        body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"]
        and not body["metadata"].get("deletionTimestamp")
        and not any(
            entry["type"] == "Reconciling" and entry["status"] == "True"
            for entry in body["status"].get("conditions", [])
        )
        for body in bodies
    )


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> str:
    """Return what differs, one difference in a line."""
    return "\n".join(_differences("", expected, actual))


def _differences(path: str, expected: object, actual: object) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name in sorted({*expected, *actual}):
            yield from _differences(f"{path}.{name}".lstrip("."), expected.get(name), actual.get(name))
    elif expected != actual:
        yield f"{path}: {json.dumps(actual)} instead of {json.dumps(expected)}"


def _own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in tags.items() if name not in OWNER_TAGS}


def _reported(body: Manifest) -> dict[str, Any]:
    """Return the conditions with status, reason, and whether they describe the newest spec."""
    status, generation = body.get("status", {}), body["metadata"]["generation"]
    conditions = {
        entry["type"]: f"{entry['status']} {entry['reason']}"
        + ("" if entry.get("observedGeneration") == generation else " of an older spec")
        for entry in status.get("conditions", [])
        if entry["type"] not in _OF_TIME
    }
    return {"conditions": conditions, "behind": generation - status.get("observedGeneration", -1)}


def _origin(body: Manifest) -> dict[str, Any]:
    labels = body["metadata"].get("labels", {})
    return {
        "generated": labels.get(LABEL_GENERATED) == "true",
        "owned": bool(body["metadata"].get("ownerReferences")),
        "finalized": FINALIZER in body["metadata"].get("finalizers", []),
    }


def _recorded(resource: Manifest) -> dict[str, Any]:
    """Return what the status knows of the operator's own writes."""
    azure = resource.get("status", {}).get("azure") or {}
    return {
        "tags": sorted({*azure.get("managedTagKeys", [])} - OWNER_TAGS),
        "mode": azure.get("organizationsMode"),
        # Azure returns the ids of principals in lower case, and the spec may have them in any.
        "readers": sorted(reader.lower() for reader in azure.get("securityReaders", [])),
    }


def _agentless(lane: Lane, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Return agentless scanning in Azure, without scanners where the spec does not manage them."""
    setting = dict(lane.azure_user.configuration().get("agentlessConfiguration") or {})
    if not wish.get("scanners"):
        setting.pop("scanners", None)
    if wish.get("mode") == "Disabled":
        # Where it was never enabled, Azure has no setting.
        return {"agentlessEnabled": setting.get("agentlessEnabled", "Disabled")}
    return setting
