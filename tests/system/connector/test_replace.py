"""`kubectl replace`, Argo CD with Replace=true and restores drop what a manifest does not contain."""

from __future__ import annotations

import time
from collections.abc import Callable

from defender_devops.api.names import FINALIZER
from sandbox.stack import Operator
from tests.support.scenarios.scenario import Scenario

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
