"""Git and the operator never fight: whoever applies manifests again and again, nothing of them is ever changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from defender_devops.api.names import ANNOTATION_RECONCILE_REQUESTED_AT, FIELD_MANAGER, FINALIZER
from sandbox.cluster.client import Manifest
from sandbox.stack import Operator
from tests.support.scenarios.appliers import APPLIERS, Applier
from tests.support.scenarios.scenario import ORGANIZATION, Scenario

RECONCILES = 100
RARELY = "3600"
"""Seconds between looks that nobody asks for: none comes while a test runs."""

Run = Callable[..., Operator]


def reconciles(operator: Operator) -> int:
    """How many have ended so far."""
    with httpx.Client(trust_env=False) as http:
        text = http.get(f"{operator.metrics}/metrics").text
    counts = re.findall(r"^defender_devops_reconcile_total\{.*\} (\S+)$", text, re.MULTILINE)
    return int(sum(map(float, counts)))


def user_fields(body: Manifest) -> dict[str, Any]:
    """What a manifest can hold."""
    metadata = body["metadata"]
    return {"spec": body["spec"], "labels": metadata.get("labels", {}), "annotations": metadata.get("annotations", {})}


def fields_of_ours(body: Manifest) -> set[str]:
    """Fields that the API server knows to be the operator's; of metadata each by itself."""
    owned_fields = [
        entry["fieldsV1"] for entry in body["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER
    ]
    return {path for fields in owned_fields for path in _paths(fields)}


def _paths(fields: dict[str, Any]) -> set[str]:
    """Paths of a fieldsV1 (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management)."""
    of_metadata = {f"metadata.{name.removeprefix('f:')}" for name in fields.get("f:metadata", {})}
    return of_metadata | {name.removeprefix("f:") for name in fields if name != "f:metadata"}


@pytest.mark.long
@pytest.mark.parametrize("applier", APPLIERS, ids=lambda applier: applier.__name__)
def test_a_hundred_reconciles_change_nothing_that_git_holds_and_cause_no_other(
    own_scenario: Scenario, run: Run, applier: type[Applier]
) -> None:
    scenario, git = own_scenario, applier(own_scenario.kube)
    operator = run(refresh_interval=RARELY, check_interval=RARELY)
    scenario.new_code()
    connector = scenario.manifest(organizations={"names": ["contoso", "fabrikam"]})
    connector["metadata"]["labels"] = {"team": "platform"}
    organization = scenario.organization_manifest("fabrikam", onboarding="Onboarded")
    git.sync(connector, organization)
    scenario.wait("Ready", "True")
    ready = scenario.wait_organization("fabrikam", "Ready", "True")
    since, reconciles_before, applied = scenario.control.last(), reconciles(operator), scenario.connector()
    for number in range(1, RECONCILES + 1):
        connector["metadata"]["annotations"] = {ANNOTATION_RECONCILE_REQUESTED_AT: str(number)}
        git.sync(connector, organization)
        live = scenario.wait_until(lambda body, requested=number: handled(body) == str(requested))
        assert user_fields(live) == expected(applied, live)
    assert reconciles(operator) == reconciles_before + RECONCILES
    assert live["metadata"]["generation"] == applied["metadata"]["generation"]
    assert scenario.kube.get(ORGANIZATION, "fabrikam", scenario.namespace) == ready
    assert fields_of_ours(ready) == {"status"}
    assert fields_of_ours(live) == {"status", "metadata.finalizers"}
    assert live["metadata"]["finalizers"] == [FINALIZER]
    assert scenario.writes(since) == []


def handled(body: Manifest) -> object:
    """The request that was carried out last."""
    return body["status"].get("lastHandledReconcileAt")


def expected(applied: Manifest, live: Manifest) -> dict[str, Any]:
    """As it was applied first, with the annotations that are applied anew each time."""
    changing = {
        name: value
        for name, value in live["metadata"]["annotations"].items()
        if name in {ANNOTATION_RECONCILE_REQUESTED_AT, "kubectl.kubernetes.io/last-applied-configuration"}
    }
    first = user_fields(applied)
    return {**first, "annotations": {**first["annotations"], **changing}}
