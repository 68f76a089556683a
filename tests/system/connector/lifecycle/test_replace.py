"""`kubectl replace`, Argo CD with Replace=true and restores drop what a manifest does not contain."""

from __future__ import annotations

import time
from collections.abc import Callable

from defender_devops.api.names import FINALIZER, LABEL_GENERATED
from sandbox.stack import Operator
from tests.support.scenarios.scenario import ORGANIZATION, Scenario

RARELY = "3600"
"""Seconds between reconciles without an event: none occurs during a test."""


def test_a_finalizer_that_a_replace_drops_is_added_again_at_the_event(
    own_scenario: Scenario, run: Callable[..., Operator]
) -> None:
    run(refresh_interval=RARELY, check_interval=RARELY)
    scenario = own_scenario
    manifest = scenario.manifest()
    ready = scenario.ready()
    assert ready["metadata"]["finalizers"] == [FINALIZER]
    version = ready["metadata"]["resourceVersion"]
    metadata = {**manifest["metadata"], "resourceVersion": scenario.connector()["metadata"]["resourceVersion"]}
    replaced = scenario.kube.replace({**manifest, "metadata": metadata})
    assert not replaced["metadata"].get("finalizers")
    start = time.monotonic()
    live = scenario.wait_until(lambda body: FINALIZER in (body["metadata"].get("finalizers") or ()))
    assert time.monotonic() - start < 1.0
    assert live["metadata"]["resourceVersion"] != version
    assert live["metadata"]["uid"] == ready["metadata"]["uid"]


def test_a_lost_label_of_a_generated_organization_is_added_again_at_the_event(
    own_scenario: Scenario, run: Callable[..., Operator]
) -> None:
    run(refresh_interval=RARELY, check_interval=RARELY)
    scenario = own_scenario
    scenario.ready()
    generated = scenario.organizations()["fabrikam"]
    labels = generated["metadata"]["labels"]
    assert LABEL_GENERATED in labels
    metadata = {key: value for key, value in generated["metadata"].items() if key != "labels"}
    replaced = scenario.kube.replace({**generated, "metadata": metadata})
    assert "labels" not in replaced["metadata"]
    assert replaced["metadata"]["ownerReferences"] == generated["metadata"]["ownerReferences"]
    start = time.monotonic()
    restored = scenario.kube.wait(
        ORGANIZATION,
        generated["metadata"]["name"],
        scenario.namespace,
        until=lambda body: body["metadata"].get("labels") == labels,
    )
    assert time.monotonic() - start < 1.0
    assert restored["metadata"]["uid"] == generated["metadata"]["uid"]


def test_a_lost_owner_of_a_generated_organization_is_added_again_at_the_event(
    own_scenario: Scenario, run: Callable[..., Operator]
) -> None:
    run(refresh_interval=RARELY, check_interval=RARELY)
    scenario = own_scenario
    scenario.ready()
    generated = scenario.organizations()["fabrikam"]
    (owner,) = generated["metadata"]["ownerReferences"]
    metadata = {key: value for key, value in generated["metadata"].items() if key != "ownerReferences"}
    replaced = scenario.kube.replace({**generated, "metadata": metadata})
    assert "ownerReferences" not in replaced["metadata"]
    start = time.monotonic()
    restored = scenario.kube.wait(
        ORGANIZATION,
        generated["metadata"]["name"],
        scenario.namespace,
        until=lambda body: body["metadata"].get("ownerReferences") == [owner],
    )
    assert time.monotonic() - start < 1.0
    assert restored["metadata"]["labels"] == generated["metadata"]["labels"]
    assert restored["metadata"]["uid"] == generated["metadata"]["uid"]
